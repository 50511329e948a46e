"""Non-inferiority: against the champion, and against the best version before."""

import math
from dataclasses import replace

import pytest

from recognizer.gates import GateConfig, Verdict, judge

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR
BEST = "b" * 64


def config(**relative):
    gates = {"absolute": {"accuracy": {"min": 0.0}}, "relative": relative or {"accuracy": {"margin": 0.03}}}
    return GateConfig.read({"min_cases": 30, "gates": gates}, task="action")


def verdict_of(measured, name="accuracy", gates=None):
    (check,) = [check for check in judge(gates or config(), measured) if (check.gate, check.name) == ("relative", name)]
    return check


@pytest.mark.parametrize(
    ("candidate", "champion", "spread", "verdict", "words"),
    [
        (0.95, 0.95, 0.01, P, "accuracy 0.950 ≥ 0.920 (champion 0.950 - margin 0.030) on 100 cases of 20 subjects"),
        (0.95, 0.95, 0.01, P, "; with 95 % confidence at least 0.940 ≥ 0.920"),
        (0.98, 0.91, 0.05, P, "at least 0.930 ≥ 0.880"),
        (0.95, 0.95, 0.04, INC, "at least 0.910 < 0.920: too few cases to tell"),
        (0.93, 0.95, 0.02, INC, "at least 0.910 < 0.920: too few cases to tell"),
        (0.91, 0.95, 0.01, F, "accuracy 0.910 < 0.920 (champion 0.950 - margin 0.030)"),
        (0.95, 0.95, 0.04, INC, "too few cases to tell (not even an equal would pass, its difference is at least -0.0"),
        # an interval that reaches into the margin saves nothing: what was measured breaks it
        (0.91, 0.95, 0.2, F, "accuracy 0.910 < 0.920"),
        # 0.93 - 0.03 in binary floats is a little more than 0.90; the margin means decimals, and its end is included
        (0.90, 0.93, 0.0, P, "0.900 ≥ 0.900"),
        (0.92, 0.95, 0.0, P, "0.920 ≥ 0.920"),
        (0.67, 0.70, 0.0, P, "0.670 ≥ 0.670"),
        (math.nextafter(0.90, 0), 0.93, 0.0, F, "0.8999999999999999 < 0.9000000000000000"),
        (math.nan, 0.93, 0.0, E, "accuracy is nan"),
        (None, 0.93, 0.0, E, "accuracy is missing"),
        (0.93, math.nan, 0.0, E, "accuracy of champion is nan"),
        (0.93, None, 0.0, E, "accuracy of champion is missing"),
    ],
)
def test_against_the_champion(make, candidate, champion, spread, verdict, words):
    known = champion is not None and candidate is not None and math.isfinite(champion + candidate)
    # the very bound that decides, in the decimals of whoever wrote the margin
    value = round(candidate - champion, 10) if known else 0.0
    difference = make.difference(value, spread=spread)
    rival = make.rival(make.evaluation(champion), differences={"accuracy": difference})
    check = verdict_of(make.measured(make.evaluation(candidate), champion=rival))
    assert check.verdict is verdict
    assert words in check.reason
    assert check.baseline == (champion if champion is not None and math.isfinite(champion) else None)
    if known:
        assert check.interval == pytest.approx((champion + difference.low, champion + difference.high))


@pytest.mark.parametrize("clusters", [20, None])
def test_the_verdict_says_for_whom_it_speaks(make, clusters):
    rival = make.rival(differences={"accuracy": make.difference(clusters=clusters)})
    reason = verdict_of(make.measured(champion=rival)).reason
    assert ("cases of 20 subjects" in reason) == (clusters is not None)
    assert ("fewer than 10 subjects" in reason) == (clusters is None)


@pytest.mark.parametrize(
    ("measured", "verdict", "words"),
    [
        ({"n": 29}, INC, "a verdict needs 30"),
        ({"n": 104}, E, "champion judged on other cases (104) than the candidate (100)"),
        ({"classes": ("walking", "running")}, P, "other classes (2, candidate 4): new lineage"),
        ({"classes": ("waving", "falling", "running", "walking")}, P, "new lineage"),
    ],
)
def test_where_there_is_no_fair_comparison(make, measured, verdict, words):
    candidate = make.evaluation(n=measured["n"]) if measured == {"n": 29} else make.evaluation()
    check = verdict_of(make.measured(candidate, champion=make.rival(make.evaluation(**measured))))
    assert check.verdict is verdict
    assert words in check.reason


@pytest.mark.parametrize(
    ("classes", "verdict", "words"),
    [
        (("walking", "running", "falling", "waving"), E, "the champion was not evaluated"),
        (("walking", "running"), P, "new lineage"),
        (None, P, "first version of a lineage: nothing to compare with, the absolute gates alone decide"),
    ],
)
def test_a_champion_that_was_forgotten_is_no_first_version(make, classes, verdict, words):
    check = verdict_of(make.measured(champion_classes=classes))
    assert check.verdict is verdict
    assert words in check.reason


def test_a_metric_that_was_not_paired_is_an_error(make):
    check = verdict_of(make.measured(champion=make.rival(differences={})))
    assert check.verdict is E
    assert "accuracy was not paired with champion case by case" in check.reason


def test_where_lower_is_better(make):
    gates = config(log_loss={"margin": 0.1, "direction": "max"})
    for value, spread, verdict in ((0.3, 0.0, P), (0.31, 0.0, F), (0.1, 0.0, P), (0.25, 0.1, INC)):
        difference = make.difference(round(value - 0.2, 10), spread=spread)
        rival = make.rival(make.evaluation(log_loss=0.2), differences={"log_loss": difference})
        check = verdict_of(make.measured(make.evaluation(log_loss=value), champion=rival), "log_loss", gates)
        assert check.verdict is verdict
        assert "(champion 0.200 + margin 0.100)" in check.reason


def best(make, value, **more):
    """The best version before had 0.97; the candidate has `value` more or less."""
    differences = {"accuracy": make.difference(value)}
    return make.rival(make.evaluation(0.97), digest=BEST, version=2, differences=differences, **more)


@pytest.mark.parametrize(
    ("candidate", "verdict", "words"),
    [
        (0.965, P, "(best before, version 2 0.970 - margin 0.030)"),
        (0.945, INC, "too few cases to tell"),
        (0.935, F, "accuracy_best 0.935 < 0.940 (best before, version 2 0.970 - margin 0.030)"),
    ],
)
def test_margins_do_not_add_up_night_by_night(make, candidate, verdict, words):
    """The champion itself has lost 2 points already: another 2 are within the margin of it, not of the best."""
    champion = make.rival(make.evaluation(0.95), differences={"accuracy": make.difference(candidate - 0.95)})
    measured = make.measured(make.evaluation(candidate), champion=champion, best=best(make, candidate - 0.97))
    check = verdict_of(measured, "accuracy_best")
    assert check.verdict is verdict
    assert words in check.reason
    assert verdict_of(measured).verdict in (P, INC)


def test_the_champion_that_is_the_best_is_compared_once(make):
    champion = make.rival()
    checks = judge(config(), make.measured(champion=champion, best=champion))
    assert [check.name for check in checks if check.gate == "relative"] == ["accuracy"]


@pytest.mark.parametrize(
    ("named", "words"),
    [({}, "was not looked for"), ({"accuracy": "d" * 64}, "(dddddddddddd) was not evaluated: its package is gone")],
)
def test_a_best_version_that_was_forgotten_is_an_error(make, named, words):
    check = verdict_of(replace(make.measured(), best=named), "accuracy_best")
    assert check.verdict is E
    assert words in check.reason
