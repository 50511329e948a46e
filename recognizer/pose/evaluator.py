"""How data and answers of the pose task are judged: as COCO does, person by person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recognizer.answers import Agreement, Answers
from recognizer.contract import Inspection
from recognizer.errors import FormatError, InputError, UsageError
from recognizer.evaluation.behaviour import GoldenAnswer
from recognizer.evaluation.calibration import reliability_bins
from recognizer.evaluation.keypoints import HIT, PAIRED, KeypointEvaluation, evaluate_keypoints, measured
from recognizer.evaluation.oks import agreement, oks
from recognizer.evaluation.record import ClassMeasure, Evaluation
from recognizer.evaluation.slices import joined
from recognizer.evaluator import GoldenSet, Paired, Units
from recognizer.ingest.coco import read_coco
from recognizer.ingest.coco_images import find_images, read_images
from recognizer.ingest.origin import DataFile, Generated, Origin
from recognizer.params import StageParams
from recognizer.pose.answers import stack, unstack
from recognizer.pose.change import CHANGES, changed, restored
from recognizer.pose.contract import inspect_scenes
from recognizer.pose.cut import cut_images
from recognizer.pose.golden import read_golden_scenes
from recognizer.pose.snapshot import PERSON, read_scenes, write_scenes
from recognizer.scenes import FoundPeople, Scene
from recognizer.snapshot import SETS, SetName, SnapshotCard

KINDS = ("size", "hidden", "people")
TEST_SHARE = 0.2


@dataclass(frozen=True)
class PoseTestSet:
    """Labelled images in the order of their names; slices of fewer than `least` people are one."""

    scenes: Sequence[Scene]
    least: int = 1
    _judged: dict[int, tuple[Answers, KeypointEvaluation]] = field(default_factory=dict, repr=False, compare=False)

    classes: ClassVar[tuple[str, ...]] = (PERSON,)

    @property
    def items(self) -> Sequence[Scene]:
        return self.scenes

    @property
    def people(self) -> Sequence[str | None]:
        return [scene.subject for scene in self.scenes]

    @property
    def truth(self) -> Answers:
        counts = np.array([int(scene.people.counted.sum()) for scene in self.scenes], np.int64)
        return {"counted": counts}

    def __len__(self) -> int:
        return len(self.scenes)

    def evaluate(self, answers: Answers) -> Evaluation:
        """N is how many people have to be found; a found one is right who is a person with OKS of at least `HIT`."""
        judged, found = self._of(answers), unstack(answers)
        hits = int(judged.cases.hit.sum())
        scores = np.concatenate([one.scores for one in found]).astype(np.float64)
        number = len(scores)
        return Evaluation(
            n=judged.n,
            classes=self.classes,
            metrics=dict(judged.metrics),
            per_class={
                PERSON: ClassMeasure(
                    precision=hits / number if number else None,
                    recall=hits / judged.n,
                    f1=2 * hits / (judged.n + number),
                    n=judged.n,
                )
            },
            slices={kind: measured(names, judged.cases.hit) for kind, names in self.units(answers).slices.items()},
            confusion=(),
            reliability=reliability_bins(scores, self._right(found)),
        )

    def units(self, answers: Answers) -> Units:
        """One unit a person who has to be found."""
        cases = self._of(answers).cases
        slices = {kind: joined(cases.slices[kind], self.least) for kind in KINDS}
        return Units(cases.hit, self._whose(cases.image), slices)

    def paired(self, metric: str, answers: Answers) -> Paired:
        """Rows are images for `AP`, people for the others; those of one image, or of one subject, are alike."""
        judged = self._of(answers)
        rows = np.arange(len(self)) if metric == "AP" else judged.cases.image
        return Paired(judged.summands(metric), self._whose(rows))

    def _of(self, answers: Answers) -> KeypointEvaluation:
        """Judged once: the gates ask for the same answers several times."""
        if id(answers) not in self._judged:
            judged = evaluate_keypoints([scene.people for scene in self.scenes], unstack(answers))
            self._judged[id(answers)] = (answers, judged)
        return self._judged[id(answers)][1]

    def _whose(self, images: np.ndarray[Any, np.dtype[np.int64]]) -> Sequence[str | None]:
        """Subject of each row's image, or the image itself where nobody knows one."""
        names = [scene.subject or f"image {scene.name}" for scene in self.scenes]
        return [names[image] for image in images.tolist()]

    def _right(self, found: Sequence[FoundPeople]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Of everybody found, whether it is somebody labelled."""
        parts = [np.zeros(0, np.bool_)]
        for scene, one in zip(self.scenes, found, strict=True):
            counted = oks(one, scene.people)[:, scene.people.counted]
            parts.append(counted.max(axis=1, initial=0) >= HIT)
        return np.concatenate(parts)


class PoseEvaluator:
    """See `recognizer.evaluator.Evaluator`; answers are the arrays of `recognizer.pose.answers`."""

    task = "pose"
    metrics: ClassVar = PAIRED
    kinds: ClassVar = KINDS
    changes: ClassVar = tuple(CHANGES)

    def test_set(self, cases: Sequence[Scene], *, least: int = 1) -> PoseTestSet:
        return PoseTestSet(cases, least)

    def ingest(self, origin: Origin, destination: Path, params: StageParams, *, seed: int) -> SnapshotCard:
        share = params.share("prepare", "validation_share")
        if isinstance(origin, Generated):
            from recognizer.pose.generated import generated_scenes

            scenes, source = generated_scenes(origin.count, share, seed=seed)
            return write_scenes(destination, scenes, task=self.task, source=source)
        labelled = read_coco(origin.path)
        images = find_images(labelled, _folder_of(origin))
        places = cut_images([None] * len(images), {"test": TEST_SHARE, "validation": share}, seed=seed)
        doubt = "nobody says which images are of one camera or one video: those of one may stand in two sets"
        return write_scenes(
            destination,
            zip(places, read_images(images, _folder_of(origin)), strict=True),
            task=self.task,
            source=labelled.source,
            warnings=(*labelled.warnings, doubt),
        )

    def read(self, file: DataFile, classes: Sequence[str] | None = None, *, held_out: bool = False) -> Sequence[Scene]:
        """A file of COCO has neither another class nor a split."""
        labelled = read_coco(file.path)
        return tuple(read_images(find_images(labelled, _folder_of(file)), _folder_of(file)))

    def load(self, snapshot: Path, name: SetName) -> Sequence[Scene]:
        return read_scenes(snapshot, name)

    def inspect(self, snapshot: Path, limits: Mapping[str, Any], previous_count: int | None) -> Inspection:
        return inspect_scenes({name: read_scenes(snapshot, name) for name in SETS}, limits, previous_count)

    def compare(
        self, first: Answers, second: Answers, classes: Sequence[str] = (), others: Sequence[str] = ()
    ) -> Agreement:
        """`same`: as many people, who agree by `HIT` at least (see `oks.agreement`); `apart`: 1 less the agreement."""
        pairs = list(zip(unstack(first), unstack(second), strict=False))
        if not pairs or len(pairs) != len(unstack(first)) or len(pairs) != len(unstack(second)):
            raise InputError(
                "cannot compare answers to different numbers of images", hint="ask both for the same, at least one"
            )
        found = list(_comparisons(pairs))
        return Agreement(np.array([same for same, _ in found]), np.array([apart for _, apart in found]))

    def change(self, name: str, case: Scene, place: int) -> Scene:
        return changed(name, case)

    def restored(self, name: str, answers: Answers, cases: Sequence[Scene]) -> Answers:
        people = zip(unstack(answers), cases, strict=True)
        return stack([restored(name, found, case.shape) for found, case in people])

    def changeable(self, test: PoseTestSet, classes: Sequence[str] | None) -> Sequence[int]:
        return range(len(test))

    def golden(self, folder: Path | None, classes: Sequence[str], *, synthetic: bool) -> GoldenSet:
        return read_golden_scenes(folder, synthetic=synthetic)

    def golden_answers(self, answers: Answers, golden: GoldenSet, classes: Sequence[str]) -> tuple[GoldenAnswer, ...]:
        """A case holds when everybody is found, with OKS of at least `HIT`, and nobody besides."""
        return tuple(_golden_answer(scene, found) for scene, found in zip(golden.items, unstack(answers), strict=True))


def _comparisons(pairs: Sequence[tuple[FoundPeople, FoundPeople]]) -> Iterator[tuple[bool, float]]:
    for one, other in pairs:
        try:
            alike = agreement(one, other)
        except InputError:  # not finite
            yield False, float("nan")
            continue
        yield len(one) == len(other) and alike >= HIT, 1 - alike


def _golden_answer(scene: Scene, found: FoundPeople) -> GoldenAnswer:
    wanted = int(scene.people.counted.sum())
    similar = oks(found, scene.people)[:, scene.people.counted]
    hits = int((similar.max(axis=0, initial=0) >= HIT).sum())
    beside = int((similar.max(axis=1, initial=0) < HIT).sum())
    told = f"{hits} of {_people(wanted)}" if hits < wanted else _people(wanted)
    return GoldenAnswer(
        name=scene.name,
        expected=_people(wanted),
        answered=told + (f" and {beside} that are none" if beside else ""),
        confidence=float(found.scores.min(initial=1.0)),
        runner_up=0.0,
    )


def _people(n: int) -> str:
    return "1 person" if n == 1 else f"{n} people"


def _folder_of(file: DataFile) -> Path:
    if file.images is None:
        raise UsageError("the images lie somewhere else", where=str(file.path), hint="name their folder: --images DIR")
    if file.meta is not None or file.subject_pattern is not None:
        raise FormatError("needs no meta file", where=str(file.path), hint="leave --meta and --subject-pattern out")
    return file.images
