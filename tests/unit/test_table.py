from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recognizer.checks import Check
from recognizer.evaluation import evaluate_classification
from recognizer.evaluation.behaviour import GoldenAnswer
from recognizer.evaluation.measured import Golden, Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.significance import McNemar
from recognizer.report import CHECK_COLUMNS, check_rows
from recognizer.report.plots import shortened
from recognizer.report.table import (
    class_rows,
    confusion_rows,
    difference_rows,
    golden_sentence,
    interval,
    metric_rows,
    rival_rows,
    rivals_of,
    signed,
    slice_rows,
    spoken,
)

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
            ("absolute", "accuracy", "0.874", "-", "≥ 0.900", "-", "1,238", "FAILED"),
        ),
        (
            Check.measured("relative", "accuracy", 0.9, threshold=0.87, baseline=0.9, n=238, interval=(0.881, 0.92)),
            ("relative", "accuracy", "0.900", "0.881 to 0.920", "≥ 0.870", "0.900", "238", "PASSED"),
        ),
        (
            Check.measured("parity", "max_abs_diff", 3.4e-7, threshold=1e-5, direction="max", n=238),
            ("parity", "max_abs_diff", "3.4e-7", "-", "≤ 1.0e-5", "-", "238", "PASSED"),
        ),
        (
            Check.measured("absolute", "accuracy", 0.89999, threshold=0.9, n=238),
            ("absolute", "accuracy", "0.89999", "-", "≥ 0.90000", "-", "238", "FAILED"),
        ),
        (
            Check.unmeasured("parity", "max_abs_diff", "parity was not measured", threshold=1e-5, direction="max"),
            ("parity", "max_abs_diff", "-", "-", "≤ 1.0e-5", "-", "0", "ERROR"),
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
    difference = PairedDifference(-0.5, -0.7, 0.1, 0.3, 2, None)
    rival = Rival("c" * 64, 6, champion, {}, {"subject": {"p": difference}}, McNemar(1, 2, 1.0), 0.5)
    assert slice_rows("subject", made, rival) == [
        ("r", "1", "0", "0 to 0.730", "1.000", "-"),
        ("p", "2", "0.500", "0.121 to 0.879", "0", "-0.500 (-0.700 to +0.100)"),
        ("q", "2", "1.000", "0.425 to 1.000", "1.000", "-"),
    ]
    assert slice_rows("subject", made, None)[0] == ("r", "1", "0", "0 to 0.730", "-", "-")
    assert slice_rows("class", made, None)[0][:3] == ("falling", "2", "0")
    assert slice_rows("camera", made, rival) == []


def test_rivals_are_called_by_what_they_are():
    made = evaluation([0, 0, 1, 1, 2, 2])
    one = Rival(
        "c", 6, made, {"accuracy": PairedDifference(0.0, -0.1, 0.1, 0.3, 6, None)}, {}, McNemar(7, 12, 0.36), 0.5
    )
    rivals = {"b": replace(one, digest="b", version=4), "c": one, "a": replace(one, digest="a", version=None)}
    of = Measured(made.classes, made, rivals=rivals, champion="c", best={"accuracy": "b", "macro_f1": "b"})
    assert [name for name, _ in rivals_of(of)] == ["champion, version 6", "best before", "best before, version 4"]
    apart = replace(of, best={"accuracy": "b", "macro_f1": "a"})
    assert [name for name, _ in rivals_of(apart)][1:] == [
        "best before by accuracy, version 4",
        "best before by macro F1",
    ]
    assert rival_rows(rivals_of(of))[0] == ("champion, version 6", "7", "12", "0.360", "50 %")
    assert difference_rows(of)[0] == ("accuracy", "champion, version 6", "0", "-0.100 to +0.100")


@pytest.mark.parametrize(
    ("golden", "says"),
    [
        (Golden((), 0, "d"), "There is no golden case of these classes."),
        (Golden((), 2, "d"), "There is no golden case of these classes. 2 more are of other classes or made-up"),
        (Golden((GoldenAnswer("g", "falling", "falling", 0.9, 0.1),), 0, "d"), "All 1 golden cases were answered"),
        (
            Golden((GoldenAnswer("g", "falling", "lying", 0.9, 0.1),) * 7, 0, "d"),
            "7 of 7 golden cases were answered otherwise than they must be: g was answered lying",
        ),
    ],
)
def test_golden_cases_in_words(golden, says):
    assert golden_sentence(golden).startswith(says)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [(None, "-"), ((0.93123, 0.96), "0.931 to 0.960"), ((0.95001, 0.95002), "0.95001 to 0.95002")],
)
def test_interval(bounds, text):
    assert interval(bounds) == text


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
