"""Golden cases, parity, budgets and the sandbox: what is asked of a model beside being right."""

from dataclasses import replace

import pytest

from recognizer.errors import UsageError
from recognizer.evaluation import Parity
from recognizer.evaluation.behaviour import GoldenAnswer, Invariance
from recognizer.evaluation.measured import Costs, Golden
from recognizer.evaluation.sandbox import ShadowRun
from recognizer.gates import GateConfig, Verdict, judge

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR
GATES = {
    "absolute": {"accuracy": {"min": 0.0}},
    "golden": {
        "shift": {"min": 0.98},
        "mirror": {"min": 0.9, "classes": ["walking"]},
        "drop_joint": {"min": 0.9},
    },
    "parity": {"tolerance": 1e-5},
    "budgets": {"latency_p95_ms": {"max": 100, "ratio": 2, "slack": 1}, "peak_memory_mb": {"max": 500}},
    "infra": {"requests": 1000, "tolerance": 1e-4, "latency_p95_ms": 500, "shadow_margin": 0.05},
}
CONFIG = GateConfig.read({"min_cases": 30, "gates": GATES}, task="action")
EQUAL = Parity(1e-6, 1.0, 100)


def check_of(gate, name, measured, run=None):
    (check,) = [check for check in judge(CONFIG, measured, run) if (check.gate, check.name) == (gate, name)]
    return check


def answers(*right):
    """Golden cases named by letters, the right ones and the wrong ones."""
    return tuple(
        GoldenAnswer(chr(97 + i), "falling", "falling" if hit else "lying", 0.9, 0.1) for i, hit in enumerate(right)
    )


@pytest.mark.parametrize(
    ("golden", "verdict", "words"),
    [
        (Golden(answers(True, True), 0, "0"), P, "cases 1.000 ≥ 1.000 on 2 golden cases"),
        (Golden(answers(True, False), 0, "0"), F, "cases 0.500 < 1.000 (b: lying, must be falling) on 2 golden cases"),
        (Golden(answers(*[False] * 5), 0, "0"), F, "c: lying, must be falling and 2 more)"),
        (Golden((), 7, "0"), P, "no golden case of these classes (7 are of other classes or made-up people); add some"),
        (Golden((), 0, "0"), F, "there is no golden case at all: put data/golden/<task> back"),
        (None, E, "the golden cases were not asked"),
    ],
)
def test_golden_cases(make, golden, verdict, words):
    check = check_of("golden", "cases", make.measured(golden=golden))
    assert check.verdict is verdict
    assert words in check.reason


@pytest.mark.parametrize(
    ("invariances", "name", "verdict", "words"),
    [
        ((Invariance("shift", 0.98, 0.1, 0.0, 50),), "shift", P, "shift 0.980 ≥ 0.980 on 50 cases keep their answer"),
        ((Invariance("shift", 0.96, 0.1, 0.0, 50),), "shift", F, "shift 0.960 < 0.980"),
        ((Invariance("shift", 1.0, 0.0, 0.0, 50),), "drop_joint", E, "drop_joint was not tried"),
        (
            (Invariance("mirror", 0.0, None, None, 0),),
            "mirror",
            P,
            "the model knows none of the classes that mirror",
        ),
    ],
)
def test_changes_that_must_not_matter(make, invariances, name, verdict, words):
    check = check_of("golden", name, make.measured(invariances=invariances))
    assert check.verdict is verdict
    assert words in check.reason


def test_only_configured_changes_are_judged(make):
    names = [check.name for check in judge(CONFIG, make.measured()) if check.gate == "golden"]
    assert names == ["cases", "shift", "mirror", "drop_joint"]


