from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from recognizer.errors import UsageError
from recognizer.evaluation import Parity, evaluate_classification
from recognizer.gates import Check, GateConfig, Verdict, judge, worst
from recognizer.home import checkout

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR
CLASSES = ("walking", "running", "falling", "waving")
SECTION = {
    "min_cases": 30,
    "gates": {
        "contract": {},
        "absolute": {"accuracy": {"min": 0.90}, "calibration_error": {"max": 0.10}},
        "relative": {"accuracy": {"margin": 0.03}},
        "parity": {"tolerance": 1e-5},
    },
}
CONFIG = GateConfig.read(SECTION)
CONTRACT = Check.measured("contract", "duplicates", 0, threshold=0, direction="max", n=240, cases="rows")
EQUAL = Parity(max_abs_diff=1e-6, decisions_equal=1.0, n=100)


def evaluation(accuracy=0.95, *, n=100, classes=CLASSES, **metrics):
    """An evaluation of n cases, as many of each class, with the metrics put in by hand."""
    labels = np.arange(n) % len(classes)
    made = evaluate_classification(np.eye(len(classes))[labels], labels, classes, [f"p{i % 5}" for i in range(n)])
    return replace(made, metrics={**made.metrics, "accuracy": accuracy, **metrics})


def without(metric, made=None):
    made = made or evaluation()
    return replace(made, metrics={name: value for name, value in made.metrics.items() if name != metric})


def verdict_of(gate, name="accuracy", *, config=CONFIG, candidate=None, champion=None, parity=EQUAL, **more):
    checks = judge(config, candidate or evaluation(), champion, parity, measured=(CONTRACT,), **more)
    (check,) = [check for check in checks if (check.gate, check.name) == (gate, name)]
    return check


def test_a_good_first_candidate_passes_every_gate_in_order():
    checks = judge(CONFIG, evaluation(), None, EQUAL, measured=(CONTRACT,))
    assert [(check.gate, check.name) for check in checks] == [
        ("contract", "duplicates"),
        ("absolute", "accuracy"),
        ("absolute", "calibration_error"),
        ("relative", "accuracy"),
        ("parity", "max_abs_diff"),
        ("parity", "decisions_equal"),
    ]
    assert worst(check.verdict for check in checks) is P
    assert all(any(character.isdigit() for character in check.reason) or check.value is None for check in checks)


@pytest.mark.parametrize(
    ("candidate", "verdict", "words"),
    [
        (evaluation(0.95), P, "accuracy 0.950 ≥ 0.900 on 100 cases"),
        (evaluation(0.90), P, "accuracy 0.900 ≥ 0.900 on 100 cases"),
        (evaluation(0.874), F, "accuracy 0.874 < 0.900 on 100 cases"),
        (evaluation(math.nextafter(0.90, 0)), F, "0.8999999999999999 < 0.9000000000000000"),
        (without("accuracy"), E, "accuracy is missing"),
        (evaluation(math.nan), E, "accuracy is nan"),
        (evaluation(1.0, n=29), INC, "on 29 cases; a verdict needs 30"),
        (evaluation(0.1, n=29), INC, "on 29 cases; a verdict needs 30"),
        (evaluation(0.9, n=30), P, "on 30 cases"),
    ],
)
def test_absolute(candidate, verdict, words):
    check = verdict_of("absolute", candidate=candidate)
    assert check.verdict is verdict
    assert words in check.reason


@pytest.mark.parametrize(("value", "verdict"), [(0.1, P), (0.0999, P), (0.1001, F), (math.nan, E)])
def test_absolute_ceiling(value, verdict):
    check = verdict_of("absolute", "calibration_error", candidate=evaluation(calibration_error=value))
    assert (check.verdict, check.direction, check.threshold) == (verdict, "max", 0.1)


@pytest.mark.parametrize(
    ("candidate", "champion", "verdict", "words"),
    [
        (0.95, 0.95, P, "accuracy 0.950 ≥ 0.920 (champion 0.950 - margin 0.030) on 100 cases"),
        (0.98, 0.91, P, "≥ 0.880"),
        (0.91, 0.95, F, "accuracy 0.910 < 0.920 (champion 0.950 - margin 0.030) on 100 cases"),
        # 0.93 - 0.03 in binary floats is a little more than 0.90; the margin means decimals, and its end is included.
        (0.90, 0.93, P, "0.900 ≥ 0.900"),
        (0.92, 0.95, P, "0.920 ≥ 0.920"),
        (0.67, 0.70, P, "0.670 ≥ 0.670"),
        (math.nextafter(0.90, 0), 0.93, F, "0.8999999999999999 < 0.9000000000000000"),
        (math.nan, 0.93, E, "accuracy is nan"),
        (0.93, math.nan, E, "the champion's accuracy is nan"),
    ],
)
def test_relative(candidate, champion, verdict, words):
    check = verdict_of("relative", candidate=evaluation(candidate), champion=evaluation(champion))
    assert check.verdict is verdict
    assert words in check.reason
    assert check.baseline == (None if math.isnan(champion) else champion)


