"""The pose task's requests and answers: the plain functions behind every door."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NotRequired, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from recognizer.errors import FormatError
from recognizer.evaluation.oks import all_found
from recognizer.images import decode
from recognizer.pose.answers import MOST, stack, unstack
from recognizer.pose.correction import read_people, write_labelled
from recognizer.predictions import Prediction as Logged
from recognizer.scenes import FoundPeople, Scene
from recognizer.skeleton import JOINTS
from recognizer.traffic import Sent
from serving.endpoint import Asked, Correction, Document, Heard, ModelName, Noted, named
from serving.pose.body import PICTURES, PoseRequest, read_request
from serving.pose.drawing import draw
from serving.pose.predictor import PosePrediction
from serving.router import Answered, Router

PIXEL_DIGITS, SHARE_DIGITS = 1, 3
"""Digits after the point: a tenth of a pixel is less than any annotator agrees with another one by."""


class Person(TypedDict):
    """Somebody in a picture.

    `box` is x, y, width, height, and `joints` x, y, visibility by name, in pixels of the picture.
    """

    score: float
    box: list[float]
    joints: dict[str, list[float]]


class PoseAnswer(TypedDict):
    """The answer to one picture: its people, the surest first.

    `arm` says which side of a rollout answered; `recovered` that something else was tried first and failed.
    """

    prediction_id: str
    model: ModelName
    arm: str
    recovered: NotRequired[bool]
    people: list[Person]


class PoseEndpoint:
    """`/v1/pose`: a picture in, its people out; with `?draw=png` the picture with them drawn in."""

    parameters: ClassVar = ("draw",)
    smaller = "send a JPEG, or a smaller picture"
    forms: ClassVar = {"picture": PICTURES[-1]}

    def read(self, body: bytes, media_type: str, query: Mapping[str, str]) -> Asked:
        return Asked(read_request(body, media_type, query))

    def write(self, answered: Answered) -> dict[str, Any] | Document:
        """`people`, the surest first, or the picture with them when the request says `draw`.

        Each has a `score`, a `box` [x, y, width, height] and `joints` by name, [x, y, visibility], in pixels of the
        picture as it is seen (a JPEG turned as its EXIF orientation says).
        """
        prediction = _prediction(answered)
        (people,), content = prediction.people, named(answered)
        if answered.case.draw:
            return Document(draw(decode(answered.case.image), people), "image/png", content)
        return {**content, "people": write_people(people)}

    def heard(self, content: Mapping[str, Any], classes: Sequence[str]) -> Heard:
        """Consistent are people in the order of their scores. Raises FormatError also for one without all joints."""
        told = content.get("people")
        if not isinstance(told, list) or len(told) > MOST:
            raise _no_answer(f"holds no list of at most {MOST} people")
        found = read_found(told)
        return Heard(stack([found]), bool((np.diff(found.scores) <= 0).all()))

    def agrees(self, content: Mapping[str, Any], truth: Mapping[str, Any]) -> bool | None:
        try:
            (found,) = unstack(self.heard(content, ()).answers)
        except FormatError:
            return None
        return all_found(found.joints, read_people(truth["people"]))

    def request(self, case: Scene, classes: Sequence[str], form: str) -> Sent | None:
        """Nobody can say what is right where a crowd is labelled as one, or somebody without joints."""
        people = case.people
        known = bool(people.counted.all() and (people.areas > 0).all())
        return Sent(case.image, {"people": write_labelled(people)} if known else None)

    def logged(self, inputs: Mapping[str, NDArray[Any]], form: str) -> bytes:
        return inputs["image"].tobytes()

    def note(self, answered: Answered) -> Noted:
        """How many people there are, and how sure the model is of that: as sure as of the least sure one, and as sure
        as it is that the best of those whom it left out is nobody.
        """
        prediction, request = _prediction(answered), cast(PoseRequest, answered.case)
        people = prediction.people[0]
        least = float(people.scores.min(initial=1.0))
        confidence = min(least, 1 - float(prediction.unnoticed[0]))
        return Noted(
            label=count_label(len(people)),
            confidence=confidence,
            inputs={"image": np.frombuffer(request.image, np.uint8)},
            answer=people.joints.astype(np.float64).round(PIXEL_DIGITS).tolist(),
        )

    def correction(self, told: Mapping[str, Any], logged: Logged, classes: Sequence[str] | None) -> Correction:
        """`people` are those who are there, see `recognizer.pose.correction`; `truth` is how many, as `count_label`
        says it.
        """
        if set(told) == {"people"}:
            people = read_people(told["people"])
            answered = np.array(logged.answer, np.float64).reshape(-1, len(JOINTS), 2)
            return Correction(json.dumps(told["people"], sort_keys=True), all_found(answered, people))
        truth = told.get("truth")
        number = re.fullmatch(r"(\d{1,4}) \w+", truth, re.ASCII) if isinstance(truth, str) else None
        if set(told) != {"truth"} or number is None or count_label(int(number[1])) != truth:
            raise FormatError(
                "holds neither people nor how many there are",
                where="body",
                hint='send {"prediction_id": "...", "people": [{"joints": {"nose": [x, y], ...}}, ...]}, or '
                '{"prediction_id": "...", "truth": "2 people"}',
            )
        return Correction(truth, truth == logged.label)


def write_people(people: FoundPeople) -> list[Person]:
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


def read_found(told: Sequence[Any]) -> FoundPeople:
    """People as `write_people` writes them; raises FormatError for what are none."""
    shapes = {"score": (len(told),), "box": (len(told), 4), "joints": (len(told), len(JOINTS), 3)}
    try:
        rows = {
            "score": [person["score"] for person in told],
            "box": [person["box"] for person in told],
            "joints": [[person["joints"][name] for name in JOINTS] for person in told],
        }
        arrays = {name: np.array(row, np.float32).reshape(shapes[name]) for name, row in rows.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise _no_answer("holds people without score, box or one of the joints") from error
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise _no_answer("holds numbers that are not finite")
    joints = arrays["joints"]
    return FoundPeople(joints[..., :2], joints[..., 2], arrays["box"], arrays["score"])


def _no_answer(what: str) -> FormatError:
    return FormatError(what, where="answer", hint="read it from an answer of `/v1/pose`")


def answer(router: Router, image: bytes) -> PoseAnswer:
    """The answer to a picture: JPEG or PNG bytes.

    Raises:
        UsageError, InputError: it is none, or too large.
        NoChampion: nothing answers for this task.
        PluginError: no model gave an answer.
    """
    endpoint = PoseEndpoint()
    asked = endpoint.read(image, PICTURES[-1], {})
    return endpoint.write(router.answer("pose", asked.case))  # type: ignore[return-value]


def count_label(n: int) -> str:
    """`1 person`, `2 people`: the label under which the prediction log keeps an answer, and that feedback names."""
    return "1 person" if n == 1 else f"{n} people"


def _prediction(answered: Answered) -> PosePrediction:
    return cast(PosePrediction, answered.prediction)
