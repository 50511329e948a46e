"""Answers that must hold and changes that must change nothing, as numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.errors import InputError
from recognizer.evaluation.behaviour import GoldenAnswer, golden_answers, measure_invariance
from recognizer.sequences import SequenceSet, SkeletonSequence

NAN = math.nan
BEFORE = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]


def cases(labels, classes):
    """One frame of nobody for each label; case i is called `case i`."""
    nobody = np.zeros((1, 1, 17, 2), np.float32), np.zeros((1, 1, 17), np.float32)
    made = (SkeletonSequence(f"case {i}", *nobody, label, None, (10, 10)) for i, label in enumerate(labels))
    return SequenceSet(classes, tuple(made))


def agreement(first, second):
    return ActionEvaluator().compare({SCORES: np.array(first)}, {SCORES: np.array(second)})


@pytest.mark.parametrize(
    ("row", "label", "expected", "holds"),
    [
        ([0.7, 0.2, 0.1], 0, ("a", "a", 0.7, 0.2), True),
        ([0.2, 0.1, 0.7], 2, ("c", "c", 0.7, 0.2), True),
        ([0.3, 0.6, 0.1], 0, ("a", "b", 0.6, 0.3), False),
        ([0.4, 0.4, 0.2], 1, ("b", "a", 0.4, 0.4), False),  # the first highest is the answer
        ([1.0, 0.0, 0.0], 0, ("a", "a", 1.0, 0.0), True),
    ],
)
def test_golden_answers_by_hand(row, label, expected, holds):
    (made,) = golden_answers(np.array([row]), cases([label], ("a", "b", "c")))
    assert made == GoldenAnswer("case 0", *expected)
    assert made.holds is holds


def test_every_golden_case_is_answered_in_order():
    made = golden_answers(np.eye(3, dtype=np.float32)[[2, 0, 1, 1]], cases([2, 0, 1, 0], ("a", "b", "c")))
    assert [answer.name for answer in made] == ["case 0", "case 1", "case 2", "case 3"]
    assert [answer.holds for answer in made] == [True, True, True, False]
    assert golden_answers(np.zeros((0, 3)), cases([], ("a", "b", "c"))) == ()
    assert golden_answers(np.ones((1, 1)), cases([0], ("a",)))[0].runner_up == 0.0


@pytest.mark.parametrize(
    "scores",
    [np.ones((1, 2)), np.ones((2, 3)), np.ones(2), np.array([[0.5, NAN], [0.5, 0.5]]), np.full((2, 2), np.inf)],
)
def test_scores_that_answer_no_golden_cases_are_refused(scores):
    with pytest.raises(InputError, match=r"expected \(2, 2\) finite"):
        golden_answers(scores, cases([0, 1], ("a", "b")))


@pytest.mark.parametrize(
    ("after", "same", "largest", "median"),
    [
        (BEFORE, 1.0, 0.0, 0.0),
        ([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]], 0.75, 0.1, 0.0),
        ([[0.1, 0.9], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]], 0.75, 0.8, 0.15),
        ([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2], [0.4, 0.6]], 0.0, 0.8, 0.4),
        ([[0.9, 0.1], [NAN, 0.4], [0.2, 0.8], [0.5, 0.5]], 0.75, None, None),
        ([[NAN, NAN]] * 4, 0.0, None, None),
    ],
)
def test_invariance_by_hand(after, same, largest, median):
    made = measure_invariance("shift", agreement(BEFORE, after))
    assert (made.name, made.same, made.n) == ("shift", same, 4)
    assert made.largest_change == (None if largest is None else pytest.approx(largest))
    assert made.median_change == (None if median is None else pytest.approx(median))


def test_a_change_is_the_largest_of_any_score():
    made = measure_invariance("mirror", agreement([[0.5, 0.3, 0.2]], [[0.4, 0.2, 0.4]]))
    assert made.largest_change == pytest.approx(0.2)


@pytest.mark.parametrize(("before", "after"), [((0, 2), (0, 2)), ((2, 2), (2, 3)), ((3, 2), (2, 2))])
def test_scores_that_cannot_be_compared_are_refused(before, after):
    with pytest.raises(InputError, match="cannot compare"):
        agreement(np.ones(before), np.ones(after))