def test_the_end_of_every_margin_of_whole_percents_is_included():
    for percent in range(3, 101):
        check = verdict_of("relative", candidate=evaluation((percent - 3) / 100), champion=evaluation(percent / 100))
        assert check.verdict is P, check.reason


@pytest.mark.parametrize(
    ("candidate", "champion", "verdict", "words"),
    [
        (without("accuracy"), evaluation(), E, "accuracy is missing"),
        (evaluation(), without("accuracy"), E, "the champion's accuracy is missing"),
        (evaluation(n=29), evaluation(n=29), INC, "a verdict needs 30"),
        (evaluation(n=100), evaluation(n=104), E, "other cases (104) than the candidate (100)"),
        (evaluation(), evaluation(classes=("walking", "running")), P, "other classes (2, candidate 4): new lineage"),
        (evaluation(), evaluation(classes=CLASSES[::-1]), P, "new lineage"),
        (evaluation(), None, P, "first version of a lineage: nothing to compare with"),
    ],
)
def test_relative_where_there_is_no_fair_comparison(candidate, champion, verdict, words):
    check = verdict_of("relative", candidate=candidate, champion=champion)
    assert check.verdict is verdict
    assert words in check.reason
    assert verdict is INC or check.value is None


@pytest.mark.parametrize(
    ("classes", "verdict", "words"),
    [
        (CLASSES, E, "the champion was not evaluated"),
        (("walking", "running"), P, "new lineage"),
        (None, P, "first version"),
    ],
)
def test_a_champion_that_was_forgotten_is_no_first_version(classes, verdict, words):
    check = verdict_of("relative", champion=None, champion_classes=classes)
    assert check.verdict is verdict
    assert words in check.reason


def test_relative_where_lower_is_better():
    config = GateConfig.read(
        {
            **SECTION,
            "gates": {**SECTION["gates"], "relative": {"log_loss": {"margin": 0.1, "direction": "max"}}},
        }
    )
    for value, verdict in ((0.3, P), (0.31, F), (0.1, P)):
        check = verdict_of(
            "relative",
            "log_loss",
            config=config,
            candidate=evaluation(log_loss=value),
            champion=evaluation(log_loss=0.2),
        )
        assert check.verdict is verdict
        assert "(champion 0.200 + margin 0.100)" in check.reason


@pytest.mark.parametrize(
    ("parity", "name", "verdict", "words"),
    [
        (Parity(9e-6, 1.0, 100), "max_abs_diff", P, "max_abs_diff 9.0e-6 ≤ 1.0e-5 on 100 cases"),
        (Parity(1e-5, 1.0, 100), "max_abs_diff", P, "≤"),
        (Parity(2e-5, 1.0, 100), "max_abs_diff", F, "max_abs_diff 2.0e-5 > 1.0e-5 on 100 cases"),
        (Parity(9e-6, 0.99, 100), "decisions_equal", F, "decisions_equal 0.990 < 1.000 on 100 cases"),
        (Parity(9e-6, 1.0, 100), "decisions_equal", P, "decisions_equal 1.000 ≥ 1.000"),
        (Parity(None, 0.5, 100), "max_abs_diff", E, "max_abs_diff is missing"),
        (Parity(0.0, 1.0, 8), "max_abs_diff", INC, "a verdict needs 30"),
        (None, "max_abs_diff", E, "parity was not measured"),
    ],
)
def test_parity(parity, name, verdict, words):
    check = verdict_of("parity", name, parity=parity)
    assert check.verdict is verdict
    assert words in check.reason


def test_a_configured_gate_without_a_check_is_an_error():
    (check,) = [check for check in judge(CONFIG, evaluation(), None, EQUAL) if check.gate == "contract"]
    assert check.verdict is E
    assert check.reason == "gate contract is configured and made no check"


