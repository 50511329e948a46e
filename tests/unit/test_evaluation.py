from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.answers import Agreement
from recognizer.errors import FormatError, InputError, LabelError
from recognizer.evaluation import Evaluation, Parity, compare, evaluate_classification, measure_parity
from recognizer.evaluation.calibration import calibration_error, reliability_bins
from recognizer.evaluation.comparison import same_cases

AB = ("a", "b")


def case(seed, n=240, k=5, *, present=None, skill=1.0):
    """Random answers over k classes, right more often than not; labels only of the `present` classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, present or k, n)
    scores = random.dirichlet(np.full(k, 0.5), n)
    scores[np.arange(n), labels] += skill * random.random(n)
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores, labels, tuple(f"class {index}" for index in range(k))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k", "present"), [(2, 2), (5, 5), (7, 4), (20, 20)])
def test_agrees_with_scikit_learn(seed, k, present):
    scores, labels, classes = case(seed, k=k, present=present, n=150)
    made = evaluate_classification(scores, labels, classes)
    answers, seen = scores.argmax(axis=1), np.unique(labels)
    expected = {"accuracy": oracle.accuracy_score(labels, answers)}
    for average in ("macro", "weighted"):
        values = oracle.precision_recall_fscore_support(labels, answers, labels=seen, average=average, zero_division=0)
        expected |= {
            f"{average}_{name}": value for name, value in zip(("precision", "recall", "f1"), values, strict=False)
        }
    recalls = oracle.recall_score(labels, answers, labels=seen, average=None, zero_division=0)
    wide = scores.astype(np.float64)
    expected["worst_class_recall"] = recalls.min()
    expected["mean_confidence"] = wide.max(axis=1).mean()
    expected["log_loss"] = oracle.log_loss(labels, wide / wide.sum(axis=1, keepdims=True), labels=np.arange(k))
    for name, value in expected.items():
        assert made.metrics[name] == pytest.approx(value, abs=1e-6), name
    assert set(made.metrics) == {*expected, "calibration_error"}
    assert np.array_equal(made.confusion, oracle.confusion_matrix(labels, answers, labels=np.arange(k)))


def test_by_hand():
    scores = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.3, 0.7, 0]])
    made = evaluate_classification(scores, np.array([0, 0, 1, 1]), ("a", "b", "c"), ["p", "p", None, "q"])
    assert made.n == 4
    assert made.confusion == ((1, 1, 0), (1, 1, 0), (0, 0, 0))
    assert made.metrics["accuracy"] == made.metrics["macro_f1"] == made.metrics["worst_class_recall"] == 0.5
    assert made.metrics["mean_confidence"] == pytest.approx(0.75)
    assert made.metrics["log_loss"] == pytest.approx(-sum(map(math.log, (0.9, 0.2, 0.4, 0.7))) / 4)
    assert made.per_class["a"].n == 2
    assert {name: (part.n, part.accuracy) for name, part in made.slices["subject"].items()} == {
        "p": (2, 0.5),
        "q": (1, 1.0),
    }


def test_a_class_that_is_absent_or_never_answered_is_told_honestly():
    # Labels: a, b. Answers: a, c. Class d has neither.
    scores = np.eye(4)[[0, 0, 2]]
    made = evaluate_classification(scores, np.array([0, 0, 1]), ("a", "b", "c", "d"))
    a, b, c, d = made.per_class.values()
    assert (a.precision, a.recall, a.f1, a.n) == (1.0, 1.0, 1.0, 2)
    assert (b.precision, b.recall, b.f1, b.n) == (None, 0.0, 0.0, 1)  # never answered
    assert (c.precision, c.recall, c.f1, c.n) == (0.0, None, 0.0, 0)  # answered, absent from the labels
    assert (d.precision, d.recall, d.f1, d.n) == (None, None, None, 0)
    assert made.metrics["macro_precision"] == 0.5  # over a and b
    assert made.metrics["weighted_recall"] == pytest.approx(2 / 3)
    assert made.metrics["worst_class_recall"] == 0.0


def test_the_first_of_equal_scores_is_the_answer():
    made = evaluate_classification(np.full((1, 2), 0.5), np.array([0]), AB)
    assert made.metrics["accuracy"] == 1.0


def test_confident_mistakes_stay_finite():
    made = evaluate_classification(np.array([[1.0, 0.0]]), np.array([1]), AB)
    assert made.metrics["log_loss"] == pytest.approx(-math.log(np.finfo(np.float32).eps))
    assert made.metrics["calibration_error"] == 1.0


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([0.75] * 4, [True, True, True, False], 0.0),
        ([0.9] * 4, [True, True, False, False], 0.4),
        ([0.6, 0.6, 0.95, 0.95], [True, False, False, False], (2 * 0.1 + 2 * 0.95) / 4),
    ],
)
def test_calibration_error_by_hand(confidence, right, expected):
    assert calibration_error(reliability_bins(np.array(confidence), np.array(right))) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it():
    bins = reliability_bins(np.array([0.0, 0.25, 0.5, 0.5001, 1.0]), np.ones(5, bool), bins=4)
    assert [part.n for part in bins] == [2, 1, 1, 1]
    assert bins[0].confidence == 0.125
    assert reliability_bins(np.array([0.9]), np.ones(1, bool))[0].confidence is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 9))
def test_always_consistent(seed, n, k):
    scores, labels, classes = case(seed, n=n, k=k)
    subjects = [None if index % 5 == 0 else f"p{index % 4}" for index in range(n)]
    made = evaluate_classification(scores, labels, classes, subjects)
    assert Evaluation.from_dict(json.loads(json.dumps(made.as_dict(), allow_nan=False))) == made
    assert sum(map(sum, made.confusion)) == sum(part.n for part in made.reliability) == made.n == n
    assert sum(part.n for part in made.slices["subject"].values()) == n - subjects.count(None)
    assert made.metrics["weighted_recall"] == pytest.approx(made.metrics["accuracy"])
    assert all(0 <= value <= 1 + 1e-6 for name, value in made.metrics.items() if name != "log_loss")
    order = np.random.default_rng(seed).permutation(n)
    again = evaluate_classification(scores[order], labels[order], classes, [subjects[index] for index in order])
    assert again.metrics == made.metrics, "the order of the cases must not matter, not even in the last bit"


GOOD = np.array([[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("scores", "labels", "classes", "subjects", "error", "words"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), AB, None, InputError, "no cases"),
        (GOOD, np.array([0]), AB, None, InputError, "expected 2 whole numbers"),
        (GOOD, np.array([0.0, 1.0]), AB, None, InputError, "expected 2 whole numbers"),
        (GOOD, np.array([0, 1]), ("a", "b", "c"), None, InputError, r"expected \(n, 3\)"),
        (GOOD[0], np.array([0, 1]), AB, None, InputError, "shape"),
        (GOOD, np.array([0, 1]), AB, ["p"], InputError, "1 subjects for 2 cases"),
        (GOOD, np.array([0, 2]), AB, None, LabelError, "case 1: label 2 is beyond the 2 classes"),
        (GOOD, np.array([-1, 0]), AB, None, LabelError, "case 0: label -1"),
        (np.array([[0.9, 0.1], [np.nan, 0.5]]), np.array([0, 1]), AB, None, InputError, "case 1: 1 of 2 answers"),
        (np.array([[np.inf, 0.1], [0.5, 0.5]]), np.array([0, 1]), AB, None, InputError, "case 0"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), np.array([0, 1]), AB, None, InputError, "case 0"),
        (np.array([[3.0, 4.0], [0.5, 0.5]]), np.array([0, 1]), AB, None, InputError, "sum to 1"),
    ],
)
def test_refuses_what_cannot_be_judged(scores, labels, classes, subjects, error, words):
    with pytest.raises(error, match=words) as raised:
        evaluate_classification(scores, labels, classes, subjects)
    assert raised.value.hint


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"n": None, "classes": 3}, {"per_class": {"a": {}}}, {"reliability": [{}]}, {"slices": 1}]
)
def test_a_stored_evaluation_is_read_strictly(change):
    plain = evaluate_classification(GOOD, np.array([0, 1]), AB).as_dict()
    with pytest.raises(FormatError, match=r"Next: evaluate the model again"):
        Evaluation.from_dict({**plain, **change})


def agreement(first, second):
    return ActionEvaluator().compare({SCORES: first}, {SCORES: second})


@pytest.mark.parametrize(
    ("reference", "exported", "expected"),
    [
        (GOOD, GOOD, Parity(0.0, 1.0, 2)),
        (GOOD, np.add(GOOD, [[0.25, 0], [0, 0]]), Parity(0.25, 1.0, 2)),
        (GOOD, GOOD[:, ::-1], Parity(0.8, 0.0, 2)),
        (GOOD, np.array([[np.nan, 0.1], [0.2, 0.8]]), Parity(None, 0.5, 2)),
        (np.array([[np.inf, 0], [0, 1]]), np.array([[np.inf, 0], [0, 1]]), Parity(None, 0.5, 2)),
    ],
)
def test_parity(reference, exported, expected):
    made = measure_parity(agreement(reference.astype(np.float32), exported.astype(np.float64)))
    assert made.as_dict() == pytest.approx(expected.as_dict(), abs=1e-6)


@pytest.mark.parametrize(
    ("apart", "ties", "largest"),
    [
        ([0.0, 0.5, 0.25, 0.0], 0.0, 0.5),
        ([0.0, 0.5, 0.25, 0.0], 0.001, 0.25),  # rounded up: one case
        ([0.0, 0.5, 0.25, 0.0], 0.5, 0.0),
        ([0.5], 0.001, None),  # no case is left
        ([0.5, float("nan")], 0.5, None),
        ([0.04, *[1e-9] * 3199], 0.001, 1e-9),
        ([*[0.04] * 5, *[1e-9] * 3195], 0.001, 0.04),  # four are left out
    ],
)
def test_parity_without_ties(apart, ties, largest):
    found = Agreement(np.ones(len(apart), bool), np.array(apart))
    assert measure_parity(found, ties) == Parity(largest, 1.0, len(apart), found.farthest if ties else None)


@pytest.mark.parametrize("other", [np.zeros((3, 2)), np.zeros((2, 3))])
def test_parity_refuses_what_does_not_fit(other):
    with pytest.raises(InputError, match="cannot compare answers"):
        agreement(GOOD, other)
    with pytest.raises(InputError, match="cannot compare answers"):
        agreement(np.zeros((0, 2)), np.zeros((0, 2)))


def test_compare_knows_which_way_is_better():
    scores, labels, classes = case(0)
    good = evaluate_classification(scores, labels, classes)
    bad = evaluate_classification(np.full_like(scores, 1 / 5), labels, classes)
    rows = {row.metric: row for row in compare(good, bad)}
    assert rows["accuracy"].better
    assert rows["accuracy"].change == pytest.approx(good.metrics["accuracy"] - bad.metrics["accuracy"])
    assert rows["log_loss"].better
    assert rows["log_loss"].change < 0
    assert rows["mean_confidence"].better is None
    assert not {row.metric: row for row in compare(bad, good)}["log_loss"].better
    assert {row.better for row in compare(good, good)} == {None}
    assert {(row.champion, row.change, row.better) for row in compare(good, None)} == {(None, None, None)}


@pytest.mark.parametrize(
    ("labels", "subjects", "same"),
    [([0, 1, 1], "ppq", True), ([1, 1, 0], "ppq", True), ([0, 0, 1], "ppq", False), ([0, 1, 1], "pqq", False)],
)
def test_same_cases(labels, subjects, same):
    scores = np.full((3, 2), 0.5)
    left = evaluate_classification(scores, np.array([0, 1, 1]), AB, list("ppq"))
    assert same_cases(left, evaluate_classification(scores, np.array(labels), AB, list(subjects))) is same
