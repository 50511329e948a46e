"""The gates as a whole: their order, their configuration, absolute thresholds, and what is never a pass."""

import math

import pytest
import yaml

from recognizer.errors import UsageError
from recognizer.gates import Check, GateConfig, Verdict, judge, worst
from recognizer.home import checkout

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR
SECTION = {
    "min_cases": 30,
    "gates": {
        "contract": {},
        "absolute": {"accuracy": {"min": 0.90}, "calibration_error": {"max": 0.10}},
        "relative": {"accuracy": {"margin": 0.03}},
        "parity": {"tolerance": 1e-5},
    },
}
CONFIG = GateConfig.read(SECTION, task="action")
GATES = ("contract", "absolute", "relative", "slices", "golden", "parity", "budgets", "infra")
"""In the order in which they are judged."""
CONTRACT = Check.measured("contract", "duplicates", 0, threshold=0, direction="max", n=240, cases="rows")


def shipped():
    section = yaml.safe_load((checkout() / "params.yaml").read_text(encoding="utf-8"))["evaluate"]["action"]
    return GateConfig.read(section, task="action")


def found(checks, gate, name):
    (check,) = [check for check in checks if (check.gate, check.name) == (gate, name)]
    return check


def test_a_good_first_candidate_passes_every_gate_in_order(make):
    checks = judge(shipped(), make.measured(), make.run(), made=(CONTRACT,))
    assert list(dict.fromkeys(check.gate for check in checks)) == list(GATES)
    # of this made-up set nobody knows how many people are seen, nor how well, nor the best version by macro F1
    refused = {(check.gate, check.name) for check in checks if check.verdict is not P}
    assert refused == {("slices", "people"), ("slices", "visibility"), ("relative", "macro_f1_best")}
    assert all(any(character.isdigit() for character in check.reason) or check.value is None for check in checks)


@pytest.mark.parametrize(
    ("accuracy", "n", "verdict", "words"),
    [
        (0.95, 100, P, "accuracy 0.950 ≥ 0.900 on 100 cases"),
        (0.90, 100, P, "accuracy 0.900 ≥ 0.900 on 100 cases"),
        (0.874, 100, F, "accuracy 0.874 < 0.900 on 100 cases"),
        (math.nextafter(0.90, 0), 100, F, "0.8999999999999999 < 0.9000000000000000"),
        (None, 100, E, "accuracy is missing"),
        (math.nan, 100, E, "accuracy is nan"),
        (1.0, 29, INC, "on 29 cases; a verdict needs 30"),
        (0.1, 29, INC, "on 29 cases; a verdict needs 30"),
        (0.9, 30, P, "on 30 cases"),
    ],
)
def test_absolute(make, accuracy, n, verdict, words):
    check = found(judge(CONFIG, make.measured(make.evaluation(accuracy, n=n))), "absolute", "accuracy")
    assert check.verdict is verdict
    assert words in check.reason


@pytest.mark.parametrize(("value", "verdict"), [(0.1, P), (0.0999, P), (0.1001, F), (math.nan, E)])
def test_absolute_ceiling(make, value, verdict):
    candidate = make.evaluation(calibration_error=value)
    check = found(judge(CONFIG, make.measured(candidate)), "absolute", "calibration_error")
    assert (check.verdict, check.direction, check.threshold) == (verdict, "max", 0.1)


def test_a_candidate_that_could_not_be_evaluated_is_an_error_in_every_gate(make):
    broken = make.measured(problem="the candidate could not be evaluated: NaN", rivals={})
    broken = type(broken)(**{**vars(broken), "candidate": None})
    checks = judge(shipped(), broken, make.run(), made=(CONTRACT,))
    assert [check.gate for check in checks if check.verdict is P] == ["contract"]
    rest = checks[1:]
    assert {check.verdict for check in rest} == {E}
    assert {check.reason for check in rest} == {"the candidate could not be evaluated: NaN"}