@pytest.mark.parametrize(
    ("parity", "name", "verdict", "words"),
    [
        ({"8": Parity(9e-6, 1.0, 100)}, "max_abs_diff", P, "9.0e-6 ≤ 1.0e-5 (worst of 1, 8, 32 at once: 8)"),
        ({"8": Parity(1e-5, 1.0, 100)}, "max_abs_diff", P, "≤"),
        (
            {"1": Parity(2e-5, 1.0, 100)},
            "max_abs_diff",
            F,
            "max_abs_diff 2.0e-5 > 1.0e-5 (worst of 1, 8, 32 at once: 1)",
        ),
        ({"32": Parity(9e-6, 0.99, 100)}, "decisions_equal", F, "decisions_equal 0.990 < 1.000 (worst of 1, 8, 32"),
        ({}, "decisions_equal", P, "decisions_equal 1.000 ≥ 1.000"),
        ({"1": Parity(None, 0.5, 100)}, "max_abs_diff", E, "max_abs_diff is missing"),
        ({"8": None}, "max_abs_diff", E, "parity was not measured for 8"),
        ({"again": None}, "max_abs_diff", E, "parity was not measured for again"),
        (dict.fromkeys(("1", "8", "32", "again")), "max_abs_diff", E, "parity was not measured"),
        ({"again": Parity(1e-9, 1.0, 100)}, "repeated", F, "repeated 1.0e-9 > 0"),
        ({"again": Parity(0.0, 1.0, 100)}, "repeated", P, "repeated 0 ≤ 0"),
        ({name: Parity(0.0, 1.0, 8) for name in ("1", "8", "32")}, "max_abs_diff", INC, "a verdict needs 30"),
    ],
)
def test_parity(make, parity, name, verdict, words):
    plain = {**dict.fromkeys(("1", "8", "32"), EQUAL), "again": Parity(0.0, 1.0, 100)}
    made = {size: one for size, one in {**plain, **parity}.items() if one is not None}
    check = check_of("parity", name, make.measured(parity=made))
    assert check.verdict is verdict
    assert words in check.reason


@pytest.mark.parametrize(
    ("ties", "n", "words"),
    [
        (0.0, 3200, "32 at once: 1)"),
        (0.001, 3200, "1, 8, 32 at once: 1, without the 4 furthest apart, 0.040 at most)"),
        (0.001, 96, "without the 1 furthest apart, 0.040 at most)"),
    ],
)
def test_parity_says_what_it_left_out(make, ties, n, words):
    gates = {**GATES, "parity": {**GATES["parity"], "ties": ties}}
    config = GateConfig.read({"min_cases": 30, "gates": gates}, task="action")
    plain = Parity(1e-6, 1.0, n, 0.04 if ties else None)
    parity = {**dict.fromkeys(("1", "8", "32"), plain), "again": Parity(0.0, 1.0, n)}
    (check,) = [one for one in judge(config, make.measured(parity=parity), None) if one.name == "max_abs_diff"]
    assert words in check.reason


def test_no_more_than_a_hundredth_may_be_ties():
    with pytest.raises(UsageError, match="ties"):
        GateConfig.read({"min_cases": 30, "gates": {"parity": {"tolerance": 1e-3, "ties": 0.02}}}, task="action")


@pytest.mark.parametrize(
    ("latency", "memory", "champion", "name", "verdict", "words"),
    [
        (100, 30, None, "latency_p95_ms", P, "latency_p95_ms 100 ≤ 100 (limit) on 20 runs"),
        (101, 30, None, "latency_p95_ms", F, "latency_p95_ms 101 > 100 (limit)"),
        (21, 30, 10, "latency_p95_ms", P, "latency_p95_ms 21 ≤ 21 (champion 10 x 2 + 1)"),
        (22, 30, 10, "latency_p95_ms", F, "latency_p95_ms 22 > 21 (champion 10 x 2 + 1)"),
        (100, 30, 80, "latency_p95_ms", P, "(limit)"),
        (10, 500, 10, "peak_memory_mb", P, "peak_memory_mb 500 ≤ 500 (limit) on 1 runs"),
        (10, 501, 10, "peak_memory_mb", F, "peak_memory_mb 501 > 500 (limit)"),
    ],
)
def test_budgets(make, latency, memory, champion, name, verdict, words):
    other = None if champion is None else make.footprint(latency=float(champion))
    costs = Costs(make.footprint(latency=float(latency), memory=float(memory)), other)
    check = check_of("budgets", name, make.measured(costs=costs))
    assert check.verdict is verdict
    assert words in check.reason


