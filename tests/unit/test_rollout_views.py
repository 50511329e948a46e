"""Rollouts on a terminal and as a plot: numbers, times and curves as people read them."""

import io
import math
from xml.etree import ElementTree

import pytest
from rich.console import Console

from flows.command.explain_terminal import short, signal_table
from flows.command.rollout_terminal import lasted
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.verdict import Row
from recognizer.report.curves import HIGHEST, LOWEST, MOST_POINTS, curves, evidence_curves
from recognizer.rollout.explanation import Explanation, Leg, Point
from recognizer.rollout.plan import Strategy, make_plan
from recognizer.rollout.state import Phase, Rollout


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"), (0.26, "0.3 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.9, "60 s"), (60, "1 min"),
        (185.9, "3 min 5 s"), (3600, "1 h"), (7801, "2 h 10 min"), (86_400, "1 d"), (3 * 86_400 + 4 * 3659, "3 d 4 h"),
    ],
)  # fmt: skip
def test_how_long(seconds, said):
    assert lasted(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"), (0.00012, "0.00012"), (3.2109, "3.21"), (250.0, "250"), (4788.4, "4,788"), (1e6, "1e6"),
        (4.56e200, "4.56e200"), (1.5e-9, "1.5e-9"), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_a_number_in_three_digits(value, said):
    assert short(value) == said


def row(**changes):
    words = {
        "name": "error", "champion": (0, 0), "challenger": (0, 0), "champion_range": (0.0, 1.0),
        "challenger_range": (0.0, 1.0), "difference_range": (-1.0, 1.0), "pairs": (0, 0, 0), "evidence": 1.0,
        "highest": 1.0, "needed": 250.0, "proof": None, "proof_needed": None, "ruling": Ruling.WAIT, "crossed": None,
    }  # fmt: skip
    return Row(**{**words, **changes})


LOT = {
    "champion": (5, 2400),
    "challenger": (12, 240),
    "champion_range": (0.0004, 0.0061),
    "challenger_range": (0.02, 0.1),
}


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({**LOT, "highest": 312.0, "proof": 0.1, "proof_needed": 20.0, "ruling": Ruling.WORSE},
         ["error 5 of 2,400 12 of 240 312 0.1 WORSE", "0.21 % (0.04 … 0.61) 5 % (2 … 10) of 250 of 20"]),
        ({"pairs": (80, 3, 1)}, ["error 1 alone 3 alone 1 - WAIT", "80 pairs of 250"]),
        ({**LOT, "pairs": (80, 3, 1)},
         ["error 5 of 2,400 12 of 240 1 - WAIT",
          "0.21 % (0.04 … 0.61) 5 % (2 … 10) of 250", "80 pairs 1 alone 3 alone"]),
        ({"name": "disagreement", "champion_range": (0.12, 0.12), "challenger": (3, 80), "needed": 100.0,
          "challenger_range": (0.0021, 0.16)},
         ["disagreement at most 3 of 80 1 - WAIT", "12 % 3.8 % (0.21 … 16) of 100"]),
    ],
)  # fmt: skip
def test_a_signal_in_lines(changes, lines):
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(signal_table([row(**changes)]))
    shown = console.file.getvalue().splitlines()[2:]
    assert [" ".join(line.split()) for line in shown if line.strip()] == lines


def test_a_table_of_large_numbers_fits_a_terminal_of_80_columns():
    large = {"champion": (12_345, 1_234_567), "challenger": (1_234, 123_456), "champion_range": (0.0099, 0.0101)}
    rows = [row(name=name, **large, pairs=(99_999, 9, 9), highest=1e9) for name in ("success", "disagreement")]
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(signal_table(rows))
    assert "…" not in console.file.getvalue().replace(" … ", "")


def points(values, name="error"):
    return [Point(place, 100.0 + place, {name: value}) for place, value in enumerate(values, start=1)]


def test_a_curve_begins_at_nothing_and_is_cut_far_below():
    seconds, drawn, _ = curves(points([0.0, math.log(100), -50.0]), 100.0)
    assert seconds == [0.0, 1.0, 2.0, 3.0]
    assert drawn["error"] == pytest.approx([0.0, 0.0, 2.0, LOWEST])
    assert curves([], 0.0) == ([0.0], {}, {})


def test_a_proof_is_cut_far_above_what_a_pass_needs():
    told = [Point(1, 101.0, {"error": 800.0}, {"error": 800.0})]
    assert [drawn["error"][1] for drawn in curves(told, 100.0)[1:]] == pytest.approx([800 / math.log(10), HIGHEST])


def test_a_long_curve_keeps_its_peaks():
    values = [0.0] * 9_000
    values[4_321] = 30.0
    seconds, drawn, _ = curves(points(values), 100.0)
    assert len(seconds) == len(drawn["error"]) <= MOST_POINTS + 1
    assert max(drawn["error"]) == pytest.approx(30 / math.log(10))


def explanation(told=(), legs=(), **changes):
    rollout = Rollout(
        **{
            "id": 7, "key": None, "task": "action", "version": 2, "digest": "2" * 64, "champion_version": 1,
            "champion_digest": "1" * 64, "strategy": Strategy.CANARY, "plan": make_plan(), "position": 1,
            "phase": Phase.PROGRESSING, "reason": "good", "verdict": None, "accepts_disagreement": False,
            "promote_asked": False, "salt": "s", "evidence_from": 0, "revision": 3, "created_at": 100.0,
            "step_since": 100.0, **changes,
        }
    )  # fmt: skip
    return Explanation(rollout, tuple(legs), (), tuple(told), None, (), JudgeLimits())


@pytest.mark.parametrize(
    ("told", "legs"),
    [
        ([], []),
        ([], [Leg("LOADING", 0.0, 100.0, None, 0, (0, 0), 0, None)]),
        (points([0.1, 9.0]), [Leg("LOADING", 0.0, 100.0, 100.0, 0, (0, 0), 0, None)]),
        ([Point(1, 101.0, {"error": 0.4}, {"error": 2.0})], [Leg("SHADOW", 0.0, 100.0, 104.0, 1, (5, 5), 5, None)]),
        (points([-2.0] * 5), [Leg("SHADOW", 0.0, 100.0, 50_000.0, 5, (5, 5), 5, None)]),
    ],
)
def test_a_plot_of_anything_is_a_picture_and_the_same_each_time(told, legs):
    first = evidence_curves(explanation(told, legs))
    assert first.svg == evidence_curves(explanation(told, legs)).svg
    texts = "".join(ElementTree.fromstring(first.svg).itertext())
    assert "version 2 against 1" in texts
    assert "rolls back at 250" in texts


def test_every_signal_has_the_threshold_of_its_alpha():
    limits = JudgeLimits(disagreement=0.1)
    needed = Explanation(explanation().rollout, (), (), (), None, (), limits).needed
    assert {name: round(math.exp(value)) for name, value in needed.items()} == {
        "error": 250, "invalid": 500, "slow": 667, "misread": 667, "success": 2000, "p95": 2000, "disagreement": 100,
    }  # fmt: skip
