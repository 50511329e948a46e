"""Feedback: clients tell, soon or days later, what was true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from recognizer.errors import Expired, FormatError, LabelError, NotFound, RecognizerError, UnsupportedMedia
from recognizer.predictions import Prediction, Retention, Standing, standing
from recognizer.store import Store, feedback, predictions
from serving.link import Link
from serving.record import FLUSH_SECONDS
from serving.release import Releases

JSON = "application/json"
HINT = 'send {"prediction_id": "...", "truth": "..."}'
DELAY_SECONDS = 8 * FLUSH_SECONDS
"""In this time after an answer its row may still be on its way; feedback waits for it."""
ASK_SECONDS = 0.05
LONGEST_TRUTH = 200


class FeedbackDesk:
    """Takes the truth about answers. `take` may be called from any thread."""

    def __init__(
        self, url: str, retention: Retention, releases: Releases, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._link = Link(url)
        self._retention = retention
        self._releases = releases
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, body: bytes, media_type: str) -> dict[str, Any]:
        """Note the truth in a request's body; again changes nothing.

        Raises:
            FormatError, UnsupportedMedia: no JSON of this form.
            NotFound: no such prediction.
            Expired: it was answered longer ago than the log reaches.
            LabelError: the model that answered knows no such class.
            Conflict: another truth was told before.
            StoreUnavailable: the store is away; tell it later.
        """
        told = _read(body, media_type)
        id, truth = told["prediction_id"], told["truth"]
        try:
            store = self._open()
            prediction = self._find(store, id)
            self._require_class(prediction, truth)
            given, new = feedback.give(store, prediction, truth)
        except RecognizerError as error:
            if error.http_status in (503, 507):
                self._close()
            raise
        return {"prediction_id": id, "truth": given.truth, "correct": not given.misread, "new": new}

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

    def _require_class(self, prediction: Prediction, truth: str) -> None:
        for servable in self._releases.newest.servables:
            if servable.digest == prediction.digest and servable.enter():
                try:
                    classes = servable.opened.card.classes
                finally:
                    servable.leave()
                if truth not in classes:
                    raise LabelError(
                        f"version {prediction.version} knows no {truth!r}",
                        where="truth",
                        hint=f"send one of {', '.join(classes)}",
                    )

    def _open(self) -> Store:
        with self._lock:
            return self._link.open()

    def _close(self) -> None:
        with self._lock:
            self._link.close()


def _read(body: bytes, media_type: str) -> Mapping[str, str]:
    if media_type != JSON:
        raise UnsupportedMedia(
            f"content type {media_type!r} is not read here", where="Content-Type", hint=f"send {JSON}"
        )
    try:
        content = from_json(body)
    except ValueError as error:
        raise FormatError(f"is not JSON: {error}", where="body", hint=HINT) from error
    if not isinstance(content, dict) or set(content) != {"prediction_id", "truth"}:
        raise FormatError("is no JSON object of prediction_id and truth", where="body", hint=HINT)
    for name, value in content.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TRUTH:
            raise FormatError(f"is no text of 1 to {LONGEST_TRUTH} characters", where=name, hint=HINT)
    return content
