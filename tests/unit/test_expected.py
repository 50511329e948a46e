"""What a blessing needs: every check that a configuration asks for, as the gates themselves make them."""

import pytest
import yaml

from recognizer.expected import expected_checks
from recognizer.gates import Check, GateConfig, judge
from recognizer.home import checkout

CONTRACT = Check.measured("contract", "duplicates", 0, threshold=0, direction="max", n=240)


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ({}, set()),
        ({"contract": {"min_cases": 30}}, set()),
        ({"absolute": {"accuracy": {"min": 0.9}, "min_cases": 30}}, {("absolute", "accuracy")}),
        ({"relative": {"macro_f1": {"margin": 0.03}}}, {("relative", "macro_f1")}),
        (
            {"slices": {"required": ["class"], "where_known": ["subject"], "floor": 0.7}},
            {("slices", "class"), ("slices", "subject")},
        ),
        ({"golden": {"cases": {"min": 1}, "mirror": None, "digest": "0"}}, {("golden", "cases")}),
        ({"parity": {"tolerance": 1}}, {("parity", name) for name in ("max_abs_diff", "decisions_equal", "repeated")}),
        ({"a gate of somebody else": {"x": 1}}, set()),
    ],
)
def test_every_configured_check_is_expected(gates, expected):
    assert expected_checks(gates) == expected


@pytest.mark.parametrize("rival", [False, True])
def test_the_shipped_gates_make_what_is_expected_of_them(make, rival):
    """Whatever `judge` makes of a whole measurement holds all that a blessing asks for."""
    section = yaml.safe_load((checkout() / "params.yaml").read_text(encoding="utf-8"))["evaluate"]["action"]
    config = GateConfig.read(section, task="action")
    measured = make.measured(champion=make.rival() if rival else None)
    made = {(check.gate, check.name) for check in judge(config, measured, make.run(), made=(CONTRACT,))}
    assert expected_checks(config.by_gate(measured)) <= made
