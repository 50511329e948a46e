"""The BentoML service: the typed API, and the settings under which BentoML runs it.

The plain functions are in `serving.worker` and in each task's folder; over HTTP `serving.door` calls them before
BentoML's own routes do. The routes stay: they are what `bentoml.SyncHTTPClient` and `/docs.json` read the types from.
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import bentoml
import numpy as np

from recognizer import log
from recognizer.settings import Settings, load_settings
from serving.action.answer import ActionAnswer, answer
from serving.action.window import make_window
from serving.door import Door
from serving.pose.answer import PoseAnswer
from serving.pose.answer import answer as pose_answer
from serving.worker import Worker


@bentoml.service(
    name="recognizer",
    # replaced by ours or not needed: each of them costs time on every request
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    runner_probe={"enabled": False},
    # BentoML keeps one timer a request until it has run out, answered or not
    traffic={"timeout": 15},
)
class RecognizerService:
    """Finds people and recognizes what they do, with the models that are champions right now."""

    def __init__(self) -> None:
        settings = load_settings()
        _log_as_we_do(settings)
        self._worker = Worker(settings)
        self._worker.crumb.report_faults()
        self._worker.start()
        # What was imported stays. Unfrozen, every full collection goes through all of it, and answers nobody meanwhile.
        gc.collect()
        gc.freeze()
        RecognizerService.context.state["worker"] = self._worker

    @bentoml.api(route="/v1/action")
    def action(
        self,
        keypoints: np.ndarray,
        visibility: np.ndarray = None,  # BentoML knows no optional arrays
        canary: bool = False,
    ) -> ActionAnswer:
        """Which action a window shows: keypoints [people][frames][17][2 or 3], visibility [people][frames][17]."""
        return answer(self._worker.router, make_window(keypoints, visibility), canary=canary)

    @bentoml.api(route="/v1/pose")
    def pose(self, image: Path) -> PoseAnswer:
        """Who is in a picture, and where their joints are: a JPEG or PNG file."""
        return pose_answer(self._worker.router, image.read_bytes())

    def __is_ready__(self) -> bool:
        return self._worker.ready()

    @bentoml.on_shutdown
    def stop(self) -> None:
        self._worker.stop()


def _log_as_we_do(settings: Settings) -> None:
    """One format on stderr for everything; BentoML and uvicorn would print theirs on stdout."""
    log.configure(settings.log_level, settings.log_format)
    for name in ("bentoml", "uvicorn.error", "circus"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    # without a handler uvicorn does not even format a line per request
    logging.getLogger("uvicorn.access").propagate = False


RecognizerService.add_asgi_middleware(Door, state=RecognizerService.context.state)
