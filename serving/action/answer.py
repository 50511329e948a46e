"""The action task's requests and answers: the plain functions behind every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import (
    Any,
    ClassVar,
    NotRequired,  # pydantic cannot read typing.TypedDict before Python 3.12
)

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from recognizer.action.evaluator import SCORES
from recognizer.errors import FormatError, LabelError
from recognizer.predictions import Prediction as Logged
from recognizer.sequences import SkeletonSequence
from recognizer.traffic import Sent
from serving.action.body import JSON, NPY, read_window, write_window
from serving.action.window import ActionWindow
from serving.endpoint import Asked, Correction, Heard, ModelName, Noted
from serving.endpoint import named as named_by
from serving.intake import kind_of
from serving.router import Answered, Router
from serving.routing import NO_WISH

LONGEST_TRUTH = 200


class ActionAnswer(TypedDict):
    """The answer to one window.

    `scores` holds one probability per class and sums to 1; `confidence` is the one of `action`.
    `arm` says which side of a rollout answered; `recovered` that another one was asked first and failed.
    """

    prediction_id: str
    model: ModelName
    arm: str
    recovered: NotRequired[bool]
    action: str
    confidence: float
    scores: dict[str, float]


class ActionEndpoint:
    """`/v1/action`: a window in, an `ActionAnswer` out."""

    parameters: ClassVar[tuple[str, ...]] = ()
    smaller = "send fewer frames, or .npy"
    forms: ClassVar[Mapping[str, str]] = {"npy": NPY[0], "json": JSON}

    def read(self, body: bytes, media_type: str, query: Mapping[str, str]) -> Asked:
        window, canary = read_window(body, kind_of(media_type))
        return Asked(window, canary)

    def write(self, answered: Answered) -> dict[str, Any]:
        scores = answered.prediction.answers[SCORES][0]
        best = int(scores.argmax())
        rounded = [round(float(score), 6) for score in scores]
        return {
            **named_by(answered),
            "action": answered.classes[best],
            "confidence": rounded[best],
            "scores": dict(zip(answered.classes, rounded, strict=True)),
        }

    def heard(self, content: Mapping[str, Any], classes: Sequence[str]) -> Heard:
        scores = content.get("scores")
        hint = "read it from an answer of `/v1/action`"
        if not isinstance(scores, dict) or set(scores) != set(classes):
            raise FormatError(f"holds no score of each of the classes {list(classes)}", where="answer", hint=hint)
        try:
            row = np.array([float(scores[name]) for name in classes])
        except (TypeError, ValueError) as error:
            raise FormatError("holds scores that are no numbers", where="answer", hint=hint) from error
        named = content.get("action")
        consistent = named in classes and row[classes.index(named)] == row.max()
        if consistent and classes[int(row.argmax())] != named:
            # scores that differ may be equal as they are written; the named one was the higher
            row[classes.index(named)] = np.nextafter(row.max(), np.inf)
        return Heard({SCORES: row[None]}, bool(consistent))

    def agrees(self, content: Mapping[str, Any], truth: Mapping[str, Any]) -> bool | None:
        scores, name = content.get("scores"), truth["truth"]
        if not isinstance(scores, dict) or name not in scores:
            return None
        return bool(content.get("action") == name)

    def request(self, case: SkeletonSequence, classes: Sequence[str], form: str) -> Sent | None:
        """None where nobody is seen."""
        if not case.visibility.any():
            return None
        content = write_window(case.keypoints, case.visibility, self.forms[form])
        return Sent(content, {"truth": classes[case.label]})

    def logged(self, inputs: Mapping[str, NDArray[Any]], form: str) -> bytes:
        return write_window(inputs["keypoints"], inputs["visibility"], self.forms[form])

    def note(self, answered: Answered) -> Noted:
        scores, window = answered.prediction.answers[SCORES][0], answered.case
        best = int(scores.argmax())
        arrays = {"keypoints": window.keypoints, "visibility": window.visibility}
        return Noted(answered.classes[best], float(scores[best]), arrays)

    def correction(self, told: Mapping[str, Any], logged: Logged, classes: Sequence[str] | None) -> Correction:
        """`truth` is the name of a class."""
        truth, hint = told.get("truth"), 'send {"prediction_id": "...", "truth": "..."}'
        if set(told) != {"truth"}:
            raise FormatError("is no JSON object of prediction_id and truth", where="body", hint=hint)
        if not isinstance(truth, str) or not 0 < len(truth) <= LONGEST_TRUTH:
            raise FormatError(f"is no text of 1 to {LONGEST_TRUTH} characters", where="truth", hint=hint)
        if classes is not None and truth not in classes:
            hint = f"send one of {', '.join(classes)}"
            raise LabelError(f"version {logged.version} knows no {truth!r}", where="truth", hint=hint)
        return Correction(truth, truth == logged.label)


def answer(router: Router, window: ActionWindow, *, canary: bool = False) -> ActionAnswer:
    """The answer to a window.

    Raises:
        NoChampion: nothing answers for this task.
        PluginError: no model gave an answer.
    """
    answered = router.answer("action", window, NO_WISH.or_canary(canary))
    return ActionEndpoint().write(answered)  # type: ignore[return-value]