def test_a_check_of_a_gate_nobody_configured_still_counts():
    config = GateConfig.read({"min_cases": 1, "gates": {"absolute": {"accuracy": {"min": 0.5}}}})
    failed = Check.measured("contract", "duplicates", 3, threshold=0, direction="max", n=240, cases="rows")
    checks = judge(config, evaluation(), measured=(failed,))
    assert config.configured() == ("absolute",)
    assert [check.gate for check in checks] == ["absolute", "contract"]
    assert worst(check.verdict for check in checks) is F


def test_judging_changes_nothing_and_gives_the_same_twice():
    candidate, champion = evaluation(0.97), evaluation(0.96)
    before = candidate.as_dict(), champion.as_dict()
    first = judge(CONFIG, candidate, champion, EQUAL, measured=(CONTRACT,))
    assert first == judge(CONFIG, candidate, champion, EQUAL, measured=iter((CONTRACT,)))
    assert before == (candidate.as_dict(), champion.as_dict())


def test_the_shipped_params_configure_every_gate_with_the_users_numbers():
    section = yaml.safe_load((checkout() / "params.yaml").read_text(encoding="utf-8"))["evaluate"]["action"]
    config = GateConfig.read(section)
    assert config.configured() == ("contract", "absolute", "relative", "parity")
    assert {name: bound.min for name, bound in config.gates.absolute.items()} == {
        "accuracy": 0.90,
        "weighted_precision": 0.85,
        "weighted_recall": 0.85,
        "weighted_f1": 0.85,
    }
    assert config.gates.parity is not None
    assert (config.gates.parity.tolerance, config.gates.parity.decisions_equal) == (1e-5, 1.0)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, ["evaluate.action.min_cases: Field required", "evaluate.action.gates: Field required"]),
        ({"min_cases": 0}, ["evaluate.action.min_cases: Input should be greater than or equal to 1"]),
        ({"gates": {}}, ["evaluate.action.gates.absolute: Field required"]),
        ({"gates": {"absolute": {}}}, ["evaluate.action.gates.absolute"]),
        ({"gates": {"absolute": {"accuracy": {"mim": 0.9}}}}, ["gates.absolute.accuracy.mim: Extra inputs"]),
        ({"gates": {"absolute": {"accuracy": {}}}}, ["gates.absolute.accuracy: needs exactly one of `min` and `max`"]),
        ({"gates": {"absolute": {"accuracy": {"min": 0.9, "max": 1}}}}, ["needs exactly one of `min` and `max`"]),
        ({"gates": {"absolute": {"accuracy": {"min": "high"}}}}, ["gates.absolute.accuracy.min: Input should be a"]),
        ({"gates": {"absolute": {"accuracy": {"min": True}}}}, ["gates.absolute.accuracy.min: expected a number"]),
        ({"gates": {"absolute": {"accuracy": {"min": math.nan}}}}, ["gates.absolute.accuracy.min"]),
        ({"gates": {"relative": {"accuracy": {"margin": -0.1}}}}, ["gates.relative.accuracy.margin"]),
        ({"gates": {"relative": {"accuracy": {"margin": 0.1, "direction": "up"}}}}, ["relative.accuracy.direction"]),
        ({"gates": {"parity": {"tolerance": 1e-5, "decisions_equal": 2}}}, ["gates.parity.decisions_equal"]),
        ({"gates": {"golden": {}}}, ["evaluate.action.gates.golden: Extra inputs are not permitted"]),
        ({"colour": 1}, ["evaluate.action.colour: Extra inputs are not permitted"]),
        (None, ["evaluate.action"]),
    ],
)
def test_a_wrong_configuration_names_the_key(section, words):
    with pytest.raises(UsageError) as raised:
        GateConfig.read(section)
    for word in (*words, "params.yaml", "Next: correct the section evaluate.action"):
        assert word in str(raised.value)


def test_digest_tells_configurations_apart_and_ignores_spelling():
    spelled = yaml.safe_load(
        """
        gates:
          parity: {decisions_equal: 1, tolerance: 0.00001}
          relative: {accuracy: {direction: min, margin: 3.0e-2}}
          absolute: {calibration_error: {max: 0.1}, accuracy: {min: 0.9}}
          contract: {}
        min_cases: 30
        """
    )
    assert GateConfig.read(spelled).digest() == CONFIG.digest()
    assert len(CONFIG.digest()) == 64
    others = [
        {**SECTION, "min_cases": 31},
        {**SECTION, "gates": {**SECTION["gates"], "absolute": {"accuracy": {"min": 0.91}}}},
        {**SECTION, "gates": {name: gate for name, gate in SECTION["gates"].items() if name != "contract"}},
    ]
    assert len({CONFIG.digest(), *(GateConfig.read(other).digest() for other in others)}) == 4
