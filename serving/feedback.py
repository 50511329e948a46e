"""Feedback: clients tell, soon or days later, what was true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from recognizer.errors import Expired, FormatError, NotFound, RecognizerError, UnsupportedMedia
from recognizer.predictions import Prediction, Retention, Standing, standing
from recognizer.store import Store, feedback, predictions
from serving.endpoint import Correction, Endpoint
from serving.link import Link
from serving.record import FLUSH_SECONDS
from serving.release import Releases

JSON = "application/json"
HINT = 'send {"prediction_id": "...", "truth": "..."}, or what else the task takes besides the id'
DELAY_SECONDS = 8 * FLUSH_SECONDS
"""In this time after an answer its row may still be on its way; feedback waits for it."""
ASK_SECONDS = 0.05
LONGEST_ID = 200


class FeedbackDesk:
    """Takes the truth about answers. `take` may be called from any thread."""

    def __init__(
        self,
        url: str,
        retention: Retention,
        releases: Releases,
        endpoints: Mapping[str, Endpoint],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = Link(url)
        self._retention = retention
        self._releases = releases
        self._endpoints = endpoints
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, body: bytes, media_type: str) -> dict[str, Any]:
        """Note the truth in a request's body; again changes nothing.

        Raises:
            FormatError, UnsupportedMedia: no JSON of a form that the task takes.
            NotFound: no such prediction, or its task is not served any more.
            Expired: it was answered longer ago than the log reaches.
            LabelError: the model that answered knows no such class.
            Conflict: another truth was told before.
            StoreUnavailable: the store is away; tell it later.
        """
        id, told = _read(body, media_type)
        try:
            store = self._open()
            prediction = self._find(store, id)
            correction = self._understand(prediction, told)
            given, new = feedback.give(store, prediction, correction.truth, misread=not correction.right)
        except RecognizerError as error:
            if error.http_status in (503, 507):
                self._close()
            raise
        return {"prediction_id": id, **told, "correct": not given.misread, "new": new}

    def close(self) -> None:
        self._close()

    def _find(self, store: Store, id: str) -> Prediction:
        while (found := predictions.find(store, id)) is None:
            said = standing(id, self._clock(), self._retention, delay=DELAY_SECONDS)
            if said is Standing.EXPIRED:
                raise Expired(
                    f"it was answered more than {self._retention.days:g} days ago",
                    where=f"prediction {id}",
                    hint="send feedback earlier, or raise RECOGNIZER_PREDICTION_DAYS",
                )
            if said is Standing.UNKNOWN:
                raise NotFound("there is no such prediction", where=f"prediction {id[:64]}", hint=HINT)
            time.sleep(ASK_SECONDS)  # another worker is about to write it
        return found

    def _understand(self, prediction: Prediction, told: Mapping[str, Any]) -> Correction:
        endpoint = self._endpoints.get(prediction.task)
        if endpoint is None:
            raise NotFound(
                f"task {prediction.task!r} is not served any more",
                where=f"prediction {prediction.id}",
                hint="tell it in the data of the next night",
            )
        return endpoint.correction(told, prediction, self._classes(prediction))

    def _classes(self, prediction: Prediction) -> Sequence[str] | None:
        for servable in self._releases.newest.servables:
            if servable.digest == prediction.digest and servable.enter():
                try:
                    return servable.opened.card.classes
                finally:
                    servable.leave()
        return None

    def _open(self) -> Store:
        with self._lock:
            return self._link.open()

    def _close(self) -> None:
        with self._lock:
            self._link.close()


def _read(body: bytes, media_type: str) -> tuple[str, Mapping[str, Any]]:
    """The prediction's id, and all besides."""
    if media_type != JSON:
        raise UnsupportedMedia(
            f"content type {media_type!r} is not read here", where="Content-Type", hint=f"send {JSON}"
        )
    try:
        content = from_json(body)
    except ValueError as error:
        raise FormatError(f"is not JSON: {error}", where="body", hint=HINT) from error
    if not isinstance(content, dict) or "prediction_id" not in content:
        raise FormatError("is no JSON object with prediction_id", where="body", hint=HINT)
    id = content.pop("prediction_id")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise FormatError(f"is no text of 1 to {LONGEST_ID} characters", where="prediction_id", hint=HINT)
    return id, content
