"""Plans: what a rollout may be asked to do, and what no plan can say."""

import json

import pytest

from recognizer.errors import UsageError
from recognizer.plan import DAY, LOAD_SECONDS, Plan, PlannedStep, Step, Strategy, make_plan

SHADOW, PROMOTE, BAKE = PlannedStep(Step.SHADOW), PlannedStep(Step.PROMOTE), PlannedStep(Step.BAKE, 0.05)


def canary(share):
    return PlannedStep(Step.CANARY, share)


@pytest.mark.parametrize(
    ("strategy", "names", "shares", "load_first"),
    [
        ("canary", ["SHADOW", "CANARY 5 %", "CANARY 9 %", "PROMOTE", "BAKE"], [0, 0.05, 0.09, 0, 0.05], True),
        ("shadow", ["SHADOW", "PROMOTE", "BAKE"], [0, 0, 0.05], True),
        ("blue-green", ["PROMOTE", "BAKE"], [0, 0], True),
        ("immediate", ["PROMOTE"], [0], False),
    ],
)
def test_every_strategy_has_its_plan(strategy, names, shares, load_first):
    plan = make_plan(strategy)
    assert [str(step) for step in plan.steps] == names
    assert [step.share for step in plan.steps] == shares
    assert {step.seconds for step in plan.steps} == {DAY}
    assert (plan.load_first, plan.load_seconds, plan.losses) == (load_first, LOAD_SECONDS, 1)
    assert plan.steps[plan.promotion].step is Step.PROMOTE
    assert plan.bakes == (strategy != "immediate")


def test_canary_is_the_default_and_its_numbers_can_be_changed():
    assert make_plan() == make_plan(Strategy.CANARY)
    plan = make_plan(shares=(0.01, 0.02, 0.099), holdback=0.01, seconds=60, load_seconds=5, losses=3)
    assert [step.share for step in plan.steps] == [0, 0.01, 0.02, 0.099, 0, 0.01]
    assert {step.seconds for step in plan.steps} == {60}
    assert (plan.load_seconds, plan.losses) == (5, 3)
    assert str(plan.steps[3]) == "CANARY 9.9 %"


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_plan_survives_the_store(strategy):
    plan = make_plan(strategy, seconds=7)
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: make_plan("yolo"), "no strategy 'yolo'"),
        (lambda: canary(0.10), "CANARY has a share of 0.1"),
        (lambda: canary(0), "CANARY has no share"),
        (lambda: canary(-0.01), "a share of -0.01"),
        (lambda: canary(float("nan")), "a share of nan"),
        (lambda: PlannedStep(Step.BAKE, 0.5), "BAKE has a share of 0.5"),
        (lambda: PlannedStep(Step.BAKE, 0.05, 60, 61), "lasts at least 61 of 60 s"),
        (lambda: PlannedStep(Step.SHADOW, 0.01), "SHADOW has a share"),
        (lambda: PlannedStep(Step.PROMOTE, 0.01), "PROMOTE has a share"),
        (lambda: PlannedStep(Step.SHADOW, seconds=0), "ends after 0 s"),
        (lambda: PlannedStep(Step.SHADOW, seconds=float("inf")), "ends after inf s"),
        (lambda: Plan(()), "the steps are nothing"),
        (lambda: Plan((SHADOW, BAKE)), "PROMOTE once"),
        (lambda: Plan((PROMOTE, PROMOTE)), "PROMOTE once"),
        (lambda: Plan((SHADOW, SHADOW, PROMOTE)), "at most once"),
        (lambda: Plan((PROMOTE, BAKE, BAKE)), "at most once"),
        (lambda: Plan((canary(0.05), SHADOW, PROMOTE)), "out of order"),
        (lambda: Plan((PROMOTE, canary(0.05))), "out of order"),
        (lambda: Plan((BAKE, PROMOTE)), "out of order"),
        (lambda: Plan((canary(0.05), canary(0.05), PROMOTE)), "do not grow"),
        (lambda: Plan((canary(0.09), canary(0.05), PROMOTE)), "do not grow"),
        (lambda: Plan((SHADOW, PROMOTE), load_first=False), "before they are loaded"),
        (lambda: Plan((PROMOTE,), load_seconds=0), "load_seconds is 0"),
        (lambda: Plan((PROMOTE,), losses=0), "losses is 0"),
    ],
)
def test_what_no_plan_can_say(make, said):
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)
    assert caught.value.hint
