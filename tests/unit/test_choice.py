"""Which form of a candidate goes on: 8 bits when they pass every gate, else float."""

from dataclasses import replace

import pytest

from recognizer.evaluation import Parity
from recognizer.evaluation.measured import FLOAT, INT8, Costs
from recognizer.gates import Check, GateConfig, Verdict, choose_form

GATES = {
    "contract": {},
    "absolute": {"accuracy": {"min": 0.9}},
    "parity": {"tolerance": 1e-5, "int8": {"tolerance": 0.1, "decisions_equal": 0.99}},
    "budgets": {"latency_p50_ms": {"max": 100}},
    "infra": {"requests": 1000, "tolerance": 1e-4, "latency_p95_ms": 500, "shadow_margin": 0.05},
}
CONFIG = GateConfig.read({"min_cases": 30, "gates": GATES}, task="action")
CONTRACT = Check.measured("contract", "duplicates", 0, threshold=0, direction="max", n=240)


@pytest.fixture
def forms(make):
    """A float form that passes, and an 8-bit one that passes and is 2.5 times as fast."""
    parity = {**dict.fromkeys(("1", "8", "32"), Parity(0.03, 1.0, 100)), "again": Parity(0.0, 1.0, 100)}
    costs = Costs(make.footprint(latency=4.0), None, make.footprint(latency=10.0))
    return {FLOAT: make.measured(), INT8: make.measured(parity=parity, costs=costs, form=INT8)}


@pytest.fixture
def choose(make):
    """Chooses, and tells which forms were tried in the sandbox; runs: form → what the service did with it."""

    def chosen(forms, config=CONFIG, **runs):
        tried = []

        def try_out(form):
            tried.append(form)
            return runs.get(form, make.run())

        return choose_form(config, forms, try_out, made=(CONTRACT,)), tried

    return chosen


def told(choice):
    return [check for check in choice.checks if check.name == INT8]


def test_eight_bits_that_pass_everything_are_chosen(choose, forms):
    choice, tried = choose(forms)
    assert (choice.form, tried) == (INT8, [INT8])
    assert {check.verdict for check in choice.checks} == {Verdict.PASSED}
    assert told(choice)[0].reason == "8 bits are 2.50 times as fast and pass every gate: chosen"
    assert told(choice)[0].value == 2.5


def test_without_an_8_bit_form_nothing_is_said_of_it(choose, forms):
    choice, tried = choose({FLOAT: forms[FLOAT]})
    assert (choice.form, tried, told(choice)) == (FLOAT, [FLOAT], [])


def test_eight_bits_that_fail_a_gate_are_left_and_never_tried(choose, forms, make):
    bad = replace(forms[INT8], candidate=make.evaluation(0.85))
    choice, tried = choose({**forms, INT8: bad})
    assert (choice.form, tried) == (FLOAT, [FLOAT])
    assert {check.verdict for check in choice.checks} == {Verdict.PASSED}
    assert "not chosen: absolute/accuracy FAILED: accuracy 0.850 < 0.900" in told(choice)[0].reason


def test_eight_bits_that_fail_in_the_service_are_left(choose, forms, make):
    choice, tried = choose(forms, **{INT8: make.run(problem="a worker died: SIGILL")})
    assert (choice.form, tried) == (FLOAT, [INT8, FLOAT])
    assert "infra/service FAILED: a worker died: SIGILL" in told(choice)[0].reason
    assert choice.sandbox.problem is None


def test_eight_bits_need_a_bound_of_their_own(choose, forms):
    gates = {**GATES, "parity": {"tolerance": 1e-5}}
    choice, _ = choose(forms, GateConfig.read({"min_cases": 30, "gates": gates}, task="action"))
    assert choice.form == FLOAT
    assert "no bound is configured for int8" in told(choice)[0].reason


def test_a_float_form_that_fails_is_not_saved_by_eight_bits_that_do(choose, forms, make):
    both = {form: replace(made, candidate=make.evaluation(0.85)) for form, made in forms.items()}
    choice, _ = choose(both)
    assert choice.form == FLOAT
    assert {check.gate for check in choice.checks if check.verdict is Verdict.FAILED} == {"absolute"}


def test_what_could_not_be_evaluated_is_not_tried(choose, forms):
    broken = replace(forms[FLOAT], candidate=None, problem="NaN")
    choice, tried = choose({FLOAT: broken})
    assert (choice.form, tried, choice.sandbox) == (FLOAT, [], None)
    assert {check.verdict for check in choice.checks if check.gate != "contract"} == {Verdict.ERROR}


def test_without_the_infra_gate_nothing_is_tried(choose, forms):
    gates = {name: gate for name, gate in GATES.items() if name != "infra"}
    choice, tried = choose(forms, GateConfig.read({"min_cases": 30, "gates": gates}, task="action"))
    assert (choice.form, tried, choice.sandbox) == (INT8, [], None)


def test_eight_bits_that_are_no_faster_are_told_of(choose, forms):
    choice, _ = choose({FLOAT: replace(forms[FLOAT], quantized="8 bits are 0.90 times as fast")})
    assert choice.form == FLOAT
    assert told(choice)[0].reason == "8 bits are 0.90 times as fast: not chosen"
    assert told(choice)[0].verdict is Verdict.PASSED
