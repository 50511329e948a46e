"""What a task knows of its data and answers: how they are read, what they come to, and when two are the same.

Found through the entry points `recognizer.evaluators`, see `recognizer.tasks`. Gates, statistics, sandbox and rollout
know no task: they ask its evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recognizer.answers import Agreement, Answers
from recognizer.contract import Inspection
from recognizer.evaluation.behaviour import GoldenAnswer
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.summands import Summands
from recognizer.ingest.origin import DataFile, Origin
from recognizer.params import StageParams
from recognizer.snapshot import SetName, SnapshotCard

Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1) and a short line such as `epoch 3/20, validation accuracy 0.91`."""


@dataclass(frozen=True)
class Units:
    """What can be right or wrong in a test set: its cases, or what there is to be found in them; u of them.

    Attributes:
        right: (u,) whether the model was.
        people: (u,) who is seen, which units are alike by; None where nobody knows.
        slices: kind → (u,) the slice of each unit; None for one that is in none.
    """

    right: NDArray[np.bool_]
    people: Sequence[str | None]
    slices: Mapping[str, Sequence[str | None]]


class Paired(NamedTuple):
    """What each row adds to a metric, and (n,) who is seen in it."""

    summands: Summands
    people: Sequence[str | None]


class TestSet(Protocol):
    """Cases with what is true of them, ready to be held against answers.

    Attributes:
        classes: the ordered class list.
        items: what a predictor's `inputs` takes, case by case.
        people: (n,) who is seen; None where nobody knows.
        truth: what is true, as arrays: kept beside a model's answers.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def items(self) -> Sequence[Any]: ...
    @property
    def people(self) -> Sequence[str | None]: ...
    @property
    def truth(self) -> Answers: ...

    def __len__(self) -> int: ...

    def evaluate(self, answers: Answers) -> Evaluation:
        """All metrics of a model's answers; raises InputError for what are none."""

    def units(self, answers: Answers) -> Units:
        """What was right."""

    def paired(self, metric: str, answers: Answers) -> Paired:
        """What each case adds to a metric of `Evaluator.metrics`."""


class GoldenSet(NamedTuple):
    """Golden cases for one model: what `inputs` takes; how many are not for it; SHA-256 over what they say."""

    items: Sequence[Any]
    left_out: int
    digest: str


class About(NamedTuple):
    """What a model of a task is, for who reads its card: whole sentences, in words of the task.

    Attributes:
        answers: what it answers.
        use: what it is for, and what it does with everything else.
    """

    answers: str
    use: str


class Judged(NamedTuple):
    """How good predictions of a file are; warnings: what was put right or left out while reading, a sentence each."""

    evaluation: Evaluation
    warnings: tuple[str, ...]


@runtime_checkable
class Evaluator(Protocol):
    """Judges data and answers of one task.

    Attributes:
        metrics: that are a smooth function of sums over rows, so that two models can be compared case by case.
        headlines: metrics that are looked at first, the first of them where there is room for one.
        correct: metric that is the share of cases answered rightly, as feedback judges answers in service.
        kinds: of slices.
        changes: of a case that should not change the answer, by name.
        generated_count: cases that the built-in generator makes when nobody says how many.
    """

    task: str
    metrics: tuple[str, ...]
    headlines: tuple[str, ...]
    correct: str
    kinds: tuple[str, ...]
    changes: tuple[str, ...]
    generated_count: int

    def about(self, classes: Sequence[str]) -> About:
        """What a model of these classes is."""

    def test_set(self, cases: Any, *, least: int = 1) -> TestSet:
        """Cases as `load` gives them, in slices; smaller ones than `least` of a kind are one."""

    def ingest(
        self, origin: Origin, destination: Path, params: StageParams, *, seed: int, progress: Progress | None = None
    ) -> SnapshotCard:
        """Read or generate data, cut them into three sets that share no subject, and write a snapshot's folder.

        The same origin, parameters and seed give the same content.

        Args:
            destination: does not exist yet; it appears whole or not at all.
            params: of the task.
            seed: of the generator, and of the cut.

        Raises:
            InputError, UsageError: the file, or its split, cannot be used.
            StorageError: the disk did not take it.
        """

    def read(self, file: DataFile, classes: Sequence[str] | None = None, *, held_out: bool = False) -> Any:
        """All cases of a file, whatever split it brings along.

        Args:
            classes: that its class list has to be.
            held_out: only what its own split holds out, where it has one.

        Raises:
            InputError, UsageError: it cannot be used, or its class list is another.
        """

    def load(self, snapshot: Path, name: SetName) -> Any:
        """One set of a snapshot; opens no other."""

    def inspect(self, snapshot: Path, limits: Mapping[str, Any], previous_count: int | None) -> Inspection:
        """What the data contract looks at.

        Args:
            limits: section `contract` of the stage `prepare`.
            previous_count: cases of the snapshot before; None when there is none to compare with.

        Raises:
            UsageError: the limits are not usable.
        """

    def compare(
        self, first: Answers, second: Answers, classes: Sequence[str] = (), others: Sequence[str] = ()
    ) -> Agreement:
        """Two models' answers to the same cases, each with its class list; without, they have the same.

        Raises:
            InputError: they are no answers to the same cases.
        """

    def change(self, name: str, case: Any, place: int) -> Any:
        """The case as a change of `changes` makes it; place: its own in the set."""

    def restored(self, name: str, answers: Answers, cases: Sequence[Any]) -> Answers:
        """Answers to changed cases as they would be to the cases as they were (a mirrored image's, mirrored back)."""

    def changeable(self, test: TestSet, classes: Sequence[str] | None) -> Sequence[int]:
        """Places of the cases that a change is meant for; classes: None for all."""

    def golden(self, folder: Path | None, classes: Sequence[str], *, synthetic: bool) -> GoldenSet:
        """The golden cases of a folder for a model of these classes.

        Args:
            synthetic: whether it learned from synthetic data, and so is asked for made-up cases as well.

        Raises:
            FormatError: a file there is damaged.
        """

    def golden_answers(self, answers: Answers, golden: GoldenSet, classes: Sequence[str]) -> tuple[GoldenAnswer, ...]:
        """How the golden cases were answered."""


@runtime_checkable
class PredictionJudge(Protocol):
    """What an evaluator may do besides: judge predictions that lie in a file, whatever made them."""

    def judged(self, file: DataFile, predictions: Path) -> Judged:
        """How good predictions of all cases of a data file are; only its labels are read.

        Raises:
            InputError, UsageError: a file cannot be used, or the predictions are of something else.
        """
