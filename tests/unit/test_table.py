from __future__ import annotations

import numpy as np
import pytest

from recognizer.checks import Check
from recognizer.evaluation import evaluate_classification
from recognizer.report import CHECK_COLUMNS, check_rows
from recognizer.report.plots import shortened
from recognizer.report.table import class_rows, confusion_rows, metric_rows, signed, slice_rows, spoken

CLASSES = ("walking", "running", "falling")


def evaluation(answers, labels=(0, 0, 1, 1, 2, 2), subjects=("q", "q", "p", "p", "r", None)):
    scores = np.full((len(answers), 3), 0.1)
    scores[np.arange(len(answers)), answers] = 0.8
    return evaluate_classification(scores, np.array(labels), CLASSES, subjects)


@pytest.mark.parametrize(
    ("check", "row"),
    [
        (
            Check.measured("absolute", "accuracy", 0.874, threshold=0.9, n=1238),
            ("absolute", "accuracy", "0.874", "≥ 0.900", "-", "1,238", "FAILED"),
        ),
        (
            Check.measured("relative", "accuracy", 0.9, threshold=0.87, baseline=0.9, n=238),
            ("relative", "accuracy", "0.900", "≥ 0.870", "0.900", "238", "PASSED"),
        ),
        (
            Check.measured("parity", "max_abs_diff", 3.4e-7, threshold=1e-5, direction="max", n=238),
            ("parity", "max_abs_diff", "3.4e-7", "≤ 1.0e-5", "-", "238", "PASSED"),
        ),
        (
            Check.measured("absolute", "accuracy", 0.89999, threshold=0.9, n=238),
            ("absolute", "accuracy", "0.89999", "≥ 0.90000", "-", "238", "FAILED"),
        ),
        (
            Check.unmeasured("parity", "max_abs_diff", "parity was not measured", threshold=1e-5, direction="max"),
            ("parity", "max_abs_diff", "-", "≤ 1.0e-5", "-", "0", "ERROR"),
        ),
    ],
)
def test_check_rows(check, row):
    assert check_rows([check]) == [(*row, check.reason)]
    assert len(CHECK_COLUMNS) == len(row) + 1


def test_confusions_come_most_frequent_first():
    assert confusion_rows(evaluation([0, 1, 2, 2, 2, 2])) == [
        ("running", "falling", "2", "100 %"),
        ("walking", "running", "1", "50 %"),
    ]
    assert confusion_rows(evaluation([0, 1, 2, 2, 2, 2]), most=1) == [("running", "falling", "2", "100 %")]
    assert confusion_rows(evaluation([0, 0, 1, 1, 2, 2])) == []


def test_metrics_beside_the_champions():
    rows = {row[0]: row[1:] for row in metric_rows(evaluation([0, 0, 1, 1, 2, 0]), evaluation([0, 0, 1, 2, 0, 0]))}
    assert rows["accuracy"] == ("0.833", "0.500", "+0.333", "better")
    assert rows["mean confidence"] == ("0.800", "0.800", "0", "")
    assert rows["calibration error"][3] == "better"
    alone = {row[0]: row[1:] for row in metric_rows(evaluation([0, 0, 1, 1, 2, 0]), None)}
    assert alone["macro F1"][1:] == ("-", "-", "")


def test_classes_and_slices():
    made, champion = evaluation([0, 0, 1, 0, 0, 0]), evaluation([0, 0, 0, 0, 2, 2])
    assert class_rows(made, champion) == [
        ("walking", "2", "0.400", "1.000", "0.571", "1.000"),
        ("running", "2", "1.000", "0.500", "0.667", "0"),
        ("falling", "2", "-", "0", "0", "1.000"),
    ]
    assert slice_rows(made, champion) == [
        ("r", "1", "0", "1.000"),
        ("p", "2", "0.500", "0"),
        ("q", "2", "1.000", "1.000"),
    ]
    assert slice_rows(made, None)[0] == ("r", "1", "0", "-")
    assert slice_rows(made, champion, "camera") == []


@pytest.mark.parametrize(("change", "text"), [(0.0123, "+0.012"), (-0.03, "-0.030"), (0.0, "0"), (3e-6, "+3.0e-6")])
def test_signed(change, text):
    assert signed(change) == text


@pytest.mark.parametrize(("metric", "text"), [("macro_f1", "macro F1"), ("worst_class_recall", "worst class recall")])
def test_spoken(metric, text):
    assert spoken(metric) == text


def test_long_names_keep_their_end_where_they_differ():
    long = [shortened(f"playing an instrument with number {index}") for index in range(3)]
    assert len(set(long)) == 3
    assert all(len(name) <= 24 for name in long)
    assert shortened("two\n lines") == "two lines"