def test_a_champion_that_was_not_weighed_is_an_error_where_it_is_compared(make):
    measured = make.measured(champion=make.rival())
    check = check_of("budgets", "latency_p95_ms", measured)
    assert (check.verdict, check.reason) == (E, "latency_p95_ms of the champion was not measured in this run")
    assert check_of("budgets", "peak_memory_mb", measured).verdict is P  # against the limit alone


def test_costs_that_were_not_measured_are_an_error(make):
    check = check_of("budgets", "peak_memory_mb", make.measured(costs=None))
    assert (check.verdict, check.reason) == (E, "peak_memory_mb was not measured")


@pytest.mark.parametrize(
    ("changes", "name", "verdict", "words"),
    [
        ({}, "requests", P, "requests 1,000 ≥ 1,000 (training set, 50 a second)"),
        ({"requests": 900}, "requests", F, "requests 900 < 1,000"),
        ({"requests": 900}, "failed", INC, "a verdict needs 1,000"),
        ({}, "failed", P, "failed 0 ≤ 0 on 1,000 requests"),
        ({"failed": {"status 500": 2}}, "failed", F, "failed 2 > 0 (status 500 2)"),
        ({"by_another": 3}, "failed", F, "failed 3 > 0 (answered by another model 3)"),
        ({"by_another": 50, "not_asked": 50}, "failed", P, "failed 0 ≤ 0"),
        ({"by_another": 51, "not_asked": 51}, "asked", INC, "of 1,000 requests 51 did not reach the candidate in time"),
        ({"agreed": 999}, "same_answer", F, "same_answer 0.999 < 1.000"),
        ({"compared": 949, "agreed": 949}, "same_answer", INC, "on 949 answers; a verdict needs 950"),
        ({"compared": 0, "agreed": 0, "max_difference": None}, "same_answer", E, "same_answer is missing"),
        ({"max_difference": 0.01}, "max_difference", F, "max_difference 0.010 > 1.0e-4"),
        ({"p95_ms": 501.0}, "latency_p95_ms", F, "latency_p95_ms 501 > 500"),
        ({"problem": "the service ended with code -9"}, "service", F, "the service ended with code -9"),
    ],
)
def test_the_sandbox(make, changes, name, verdict, words):
    check = check_of("infra", name, make.measured(), make.run(**changes))
    assert check.verdict is verdict
    assert words in check.reason


def test_a_candidate_that_was_not_tried_is_an_error(make):
    assert check_of("infra", "service", make.measured()).verdict is E


@pytest.mark.parametrize(
    ("shadow", "verdict", "words"),
    [
        # 6 % disagree on the test set, 5 points more may
        (ShadowRun(200, 200, 178, 0), P, "shadow_agreement 0.890 ≥ 0.890 (on the test set 0.940 - margin 0.050)"),
        (ShadowRun(200, 200, 177, 0), F, "shadow_agreement 0.885 < 0.890"),
        (ShadowRun(200, 0, 0, 200), E, "shadow_agreement is missing"),
        (ShadowRun(200, 99, 99, 101), INC, "shadow_agreement 1.000 ≥ 0.890"),
        (None, E, "nothing was shadowed"),
    ],
)
def test_the_shadow(make, shadow, verdict, words):
    measured = make.measured(champion=make.rival())
    check = check_of("infra", "shadow_agreement", measured, make.run(shadow=shadow))
    assert check.verdict is verdict
    assert words in check.reason


def test_without_a_champion_nobody_is_shadowed(make):
    names = [check.name for check in judge(CONFIG, make.measured(), make.run(shadow=None)) if check.gate == "infra"]
    assert names == ["requests", "failed", "same_answer", "max_difference", "latency_p95_ms"]


def test_of_a_run_that_broke_the_problem_alone_is_told(make):
    run = replace(make.run(problem="it was not ready in time"), requests=0)
    assert [check.name for check in judge(CONFIG, make.measured(), run) if check.gate == "infra"] == ["service"]
