"""What a model has to do whatever its averages say: answers that must hold, and changes that must change nothing.

Source: Ribeiro, Wu, Guestrin, Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList": minimum
functionality tests (`GoldenAnswer`) and invariance tests (`Invariance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.answers import Agreement
from recognizer.errors import InputError
from recognizer.sequences import SequenceSet


@dataclass(frozen=True)
class GoldenAnswer:
    """What a model said to one case whose answer must hold.

    Attributes:
        name: the case's.
        expected, answered: names of classes.
        confidence: score of the answer, in [0, 1].
        runner_up: score of the next best class; 0 where there is one class only.
    """

    name: str
    expected: str
    answered: str
    confidence: float
    runner_up: float

    @property
    def holds(self) -> bool:
        return self.answered == self.expected


@dataclass(frozen=True)
class Invariance:
    """One model on n cases as they are, and changed in a way that should not matter.

    The change of a case is how far its two answers lie apart.

    Attributes:
        name: of the change.
        same: share of cases with the same answer, in [0, 1]; a case that is not finite counts as another answer.
        largest_change, median_change: over the cases, in [0, 1]; None when a score is not finite.
    """

    name: str
    same: float
    largest_change: float | None
    median_change: float | None
    n: int


def golden_answers(scores: NDArray[Any], cases: SequenceSet) -> tuple[GoldenAnswer, ...]:
    """Scores (n, k) beside n cases whose class list is the model's; the answer is the first highest.

    Raises:
        InputError: a shape that does not fit the cases, or a score that is not finite.
    """
    if scores.shape != (len(cases), len(cases.classes)) or not np.isfinite(scores).all():
        raise InputError(
            f"scores of shape {scores.shape}, expected ({len(cases)}, {len(cases.classes)}) finite ones",
            hint="ask the model for these very cases, with its own class list",
        )
    return tuple(
        _golden_answer(row, case.name, case.label, cases.classes) for row, case in zip(scores, cases, strict=True)
    )


def measure_invariance(name: str, agreement: Agreement) -> Invariance:
    """Of the answers to cases as they are, and to the same cases changed; without any case nothing is known."""
    n = len(agreement)
    same = int(agreement.same.sum()) / n if n else 0.0
    return Invariance(name, same, agreement.farthest, agreement.median, n)


def _golden_answer(row: NDArray[Any], name: str, label: int, classes: Sequence[str]) -> GoldenAnswer:
    answer = int(row.argmax())
    others = np.delete(row, answer)
    return GoldenAnswer(
        name=name,
        expected=classes[label],
        answered=classes[answer],
        confidence=float(row[answer]),
        runner_up=float(others.max(initial=0.0)),
    )
