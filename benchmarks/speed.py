"""How much of a request's time is ours: against a plain BentoML service, and beside the model's own time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.home import Shelf, unsure_window
from benchmarks.service import Service, free_port, plan, running, serving
from benchmarks.table import Row, at_least, at_most
from recognizer.home import checkout
from recognizer.rollout.split import Mode, Split
from recognizer.settings import Settings
from recognizer.store import open_store
from recognizer.tasks import Prediction
from recognizer.traffic import Sent
from serving.action.body import read_npy
from serving.breadcrumb import Breadcrumb
from serving.door import Door
from serving.release import Release, Releases
from serving.router import Router
from serving.routing import NO_WISH, choose
from serving.servable import Opened, Servable
from serving.shadow import Shadow
from serving.watch import Watch
from serving.worker import Worker

TURNS = 5_000
PLAIN = '''
import bentoml
import numpy as np
from pathlib import Path
from serving.action.predictor import ActionPredictor
from serving.action.window import make_window


@bentoml.service
class Plain:
    """What one writes with BentoML alone: the same model, the same preprocessing, the same answer."""

    def __init__(self):
        self.predictor = ActionPredictor(Path({folder!r}), threads=1)

    @bentoml.api(route="/v1/action")
    def action(self, keypoints: np.ndarray) -> dict:
        scores = self.predictor.predict(self.predictor.inputs([make_window(keypoints)])).answers["scores"][0]
        named = dict(zip(self.predictor.classes, map(float, scores)))
        return {{"model": {{"name": "action", "version": 1}}, "arm": "champion", "scores": named}}
'''


def speed_rows(root: Path, requests: int) -> list[Row]:
    shelf = Shelf(root)
    window = read_npy(unsure_window().content)
    asked = [Sent(json.dumps({"keypoints": window[..., :2].tolist()}).encode(), None)]
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
    folder = shelf.home.packages / shelf.digests[1]
    ours, plain = [], []
    with running(root, 1) as service, _plain(root, folder) as url:
        for _ in range(3):  # in turn: what else the machine does meets both
            ours.append(_rate(service, service.url, asked, requests))
            plain.append(_rate(service, url, asked, requests))
        npy = _rate(service, service.url, [unsure_window()], requests, "application/x-npy")
    ratio = median(ours) / median(plain)
    name = (
        f"empty model, one worker, JSON: {median(ours):.0f} requests/s against BentoML's {median(plain):.0f} "
        f"(.npy: {npy:.0f}), ratio"
    )
    whole, model = _server_time(shelf)
    own = sorted(a - b for a, b in zip(whole, model, strict=True))
    return [
        at_least(name, ratio, 1.5, " x", 2),
        at_most(
            f"server time minus session.run, .npy body, p50 (p99 {1000 * own[int(0.99 * len(own))]:.2f} ms)",
            1000 * median(own),
            1.0,
            " ms",
            3,
        ),
    ]


def _rate(service: Service, url: str, windows: Sequence[Sent], requests: int, media: str = "application/json") -> float:
    """Answers a second when there is always something to do."""
    asked = {"rate": 10_000.0, "seconds": None, "connections": 16, "timeout": 120.0, "media_type": media}
    report = service.send(replace(plan(service, windows, requests=requests, **asked), url=url)).result()
    if report.failed:
        raise RuntimeError(f"{url}: {dict(report.failures)}, {dict(report.examples)}")
    return report.requests / report.seconds


@contextlib.contextmanager
def _plain(root: Path, package: Path) -> Iterator[str]:
    """A plain BentoML service with default settings, ready."""
    folder, port = root / "plain", free_port()
    folder.mkdir()
    (folder / "plain.py").write_text(PLAIN.format(folder=str(package)))
    command = [sys.executable, "-m", "bentoml", "serve", "plain:Plain", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "PYTHONPATH": str(checkout()),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
    }
    with serving(command, folder, port, "/readyz", **environment) as url:
        yield url


def _server_time(shelf: Shelf) -> tuple[list[float], list[float]]:
    """Seconds of requests from the first byte to the last, through the whole door, and of the model's run in them."""
    worker = Worker(Settings(home=shelf.home))
    worker.start()
    try:
        (champion,) = worker.releases.newest.champions.values()
        predictor, runs = champion.opened.predictor, []
        session = predictor._session_run  # type: ignore[attr-defined]

        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return session(*args)
            finally:
                runs.append(time.perf_counter() - began)

        predictor._session_run = timed  # type: ignore[attr-defined]
        door = Door(_nothing, {"worker": worker})
        whole = asyncio.run(_ask(door, unsure_window().content, TURNS // 5))
    finally:
        worker.stop()
    return whole[100:], runs[100:]


async def _nothing(*_: Any) -> None: ...


async def _ask(door: Door, body: bytes, turns: int) -> list[float]:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/action",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-npy"), (b"content-length", str(len(body)).encode())],
    }
    times = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"status {message['status']}")

    for _ in range(turns):
        began = time.perf_counter()
        await door(scope, receive, send)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0)
    return times


class _Free:
    """A predictor that costs nothing."""

    def inputs(self, cases: Sequence[Any]) -> dict[str, Any]:
        return {"case": cases}

    def predict(self, inputs: Any, cancel: Any = None) -> Any:
        return Prediction({"scores": np.ones((1, 1), np.float32)})


def process_rows() -> list[Row]:
    """In one process, without a model: to publish a release and to route a request."""
    releases = Releases()
    watch = Watch()
    router = Router(releases, Shadow(8, 1.0, watch), watch)
    card: Any = type("Card", (), {"classes": ("a",)})()
    publish = []
    for generation in range(1, 1001):
        servable = Servable("action", generation, f"{generation:064x}")
        servable.load(lambda: Opened(_Free(), card))  # type: ignore[arg-type]
        release = Release(generation, {"action": servable})
        publish.append(_timed(partial(releases.publish, release)))
        releases.sweep()
    route = [_timed(lambda: router.answer("action", None)) for _ in range(TURNS)]
    split = Split("action", 1, Mode.CANARY, 2, "d" * 64, 0.09, "salt")
    arms = [_timed(partial(choose, 1, split, NO_WISH, f"camera-{i}", split.share)) for i in range(TURNS)]
    with tempfile.TemporaryDirectory() as folder:
        crumb = Breadcrumb(Path(folder) / "crumb")
        notes = [_timed(lambda: _note(crumb)) for _ in range(TURNS)]
    return [
        _p99("publish a release", publish, 1000, "µs"),
        _p99("route a request, with an empty model", route, 50, "µs"),
        _p99("find a routing key's arm", arms, 50, "µs"),
        _p99("note the beginning and the end of a challenger's run", notes, 5, "µs"),
    ]


def _note(crumb: Breadcrumb) -> None:
    with crumb.during("0" * 64):
        pass


def _p99(name: str, seconds: Sequence[float], bound: float, unit: str) -> Row:
    value = 1e6 * sorted(seconds)[int(0.99 * len(seconds))]
    return Row(
        f"{name}, p99 (p50 {1e6 * median(seconds):.1f} µs)", f"{value:.1f} {unit}", f"< {bound:g} {unit}", value < bound
    )


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
