"""How answers of the action task are judged: as those of a classifier of skeleton sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recognizer.action.contract import inspect_tables
from recognizer.answers import Agreement, Answers, require_like
from recognizer.contract import Inspection
from recognizer.errors import UsageError
from recognizer.evaluation.behaviour import GoldenAnswer, golden_answers
from recognizer.evaluation.classification import PAIRED, evaluate_classification, summands
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.slices import KINDS, Slices, sequence_slices
from recognizer.evaluator import About, GoldenSet, Paired, Progress, Units
from recognizer.golden import read_golden
from recognizer.ingest.meta import Meta, read_meta
from recognizer.ingest.origin import DataFile, Generated, Origin
from recognizer.ingest.read import read_recorded
from recognizer.ingest.recorded import TEST, Recorded
from recognizer.ingest.split import cut
from recognizer.params import StageParams
from recognizer.perturbation import CHANGES
from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.snapshot import SETS, SetName, SnapshotCard, read_set, write_snapshot
from recognizer.tables import frame_table, sequence_table

SCORES = "scores"
"""The one array of an answer: (n, k) float32, rows sum to 1; the answer is the first highest."""


@dataclass(frozen=True)
class ActionTestSet:
    """Skeleton sequences, and how they are cut into slices."""

    cases: SequenceSet
    slices: Slices

    @property
    def classes(self) -> tuple[str, ...]:
        return self.cases.classes

    @property
    def items(self) -> Sequence[SkeletonSequence]:
        return self.cases.sequences

    @property
    def people(self) -> Sequence[str | None]:
        return self.cases.subjects

    @property
    def truth(self) -> Answers:
        return {"labels": self.cases.labels}

    def __len__(self) -> int:
        return len(self.cases)

    def evaluate(self, answers: Answers) -> Evaluation:
        return evaluate_classification(answers[SCORES], self.cases.labels, self.classes, slices=self.slices)

    def units(self, answers: Answers) -> Units:
        return Units(answers[SCORES].argmax(axis=1) == self.cases.labels, self.people, self.slices)

    def paired(self, metric: str, answers: Answers) -> Paired:
        return Paired(summands(metric, answers[SCORES], self.cases.labels), self.people)


class ActionEvaluator:
    """See `recognizer.evaluator.Evaluator`; answers are `SCORES`."""

    task = "action"
    metrics: ClassVar = PAIRED
    headlines: ClassVar = ("accuracy", "macro_f1", "worst_class_recall")
    correct = "accuracy"
    kinds: ClassVar = KINDS
    changes: ClassVar = tuple(CHANGES)
    generated_count: ClassVar = 800

    def about(self, classes: Sequence[str]) -> About:
        return About(
            f"It answers one score for each of {len(classes)} classes: {', '.join(classes)}.",
            "To recognize these classes, and no others, in recordings like those it was trained and tested on. What "
            "belongs to none of its classes is answered with one of them too.",
        )

    def test_set(self, cases: SequenceSet, *, least: int = 1) -> ActionTestSet:
        return ActionTestSet(cases, sequence_slices(cases, least))

    def ingest(
        self, origin: Origin, destination: Path, params: StageParams, *, seed: int, progress: Progress | None = None
    ) -> SnapshotCard:
        share = params.share("prepare", "validation_share")
        if isinstance(origin, Generated):
            from recognizer.synthetic import generate

            recorded = generate(origin.count, seed=seed)
        else:
            recorded = self._recorded(origin)
        split = cut(recorded, validation_share=share, seed=seed)
        return write_snapshot(split, destination, task=self.task, source=recorded.source)

    def read(self, file: DataFile, classes: Sequence[str] | None = None, *, held_out: bool = False) -> SequenceSet:
        recorded = self._recorded(file, None if classes is None else tuple(classes))
        return recorded.part(TEST) if held_out and recorded.split.get(TEST) else recorded.sequences

    @staticmethod
    def _recorded(file: DataFile, classes: tuple[str, ...] | None = None) -> Recorded:
        if file.images is not None:
            raise UsageError("a file of skeletons speaks of no images", where=str(file.path), hint="leave --images out")
        meta = read_meta(file.meta) if file.meta is not None else Meta()
        return read_recorded(file.path, meta=meta, subject_pattern=file.subject_pattern, classes=classes)

    def load(self, snapshot: Path, name: SetName) -> SequenceSet:
        return read_set(snapshot, name)

    def inspect(self, snapshot: Path, limits: Mapping[str, Any], previous_count: int | None) -> Inspection:
        sets: dict[str, SequenceSet] = {name: read_set(snapshot, name) for name in SETS}
        return inspect_tables(sequence_table(sets), frame_table(sets), limits, previous_count)

    def compare(
        self, first: Answers, second: Answers, classes: Sequence[str] = (), others: Sequence[str] = ()
    ) -> Agreement:
        """Labels are compared by name: two versions may order their classes differently, or know others.

        `apart` is the largest difference of a score.
        """
        alike = list(classes) == list(others)
        left, right = np.asarray(first[SCORES], np.float64), np.asarray(second[SCORES], np.float64)
        if alike:
            require_like({SCORES: left}, {SCORES: right})
        finite = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
        same = finite & (_answered(left, classes) == _answered(right, others))
        apart = np.full(len(left), np.nan)
        if alike:
            apart[finite] = np.abs(left[finite] - right[finite]).max(axis=1)
        return Agreement(same, apart)

    def change(self, name: str, case: SkeletonSequence, place: int) -> SkeletonSequence:
        return CHANGES[name](case, place)

    def restored(self, name: str, answers: Answers, cases: Sequence[SkeletonSequence]) -> Answers:
        return answers  # a class is the same wherever people stand

    def changeable(self, test: ActionTestSet, classes: Sequence[str] | None) -> Sequence[int]:
        meant = test.classes if classes is None else classes
        return [place for place, case in enumerate(test.items) if test.classes[case.label] in meant]

    def golden(self, folder: Path | None, classes: Sequence[str], *, synthetic: bool) -> GoldenSet:
        found = read_golden(folder, classes, synthetic=synthetic)
        return GoldenSet(found.cases.sequences, found.left_out, found.digest)

    def golden_answers(self, answers: Answers, golden: GoldenSet, classes: Sequence[str]) -> tuple[GoldenAnswer, ...]:
        return golden_answers(answers[SCORES], SequenceSet(tuple(classes), tuple(golden.items)))


def _answered(scores: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.generic]:
    """(n,) the answers: by name where there is a class list."""
    best = scores.argmax(axis=1)
    return np.asarray(np.array(list(classes), dtype=np.str_)[best] if classes else best)
