"""How data and answers of the pose task are judged: as COCO does, person by person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recognizer.answers import Agreement, Answers
from recognizer.contract import Inspection
from recognizer.errors import InputError, UsageError
from recognizer.evaluation.behaviour import GoldenAnswer
from recognizer.evaluation.keypoints import PAIRED, KeypointEvaluation, evaluate_keypoints
from recognizer.evaluation.oks import HIT, agreement, oks
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.slices import joined
from recognizer.evaluator import About, GoldenSet, Judged, Paired, Progress, Units
from recognizer.ingest.coco import read_coco
from recognizer.ingest.coco_images import find_images, read_images
from recognizer.ingest.origin import DataFile, Generated, Origin
from recognizer.params import StageParams
from recognizer.pose.answers import MOST, SHOWN, stack, unstack, unstack_shown
from recognizer.pose.change import CHANGES, changed, restored
from recognizer.pose.contract import inspect_scenes
from recognizer.pose.cut import cut_images
from recognizer.pose.golden import read_golden_scenes
from recognizer.pose.record import judge_results, record_of
from recognizer.pose.snapshot import PERSON, read_scenes, write_scenes
from recognizer.scenes import FoundPeople, Scene
from recognizer.skeleton import JOINTS
from recognizer.snapshot import SETS, SetName, SnapshotCard

KINDS = ("size", "hidden", "people")
TEST_SHARE = 0.2
LEAST_FOUND: Mapping[SetName, int] = {"test": 10, "validation": 2}
"""People to be found that a set gets even where that is more than its share of the images."""
Cut = tuple[SetName, Scene]
"""A scene and the set that it is in."""


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
        people = [scene.people for scene in self.scenes]
        return record_of(self._of(answers), people, unstack_shown(answers), self.units(answers).slices)

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
            truth = [scene.people for scene in self.scenes]
            judged = evaluate_keypoints(truth, unstack(answers), unstack_shown(answers))
            self._judged[id(answers)] = (answers, judged)
        return self._judged[id(answers)][1]

    def _whose(self, images: np.ndarray[Any, np.dtype[np.int64]]) -> Sequence[str | None]:
        """Subject of each row's image, or the image itself where nobody knows one."""
        names = [scene.subject or f"image {scene.name}" for scene in self.scenes]
        return [names[image] for image in images.tolist()]


class PoseEvaluator:
    """See `recognizer.evaluator.Evaluator`; answers are the arrays of `recognizer.pose.answers`."""

    task = "pose"
    metrics: ClassVar = PAIRED
    headlines: ClassVar = ("AP", "AP50", "mean_oks")
    correct = "images_right"
    kinds: ClassVar = KINDS
    changes: ClassVar = tuple(CHANGES)
    generated_count: ClassVar = 16_000

    def about(self, classes: Sequence[str]) -> About:
        return About(
            f"It answers where people are in an image, {MOST} at most: of each a score, a box, and {len(JOINTS)} "
            "joints with how surely each is seen.",
            "To find people and their joints in images like those it was trained and tested on. It does not tell who "
            "somebody is. Joints that something hides are guessed from the others.",
        )

    def test_set(self, cases: Sequence[Scene], *, least: int = 1) -> PoseTestSet:
        return PoseTestSet(cases, least)

    def ingest(
        self, origin: Origin, destination: Path, params: StageParams, *, seed: int, progress: Progress | None = None
    ) -> SnapshotCard:
        share = params.share("prepare", "validation_share")
        if isinstance(origin, Generated):
            from recognizer.pose.generated import generated_scenes

            made, source = generated_scenes(origin.count, share, seed=seed)
            told = _told(made, origin.count, "scenes", progress)
            return write_scenes(destination, told, task=self.task, source=source)
        labelled = read_coco(origin.path)
        images = find_images(labelled, _folder_of(origin))
        found = [int(image.people.counted.sum()) for image in images]
        shares: dict[SetName, float] = {"test": TEST_SHARE, "validation": share}
        places = cut_images([None] * len(images), found, shares, LEAST_FOUND, seed=seed)
        doubt = "nobody says which images are of one camera or one video: those of one may stand in two sets"
        scenes = zip(places, read_images(images, _folder_of(origin)), strict=True)
        return write_scenes(
            destination,
            _told(scenes, len(images), "images", progress),
            task=self.task,
            source=labelled.source,
            warnings=(*labelled.warnings, doubt),
        )

    def read(self, file: DataFile, classes: Sequence[str] | None = None, *, held_out: bool = False) -> Sequence[Scene]:
        """A file of COCO has neither another class nor a split."""
        labelled = read_coco(file.path)
        return tuple(read_images(find_images(labelled, _folder_of(file)), _folder_of(file)))

    def judged(self, file: DataFile, predictions: Path) -> Judged:
        """See `recognizer.evaluator.PredictionJudge`; predictions are COCO's results."""
        _require_plain(file)
        return judge_results(file.path, predictions)

    def load(self, snapshot: Path, name: SetName) -> Sequence[Scene]:
        return read_scenes(snapshot, name)

    def inspect(self, snapshot: Path, limits: Mapping[str, Any], previous_count: int | None) -> Inspection:
        return inspect_scenes({name: read_scenes(snapshot, name) for name in SETS}, limits, previous_count)

    def compare(
        self, first: Answers, second: Answers, classes: Sequence[str] = (), others: Sequence[str] = ()
    ) -> Agreement:
        """Of those who are shown. `same`: as many, who agree by `HIT` at least (see `oks.agreement`); `apart`: 1 less
        the agreement.
        """
        ours, theirs = unstack_shown(first), unstack_shown(second)
        if not ours or len(ours) != len(theirs):
            raise InputError(
                "cannot compare answers to different numbers of images", hint="ask both for the same, at least one"
            )
        found = list(_comparisons(list(zip(ours, theirs, strict=True))))
        return Agreement(np.array([same for same, _ in found]), np.array([apart for _, apart in found]))

    def change(self, name: str, case: Scene, place: int) -> Scene:
        return changed(name, case)

    def restored(self, name: str, answers: Answers, cases: Sequence[Scene]) -> Answers:
        people = zip(unstack(answers), cases, strict=True)
        return {**stack([restored(name, found, case.shape) for found, case in people]), SHOWN: answers[SHOWN]}

    def changeable(self, test: PoseTestSet, classes: Sequence[str] | None) -> Sequence[int]:
        return range(len(test))

    def golden(self, folder: Path | None, classes: Sequence[str], *, synthetic: bool) -> GoldenSet:
        return read_golden_scenes(folder, synthetic=synthetic)

    def golden_answers(self, answers: Answers, golden: GoldenSet, classes: Sequence[str]) -> tuple[GoldenAnswer, ...]:
        """A case holds when everybody is found, with OKS of at least `HIT`, and nobody besides."""
        return tuple(
            _golden_answer(scene, found) for scene, found in zip(golden.items, unstack_shown(answers), strict=True)
        )


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


def _told(made: Iterable[Cut], count: int, what: str, progress: Progress | None) -> Iterator[Cut]:
    """The same, and how many there were of `count`."""
    for number, one in enumerate(made, start=1):
        yield one
        if progress is not None:
            progress(number / count, f"{number:,} of {count:,} {what}")


def _folder_of(file: DataFile) -> Path:
    _require_plain(file)
    if file.images is None:
        raise UsageError("the images lie somewhere else", where=str(file.path), hint="name their folder: --images DIR")
    return file.images


def _require_plain(file: DataFile) -> None:
    if file.meta is not None or file.subject_pattern is not None:
        raise UsageError("needs no meta file", where=str(file.path), hint="leave --meta and --subject-pattern out")
