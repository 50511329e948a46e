"""The pose task's requests and answers: the plain functions behind every door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from recognizer.images import decode
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS
from serving.endpoint import Asked, Noted, named
from serving.pose.body import PoseRequest, read_request
from serving.pose.drawing import draw
from serving.pose.predictor import PosePrediction
from serving.router import Answered

NO_QUERY: Mapping[str, str] = {}
PIXEL_DIGITS, SHARE_DIGITS = 1, 3
"""Digits after the point: a tenth of a pixel is less than any annotator agrees with another one by."""


class Document(NamedTuple):
    """An answer that is no JSON.

    Attributes:
        content: what is sent as it is.
        media_type: of the content.
        said: what a JSON answer would say of who answered.
    """

    content: bytes
    media_type: str
    said: Mapping[str, Any]


class PoseEndpoint:
    """`/v1/pose`: a picture in, its people out; with `?draw=png` the picture with them drawn in."""

    def read(self, body: bytes, media_type: str, query: Mapping[str, str] = NO_QUERY) -> Asked:
        return Asked(read_request(body, media_type, query))

    def write(self, answered: Answered) -> dict[str, Any] | Document:
        """`people`, the surest first, or the picture with them when the request says `draw`.

        Each has a `score`, a `box` [x, y, width, height] and `joints` by name, [x, y, visibility], in pixels of the
        picture as it is seen (a JPEG turned as its EXIF orientation says).
        """
        prediction = _prediction(answered)
        (people,), content = prediction.people, named(answered)
        if prediction.recovered:
            content["recovered"] = True
        if answered.case.draw:
            return Document(draw(decode(answered.case.image), people), "image/png", content)
        return {**content, "people": write_people(people)}

    def note(self, answered: Answered) -> Noted:
        """How many people there are, and how sure the model is of that: as sure as of the least sure one, and as sure
        as it is that the best of those whom it left out is nobody.
        """
        prediction, request = _prediction(answered), cast(PoseRequest, answered.case)
        people = prediction.people[0]
        least = float(people.scores.min(initial=1.0))
        confidence = min(least, 1 - float(prediction.unnoticed[0]))
        return Noted(count_label(len(people)), confidence, {"image": np.frombuffer(request.image, np.uint8)})


def write_people(people: FoundPeople) -> list[dict[str, Any]]:
    """People as JSON can carry them; a visibility is that of the joint, a score that of the person."""
    boxes, scores = people.boxes.tolist(), people.scores.tolist()
    places, visibility = people.joints.tolist(), people.visibility.tolist()
    return [
        {
            "score": round(score, SHARE_DIGITS),
            "box": [round(side, PIXEL_DIGITS) for side in box],
            "joints": {
                name: [round(x, PIXEL_DIGITS), round(y, PIXEL_DIGITS), round(seen, SHARE_DIGITS)]
                for name, (x, y), seen in zip(JOINTS, joints, sight, strict=True)
            },
        }
        for score, box, joints, sight in zip(scores, boxes, places, visibility, strict=True)
    ]


def count_label(n: int) -> str:
    """`1 person`, `2 people`: the label under which the prediction log keeps an answer, and that feedback names."""
    return "1 person" if n == 1 else f"{n} people"


def _prediction(answered: Answered) -> PosePrediction:
    return cast(PosePrediction, answered.prediction)
