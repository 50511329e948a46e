"""What a model answers alone, in batches and asked again, and what may be a tie."""

import numpy as np
import pytest

from flows.measuring import LARGEST, MOST_REPEATED, measure_batches
from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.evaluation.parity import AGAIN, Parity
from recognizer.gates.config import ParityGate
from recognizer.tasks import Prediction

CASES = tuple(range(200))


class Batched:
    """Answers 0.75 to every case; to some cases something else where they are asked in large batches, or again."""

    task = "action"

    def __init__(self, *, odd=(), again=0.0):
        self.odd, self.again, self.asked = odd, again, 0

    def inputs(self, cases):
        return {"case": np.array(cases)}

    def predict(self, inputs, cancel=None):
        cases = inputs["case"]
        self.asked += 1
        right = np.full(len(cases), 0.75)
        if len(cases) == LARGEST:
            right[np.isin(cases, self.odd)] = 0.5
        right += self.again * (self.asked % 2)
        return Prediction({SCORES: np.stack([right, 1 - right], axis=1)})


def reference(cases):
    return {SCORES: np.tile([0.75, 0.25], (len(cases), 1))}


@pytest.mark.parametrize(
    ("odd", "ties", "largest"),
    [((), 0.0, 0.0), ((7,), 0.0, 0.25), ((7,), 0.001, 0.0), ((7, 9), 0.001, 0.25), ((7, 9), 0.01, 0.0)],
)
def test_ties_are_left_out_of_all_sizes(odd, ties, largest):
    gate = ParityGate(tolerance=1e-5, ties=ties)
    answers, parity = measure_batches(ActionEvaluator(), Batched(odd=odd), CASES, reference, gate)
    assert len(answers[SCORES]) == len(CASES)
    beyond = (0.25 if odd else 0.0) if ties else None
    assert parity[str(LARGEST)] == Parity(largest, 1.0, len(CASES), beyond)
    assert parity["1"] == parity["8"] == Parity(0.0, 1.0, MOST_REPEATED, 0.0 if ties else None)
    assert parity[AGAIN] == Parity(0.0, 1.0, MOST_REPEATED)


def test_nothing_is_a_tie_when_the_same_is_asked_again():
    _, parity = measure_batches(
        ActionEvaluator(), Batched(again=1e-9), CASES, reference, ParityGate(tolerance=1.0, ties=0.01)
    )
    assert parity[AGAIN].max_abs_diff == pytest.approx(1e-9, rel=1e-3)


def test_without_a_gate_nothing_is_a_tie():
    _, parity = measure_batches(ActionEvaluator(), Batched(odd=(7,)), CASES, reference, None)
    assert parity[str(LARGEST)].max_abs_diff == 0.25
