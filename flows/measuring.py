"""Everything the gates judge, measured: the candidate, its rivals, and what it does with changed inputs.

One pass over the test set in batches of the largest size asks each model for all its answers, so that the memory it
takes does not grow with the set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.answers import Answers, chosen, joined
from recognizer.errors import GivenUp, InputError, PluginError
from recognizer.evaluation.behaviour import Invariance, measure_invariance
from recognizer.evaluation.measured import Golden, Rival
from recognizer.evaluation.paired import PairedDifference, paired_difference
from recognizer.evaluation.parity import AGAIN, BATCHES, Parity, measure_parity
from recognizer.evaluation.significance import mcnemar
from recognizer.evaluation.summands import share
from recognizer.evaluator import Evaluator, TestSet, Units
from recognizer.gates import GateConfig
from recognizer.gates.config import GoldenGate, ParityGate, SliceGate
from recognizer.tasks import Cancel, Predictor

Reference = Callable[[Sequence[Any]], Answers]
"""n cases → the trained network's answers."""

LARGEST = max(BATCHES)
PATIENCE_SECONDS = 60.0
MOST_REPEATED = 96
"""So many test cases, evenly taken, are asked one by one, in small batches, and twice."""
MOST_CHANGED = 120
"""So many test cases, evenly taken, are asked again with changed inputs."""


def make_test_set(evaluator: Evaluator, cases: Any, config: GateConfig) -> TestSet:
    """Cases of the task, in slices as the gate asks for them."""
    return evaluator.test_set(cases, least=config.gates.slices.min_cases if config.gates.slices is not None else 1)


def ask(predictor: Predictor, inputs: Mapping[str, NDArray[Any]]) -> Answers:
    """Answers of one call; a model in a loop without end is given up. A single endless kernel cannot be.

    Raises:
        PluginError: no answer in time, or none that is one.
    """
    cancel = Cancel()
    timer = threading.Timer(PATIENCE_SECONDS, cancel.give_up)
    timer.daemon = True
    timer.start()
    try:
        return predictor.predict(inputs, cancel).answers
    except GivenUp as error:
        raise PluginError(f"the model gave no answer within {PATIENCE_SECONDS:g} s", hint="mend the model") from error
    finally:
        timer.cancel()


def answer(predictor: Predictor, cases: Sequence[Any]) -> Answers:
    """The answers to n cases."""
    return joined([ask(predictor, predictor.inputs(part)) for part in _parts(cases)])


def measure_batches(
    evaluator: Evaluator,
    predictor: Predictor,
    cases: Sequence[Any],
    reference: Reference | None,
    gate: ParityGate | None,
) -> tuple[Answers, Mapping[str, Parity]]:
    """The model's answers, and how far they move with the number of cases asked at once, and asked again.

    All cases are asked in the largest batches; of the others so many as `MOST_REPEATED`, evenly taken.

    Args:
        reference: answers of the trained network; None where there is none, then the batched ones take their place.
        gate: how many ties there may be; asked again, the model has none.
    """
    allowed = gate.ties if gate is not None else 0.0

    def parity_of(expected: Answers, found: Answers, ties: float = allowed) -> Parity:
        return measure_parity(evaluator.compare(expected, found), ties)

    answers = answer(predictor, cases)
    expected = reference(cases) if reference is not None else answers
    some = _evenly(range(len(cases)), MOST_REPEATED)
    inputs = predictor.inputs([cases[place] for place in some])
    parity = {str(LARGEST): parity_of(expected, answers)}
    for size in BATCHES[:-1]:
        found = joined([ask(predictor, rows) for rows in _rows(inputs, len(some), size)])
        parity[str(size)] = parity_of(chosen(expected, some), found)
    once, again = (joined([ask(predictor, rows) for rows in _rows(inputs, len(some), LARGEST)]) for _ in range(2))
    return answers, {**parity, AGAIN: parity_of(once, again, ties=0.0)}


def compare(
    evaluator: Evaluator,
    config: GateConfig,
    test: TestSet,
    candidate: Answers,
    other: Answers,
    *,
    digest: str,
    version: int | None,
) -> Rival:
    """Another model on the same cases, paired with the candidate case by case."""
    units, others = test.units(candidate), test.units(other)
    differences = {}
    for metric in config.gates.relative or {}:
        mine, theirs = test.paired(metric, candidate), test.paired(metric, other)
        differences[metric] = paired_difference(mine.summands, theirs.summands, mine.people)
    gate = config.gates.slices
    by_kind = {} if gate is None else {kind: _by_slice(gate, kind, units, others) for kind in gate.kinds}
    return Rival(
        digest=digest,
        version=version,
        evaluation=test.evaluate(other),
        differences=differences,
        slices={kind: found for kind, found in by_kind.items() if found},
        answers=mcnemar(units.right, others.right),
        disagreement=float(1 - evaluator.compare(candidate, other).same.mean()),
    )


def _by_slice(gate: SliceGate, kind: str, units: Units, others: Units) -> dict[str, PairedDifference]:
    """Slice of a kind → difference of the share that is right, where it has enough units."""
    names, people = np.array(units.slices[kind], dtype=object), np.array(units.people, dtype=object)
    found = {}
    for name in sorted({name for name in names if name is not None}):
        inside = names == name
        if inside.sum() >= max(gate.min_cases, 2):
            mine, theirs, who = share(units.right[inside]), share(others.right[inside]), people[inside].tolist()
            found[name] = paired_difference(mine, theirs, who, margin=gate.margin)
    return found


def ask_golden(
    evaluator: Evaluator, predictor: Predictor, folder: Path | None, classes: Sequence[str], *, synthetic: bool
) -> Golden:
    """How the model answers the golden cases of a folder.

    Raises:
        FormatError: a file there is damaged.
    """
    golden = evaluator.golden(folder, classes, synthetic=synthetic)
    if not golden.items:
        return Golden((), golden.left_out, golden.digest)
    answers = evaluator.golden_answers(answer(predictor, golden.items), golden, classes)
    return Golden(answers, golden.left_out, golden.digest)


def change_inputs(
    evaluator: Evaluator, predictor: Predictor, test: TestSet, answers: Answers, gate: GoldenGate
) -> Iterator[Invariance]:
    """Each configured change of the input, tried on test cases; answers: to the cases as they are."""
    for name, bound in gate.changes.items():
        places = _evenly(evaluator.changeable(test, bound.classes), MOST_CHANGED)
        if not places:
            yield Invariance(name, 0.0, None, None, 0)
            continue
        cases = [test.items[place] for place in places]
        changed = [evaluator.change(name, case, place) for case, place in zip(cases, places, strict=True)]
        found = evaluator.restored(name, answer(predictor, changed), cases)
        yield measure_invariance(name, evaluator.compare(chosen(answers, places), found))


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