def test_a_configured_gate_without_a_check_is_an_error(make):
    check = found(judge(CONFIG, make.measured()), "contract", "contract")
    assert check.verdict is E
    assert check.reason == "gate contract is configured and made no check"


def test_a_check_of_a_gate_nobody_configured_still_counts(make):
    config = GateConfig.read({"min_cases": 1, "gates": {"absolute": {"accuracy": {"min": 0.5}}}}, task="action")
    failed = Check.measured("contract", "duplicates", 3, threshold=0, direction="max", n=240, cases="rows")
    checks = judge(config, make.measured(), made=(failed,))
    assert config.configured() == ("absolute",)
    assert [check.gate for check in checks] == ["absolute", "contract"]
    assert worst(check.verdict for check in checks) is F


def test_judging_changes_nothing_and_gives_the_same_twice(make):
    measured = make.measured(champion=make.rival())
    before = measured.as_dict()
    first = judge(CONFIG, measured, made=(CONTRACT,))
    assert first == judge(CONFIG, measured, made=iter((CONTRACT,)))
    assert before == measured.as_dict()


def test_what_was_measured_comes_back_as_it_was_written(make):
    measured = make.measured(
        champion=make.rival(slices={"class": {"falling": make.difference(p_worse=0.3)}}),
        best=make.rival(digest="b" * 64),
    )
    assert type(measured).from_dict(measured.as_dict()) == measured


def test_the_shipped_params_configure_every_gate_with_the_users_numbers():
    config = shipped()
    assert config.configured() == GATES
    assert {name: bound.min for name, bound in config.gates.absolute.items() if bound.min is not None} == {
        "accuracy": 0.90,
        "weighted_precision": 0.85,
        "weighted_recall": 0.85,
        "weighted_f1": 0.85,
    }
    assert {name: allowance.margin for name, allowance in config.gates.relative.items()} == {
        "accuracy": 0.03,
        "macro_f1": 0.03,
    }
    assert (config.gates.parity.tolerance, config.gates.parity.decisions_equal) == (1e-5, 1.0)
    assert config.gates.infra.requests == 1000


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
        ({"gates": {"gold": {}}}, ["evaluate.action.gates.gold: Extra inputs are not permitted"]),
        (
            {"gates": {"relative": {"worst_class_recall": {"margin": 0.1}}}},
            ["no metric that can be paired", "macro_f1"],
        ),
        ({"gates": {"slices": {"required": ["colour"]}}}, ["colour: no kind of slice; use class"]),
        ({"gates": {"budgets": {"latency": {"max": 1}}}}, ["latency: no cost; use latency_p50_ms"]),
        ({"gates": {"budgets": {"load_ms": {"max": 1, "ratio": 0.5}}}}, ["gates.budgets.load_ms.ratio"]),
        ({"gates": {"golden": {"mirror": {"min": 0.9, "classes": []}}}}, ["gates.golden.mirror.classes"]),
        ({"colour": 1}, ["evaluate.action.colour: Extra inputs are not permitted"]),
        (None, ["evaluate.action"]),
    ],
)
def test_a_wrong_configuration_names_the_key(section, words):
    with pytest.raises(UsageError) as raised:
        GateConfig.read(section, task="action")
    for word in (*words, "params.yaml", "Next: correct the section evaluate.action"):
        assert word in str(raised.value)


def test_what_a_blessing_is_signed_over_ignores_spelling_and_tells_configurations_apart():
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
    assert GateConfig.read(spelled, task="action").by_gate() == CONFIG.by_gate()
    others = [
        {**SECTION, "min_cases": 31},
        {**SECTION, "gates": {**SECTION["gates"], "absolute": {"accuracy": {"min": 0.91}}}},
        {**SECTION, "gates": {name: gate for name, gate in SECTION["gates"].items() if name != "contract"}},
    ]
    assert all(GateConfig.read(other, task="action").by_gate() != CONFIG.by_gate() for other in others)
