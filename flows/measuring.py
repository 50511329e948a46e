"""Everything the gates judge, measured: the candidate, its rivals, and what it does with changed inputs.

One pass over the test set in batches of the largest size asks each model for all its answers, so that the memory it
takes does not grow with the set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import GivenUp, InputError, PluginError
from recognizer.evaluation.behaviour import Invariance, golden_answers, measure_invariance
from recognizer.evaluation.classification import evaluate_classification, summands
from recognizer.evaluation.measured import Golden, Rival
from recognizer.evaluation.paired import PairedDifference, paired_difference
from recognizer.evaluation.parity import AGAIN, BATCHES, Parity, measure_parity
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.significance import mcnemar
from recognizer.evaluation.slices import Slices, sequence_slices
from recognizer.evaluation.summands import share
from recognizer.gates import GateConfig
from recognizer.gates.config import GoldenGate, Mirrored, SliceGate
from recognizer.golden import read_golden
from recognizer.perturbation import CHANGES
from recognizer.sequences import SequenceSet
from recognizer.tasks import Cancel, Predictor

Scores = NDArray[np.float32]

LARGEST = max(BATCHES)
PATIENCE_SECONDS = 60.0
MOST_REPEATED = 96
"""So many test cases, evenly taken, are asked one by one, in small batches, and twice."""
MOST_CHANGED = 120
"""So many test cases, evenly taken, are asked again with changed inputs."""


@dataclass(frozen=True)
class TestSet:
    """The frozen test set and how it is cut into slices."""

    cases: SequenceSet
    slices: Slices

    @classmethod
    def of(cls, cases: SequenceSet, config: GateConfig) -> TestSet:
        least = config.gates.slices.min_cases if config.gates.slices is not None else 1
        return cls(cases, sequence_slices(cases, least))

    def evaluate(self, scores: Scores) -> Evaluation:
        """scores: (n, k)."""
        return evaluate_classification(scores, self.cases.labels, self.cases.classes, slices=self.slices)


def ask(predictor: Predictor, inputs: Mapping[str, NDArray[Any]]) -> Scores:
    """Scores (n, k) of one call; a model in a loop without end is given up. A single endless kernel cannot be.

    Raises:
        PluginError: no answer in time, or none that is one.
    """
    cancel = Cancel()
    timer = threading.Timer(PATIENCE_SECONDS, cancel.give_up)
    timer.daemon = True
    timer.start()
    try:
        return predictor.predict(inputs, cancel).scores
    except GivenUp as error:
        raise PluginError(f"the model gave no answer within {PATIENCE_SECONDS:g} s", hint="mend the model") from error
    finally:
        timer.cancel()


def answer(predictor: Predictor, cases: Sequence[Any]) -> Scores:
    """Scores (n, k) of n cases."""
    return np.concatenate([ask(predictor, predictor.inputs(part)) for part in _parts(cases)])


def measure_batches(
    predictor: Predictor, cases: Sequence[Any], reference: Callable[[Sequence[Any]], Scores] | None
) -> tuple[Scores, Mapping[str, Parity]]:
    """The model's scores (n, k), and how far they move with the number of cases asked at once, and asked again.

    All cases are asked in the largest batches; of the others so many as `MOST_REPEATED`, evenly taken.

    Args:
        reference: scores of the trained network; None where there is none, then the batched answers take its place.
    """
    scores = answer(predictor, cases)
    expected = reference(cases) if reference is not None else scores
    some = _evenly(range(len(cases)), MOST_REPEATED)
    inputs = predictor.inputs([cases[place] for place in some])
    parity = {str(LARGEST): measure_parity(expected, scores)}
    for size in BATCHES[:-1]:
        found = np.concatenate([ask(predictor, rows) for rows in _rows(inputs, len(some), size)])
        parity[str(size)] = measure_parity(expected[some], found)
    once, again = (
        np.concatenate([ask(predictor, rows) for rows in _rows(inputs, len(some), LARGEST)]) for _ in range(2)
    )
    return scores, {**parity, AGAIN: measure_parity(once, again)}


def compare(
    config: GateConfig, test: TestSet, candidate: Scores, other: Scores, *, digest: str, version: int | None
) -> Rival:
    """Another model on the same cases, paired with the candidate case by case; scores: (n, k)."""
    labels, people = test.cases.labels, test.cases.subjects
    right, others_right = (scores.argmax(axis=1) == labels for scores in (candidate, other))
    differences = {
        metric: paired_difference(summands(metric, candidate, labels), summands(metric, other, labels), people)
        for metric in config.gates.relative or {}
    }
    gate = config.gates.slices
    by_kind = {} if gate is None else {kind: _by_slice(gate, test, kind, right, others_right) for kind in gate.kinds}
    return Rival(
        digest=digest,
        version=version,
        evaluation=test.evaluate(other),
        differences=differences,
        slices={kind: found for kind, found in by_kind.items() if found},
        answers=mcnemar(right, others_right),
        disagreement=float((candidate.argmax(axis=1) != other.argmax(axis=1)).mean()),
    )


def _by_slice(
    gate: SliceGate, test: TestSet, kind: str, right: NDArray[np.bool_], others_right: NDArray[np.bool_]
) -> dict[str, PairedDifference]:
    """Slice of a kind → difference of the accuracy, where it has enough cases; right: (n,) of either model."""
    names, people = np.array(test.slices[kind], dtype=object), np.array(test.cases.subjects, dtype=object)
    found = {}
    for name in sorted({name for name in names if name is not None}):
        inside = names == name
        if inside.sum() >= max(gate.min_cases, 2):
            mine, others, who = share(right[inside]), share(others_right[inside]), people[inside].tolist()
            found[name] = paired_difference(mine, others, who, margin=gate.margin)
    return found


def ask_golden(predictor: Predictor, folder: Path | None, classes: Sequence[str], *, synthetic: bool) -> Golden:
    """How the model answers the golden cases of a folder.

    Raises:
        FormatError: a file there is damaged.
    """
    golden = read_golden(folder, classes, synthetic=synthetic)
    answers = golden_answers(answer(predictor, golden.cases.sequences), golden.cases) if len(golden.cases) else ()
    return Golden(answers, golden.left_out, golden.digest)


def change_inputs(predictor: Predictor, cases: SequenceSet, scores: Scores, gate: GoldenGate) -> Iterator[Invariance]:
    """Each configured change of the input, tried on test cases; scores: (n, k) of the cases as they are."""
    for name, change in CHANGES.items():
        bound = getattr(gate, name)
        if bound is None:
            continue
        meant = bound.classes if isinstance(bound, Mirrored) else cases.classes
        chosen = _evenly([place for place, one in enumerate(cases) if cases.classes[one.label] in meant], MOST_CHANGED)
        if not chosen:
            yield Invariance(name, 0.0, None, None, 0)
            continue
        changed = answer(predictor, [change(cases.sequences[index], index) for index in chosen])
        yield measure_invariance(name, scores[chosen], changed)


def problem_of(error: Exception) -> str:
    """Why a candidate could not be evaluated, in one sentence: its fault, not the machine's."""
    what = error.what if isinstance(error, InputError | PluginError) else str(error)
    return f"the candidate could not be evaluated: {what}"


def _parts(cases: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(cases), LARGEST):
        yield cases[start : start + LARGEST]


def _rows(inputs: Mapping[str, NDArray[Any]], n: int, size: int) -> Iterator[dict[str, NDArray[Any]]]:
    for start in range(0, n, size):
        yield {name: array[start : start + size] for name, array in inputs.items()}


def _evenly(places: Sequence[int], most: int) -> list[int]:
    count = min(len(places), most)
    return [places[i * len(places) // count] for i in range(count)]
