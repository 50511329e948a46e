"""The pose task's predictor: from pictures to the people in them, over a folder that holds `model.onnx`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError, InvalidAnswer, UsageError
from recognizer.images import Image, ImageSpec, Placement, decode, letterbox
from recognizer.pose.answers import EVERYBODY, stack, unstack_shown
from recognizer.scenes import FoundPeople
from recognizer.suppression import Candidates, Suppression, best_left_out, suppress
from recognizer.tasks import Cancel, Prediction
from serving.pose.sessions import OpenSession, Sessions
from serving.session import open_session

BATCH = 4
"""Pictures at once: one of 640 x 640 takes 5 MB as an input, and ten times that inside of the model."""
OUTPUTS = ("scores", "boxes", "joints", "visibility")
PLACEMENTS = "placements"
PERSON = "person"
UNNOTICED = "unnoticed"


class Pictured(Protocol):
    """A request or a labelled scene."""

    @property
    def image(self) -> bytes: ...


@dataclass(frozen=True)
class PosePrediction(Prediction):
    """Answers of one model for n pictures: the arrays of `recognizer.pose.answers`, and `UNNOTICED`."""

    @classmethod
    def of(
        cls,
        people: Sequence[FoundPeople],
        unnoticed: Sequence[float],
        *,
        threshold: float = 0.0,
        recovered: bool = False,
    ) -> Self:
        """Everybody above a low score in each picture, in its own pixels, who is shown from `threshold` on.

        unnoticed: (n,), see there.
        """
        return cls({**stack(people, threshold), UNNOTICED: np.array(unnoticed, np.float32)}, recovered)

    @property
    def people(self) -> list[FoundPeople]:
        """Who is shown of each picture, in its own pixels."""
        return unstack_shown(self.answers)

    @property
    def unnoticed(self) -> NDArray[np.float32]:
        """(n,) of each picture, the best score that was not enough for one more person; 0 when there was none."""
        return self.answers[UNNOTICED]


class PosePredictor:
    """Finds the people of pictures, and the joints of each.

    Attributes:
        classes: the one class.
        spec: size of the model's input.
        threshold: score from which on somebody is shown; `thresholds` of the package say that of `person`.

    Args:
        available: onnxruntime's execution providers of this machine.

    Raises:
        FormatError: the folder lacks a file, a file cannot be read, or the model takes or gives something else.
    """

    task = "pose"
    endpoint: ClassVar = "serving.pose.answer:PoseEndpoint"  # by name: evaluation needs the model alone
    classes: tuple[str, ...] = (PERSON,)

    def __init__(
        self,
        package: Path,
        *,
        threads: int,
        available: Sequence[str] | None = None,
        open_session: OpenSession = open_session,
    ) -> None:
        """`package` holds `model.onnx` and `package.json`, or `model.json` before the model was packaged."""
        path, content = _read_description(package)
        try:
            self.spec = ImageSpec.from_dict(content["preprocessing"])
            self.threshold = _threshold(content)
        except (FormatError, InputError) as error:
            raise FormatError(error.what, where=str(path), hint="package the model again") from error
        self._sessions = Sessions(package / "model.onnx", threads, available, open_session)
        self._input = self._require_signature(package / "model.onnx")

    def _require_signature(self, model: Path) -> str:
        """The name of the model's input, if it takes pictures of this size and gives people."""
        taken, given = self._sessions.inputs, self._sessions.outputs
        expected = (3, *self.spec.size)
        fits = len(taken) == 1 and set(OUTPUTS) <= set(given)
        for shape in taken.values():
            sides = zip(shape[1:], expected, strict=False)
            fits = fits and len(shape) == 4 and all(side == want for side, want in sides if isinstance(side, int))
        if not fits:
            raise FormatError(
                f"takes {taken} and gives {list(given)}; expected one input (n, {', '.join(map(str, expected))}) "
                f"and {list(OUTPUTS)}",
                where=str(model),
                hint="export and package again",
            )
        (name,) = taken
        return name

    def inputs(self, cases: Sequence[Pictured]) -> dict[str, NDArray[Any]]:
        """The model's input (n, 3, h, w) of n requests or scenes, and `placements` (n, 6), which stays outside of it.

        Raises:
            InputError: a picture cannot be decoded; see `recognizer.images.decode`.
        """
        placed = [letterbox(_decoded(case), self.spec.size) for case in cases]
        images = [image for image, _ in placed]
        rows = np.array([placement.as_row() for _, placement in placed]).reshape(-1, 6)
        # one picture is what every request holds; its 5 MB need no copy
        return {self._input: images[0][None] if len(images) == 1 else self._stack(images), PLACEMENTS: rows}

    def predict(self, inputs: Mapping[str, NDArray[Any]], cancel: Cancel | None = None) -> PosePrediction:
        """The people in what `inputs` made; without `placements` in pixels of the input.

        Raises:
            InvalidAnswer: what the model answered cannot be people.
            GivenUp: `cancel` was given up; a single long kernel runs to its end all the same.
            PluginError: the model failed.
        """
        images = inputs[self._input]
        placements = inputs.get(PLACEMENTS)
        found: list[FoundPeople] = []
        unnoticed: list[float] = []
        recovered = False
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            answers, on_cpu = self._sessions.run(OUTPUTS, {self._input: batch}, cancel)
            recovered |= on_cpu
            for i, candidates in enumerate(_candidates(answers, len(batch))):
                placement = self._as_it_is if placements is None else Placement.from_row(placements[start + i])
                found.append(suppress(candidates, placement, EVERYBODY))
                unnoticed.append(best_left_out(candidates, found[-1], placement, self.threshold))
        return PosePrediction.of(found, unnoticed, threshold=self.threshold, recovered=recovered)

    def _stack(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(images) if images else np.empty((0, 3, *self.spec.size), np.float32)

    @property
    def _as_it_is(self) -> Placement:
        return Placement.of(self.spec.size, self.spec.size)


def _decoded(case: Pictured) -> Image:
    try:
        return decode(case.image)
    except UsageError as error:  # too large, for one; whatever a picture is, no model is to blame
        raise InputError(error.what, where=error.where, hint=error.hint) from error


def _candidates(answers: Sequence[Any], n: int) -> list[Candidates]:
    """One `Candidates` a picture, of the outputs in their order, each (n, K, ...)."""
    arrays = [np.asarray(answer) for answer in answers]
    for name, array in zip(OUTPUTS, arrays, strict=True):
        if array.dtype.kind != "f" or array.ndim < 2 or len(array) != n:
            raise InvalidAnswer(
                f"the model answered {name} {array.dtype} of shape {array.shape} for {n} pictures",
                where="task pose",
                hint="promote another version; `recognizer models` lists them",
            )
    return [Candidates(*(array[i] for array in arrays)) for i in range(n)]


def _threshold(content: Mapping[str, Any]) -> float:
    """The score from which on a candidate is shown as a person; that of `Suppression` where the package says none."""
    thresholds = content.get("thresholds") or {}
    score = thresholds.get(PERSON, Suppression.score) if isinstance(thresholds, dict) else None
    if not isinstance(score, int | float):
        raise FormatError("has thresholds that are no numbers")
    return Suppression(score=float(score)).score


def _read_description(package: Path) -> tuple[Path, Mapping[str, Any]]:
    """`package.json`, or `model.json` of a model that was exported and not packaged yet."""
    path = package / "package.json"
    if not path.is_file():
        path = package / "model.json"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=str(path), hint="package the model again") from error
    if not isinstance(content, dict) or not isinstance(content.get("preprocessing"), dict):
        raise FormatError("lacks 'preprocessing'", where=str(path), hint="package the model again")
    return path, content
