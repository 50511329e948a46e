"""Answer one window with the action champion: the plain function behind every door."""

from __future__ import annotations

import uuid

from typing_extensions import TypedDict  # pydantic cannot read typing.TypedDict before Python 3.12

from serving.action.window import ActionWindow
from serving.release import Releases


class ModelName(TypedDict):
    """Which model answered."""

    name: str
    version: int
    digest: str


class ActionAnswer(TypedDict):
    """The answer to one window.

    `scores` holds one probability per class and sums to 1; `confidence` is the one of `action`.
    `arm` says which side of a rollout answered.
    """

    prediction_id: str
    model: ModelName
    arm: str
    action: str
    confidence: float
    scores: dict[str, float]


def answer(releases: Releases, window: ActionWindow) -> ActionAnswer:
    """The champion's answer; takes one release and keeps it to the end.

    Raises:
        NoChampion: nothing answers for this task.
        PluginError: the model failed or answered nonsense.
    """
    with releases.take("action") as (_release, servable):
        opened = servable.opened
        predictor, classes = opened.predictor, opened.card.classes
        scores = predictor.predict(predictor.inputs([window])).scores[0]
        best = int(scores.argmax())
        rounded = [round(float(score), 6) for score in scores]
        return {
            "prediction_id": uuid.uuid4().hex,
            "model": {"name": servable.task, "version": servable.version, "digest": servable.digest},
            "arm": "champion",
            "action": classes[best],
            "confidence": rounded[best],
            "scores": dict(zip(classes, rounded, strict=True)),
        }
