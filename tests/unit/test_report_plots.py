"""What the plots of a report mark, and what they say in words instead."""

from dataclasses import replace

import numpy as np
import pytest

from recognizer.evaluation import evaluate_classification
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.measured import Costs, Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.significance import McNemar
from recognizer.gates.config import Allowance, Budget
from recognizer.report.difference_plot import difference_plot
from recognizer.report.latency_plot import latency_plot
from recognizer.report.plots import CANDIDATE, MUTED, WRONG, reliability_plot
from recognizer.report.slice_plot import MOST_SLICES, slice_plot

CLASSES = ("walking", "falling")


def evaluation(right=(True,) * 40, subjects=None):
    labels = np.arange(len(right)) % 2
    answers = np.where(right, labels, 1 - labels)
    return evaluate_classification(np.eye(2)[answers], labels, CLASSES, subjects)


def compared(low, value, high, metric="accuracy", clusters=None):
    one = PairedDifference(value, low, high, 0.5, 40, clusters)
    rival = Rival("c", 6, evaluation(), {metric: one}, {}, McNemar(0, 0, 1.0), 0.0)
    return Measured(CLASSES, evaluation(), rivals={"c": rival}, champion="c")


@pytest.mark.parametrize(
    ("bounds", "metric", "allowance", "color", "side"),
    [
        ((-0.02, 0.01, 0.05), "accuracy", Allowance(margin=0.03), CANDIDATE, "right"),
        ((-0.03, 0.01, 0.05), "accuracy", Allowance(margin=0.03), CANDIDATE, "right"),
        ((-0.04, 0.01, 0.05), "accuracy", Allowance(margin=0.03), MUTED, "right"),
        ((-0.09, -0.04, 0.01), "accuracy", Allowance(margin=0.03), WRONG, "right"),
        ((-0.09, -0.04, 0.01), "log_loss", Allowance(margin=0.03, direction="max"), CANDIDATE, "left"),
        ((-0.01, 0.02, 0.05), "log_loss", Allowance(margin=0.03, direction="max"), MUTED, "left"),
        ((0.01, 0.04, 0.05), "log_loss", Allowance(margin=0.03, direction="max"), WRONG, "left"),
    ],
)
def test_the_color_says_whether_the_margin_is_kept(bounds, metric, allowance, color, side):
    drawn = difference_plot(compared(*bounds, metric=metric), {metric: allowance}).svg.decode()
    lines = {one for one in (CANDIDATE, MUTED, WRONG) if f"stroke: {one}; stroke-width: 2.4" in drawn}
    assert lines == {color}
    assert f"{side} is better" in drawn


def test_differences_without_a_margin_or_without_a_rival():
    plot = difference_plot(compared(-0.02, 0.01, 0.05), None)
    assert "margin" not in plot.caption
    assert "Too few subjects are named" in plot.caption
    assert "Too few" not in difference_plot(compared(-0.02, 0.01, 0.05, clusters=12), None).caption
    assert difference_plot(Measured(CLASSES, evaluation()), None) is None


def test_a_slice_surely_below_the_floor_is_red():
    subjects = ["bad"] * 20 + ["good"] * 20
    made = evaluation((False,) * 14 + (True,) * 26, subjects)
    plot = slice_plot(made, evaluation(subjects=subjects), floor=0.7)
    assert "Red: surely below the floor (1)." in plot.caption
    assert "Behind the champion in 3 of 4." in plot.caption
    assert "the worst is bad with 0.300" in plot.alt
    assert "floor 0.7" in plot.svg.decode()
    assert "Red" not in slice_plot(made, None).caption
    assert "champion" not in slice_plot(made, None).caption


def test_of_many_slices_the_worst_are_drawn():
    subjects = [f"P{place:02d}" for place in range(40)]
    drawn = slice_plot(evaluation((True,) * 30 + (False,) * 10, subjects), None).svg.decode()
    assert f"subject: the {MOST_SLICES} worst of 40" in drawn
    assert "P30 (1)" in drawn
    assert "P29 (1)" not in drawn


def test_nothing_is_drawn_of_what_was_not_measured():
    empty = replace(evaluation(), classes=("person",), per_class={}, slices={}, reliability=())
    assert slice_plot(empty, None) is None
    assert reliability_plot(empty) is None
    nobody = tuple(replace(part, n=0, confidence=None, accuracy=None) for part in evaluation().reliability)
    assert reliability_plot(replace(evaluation(), reliability=nobody)) is None


@pytest.mark.parametrize(
    ("latencies", "limit", "near", "logarithmic"),
    [((9.0, 10.0, 11.0), 15, True, False), ((9.0, 10.0, 11.0), 200, False, False), ((1.0, 2.0, 40.0), 50, True, True)],
)
def test_a_limit_is_marked_where_it_is_near(latencies, limit, near, logarithmic):
    costs = Costs(Footprint(latencies, (9.0,), 12.0, 1), None)
    plot = latency_plot(costs, {"latency_p95_ms": Budget(max=limit)})
    assert ("limit of p95" in plot.svg.decode()) is near
    assert ("far to the right" in plot.caption) is not near
    assert ("<!-- 20 -->" in plot.svg.decode() or ">20<" in plot.svg.decode()) is logarithmic
    assert "champion" not in plot.caption
