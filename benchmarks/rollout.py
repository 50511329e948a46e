"""Start rollouts against a running service and wait for what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.home import Shelf
from benchmarks.service import wait_for
from recognizer.rollout.plan import Plan, PlannedStep, Step, make_plan
from recognizer.rollout.state import Rollout
from recognizer.store import Store, audit, rollouts

JUDGE: Mapping[str, Any] = {"min_answers": 30, "min_compared": 50}
LOOSE: Mapping[str, Any] = {
    "min_answers": 20,
    "min_compared": 30,
    "signals": {
        name: {"alpha": 0.002, "tolerance": 0.05, "margin": 0.2, "proof": name != "misread"}
        for name in ("error", "invalid", "slow", "misread")
    },
}
"""Limits under which a few answers are enough: where the way is looked at, and not the judge."""
LONG = 3600.0


def canary_first(judge: Mapping[str, Any] = JUDGE, share: float = 0.09) -> Plan:
    """A plan in which the first thing a challenger does is to answer requests."""
    steps = (PlannedStep(Step.CANARY, share, LONG), PlannedStep(Step.PROMOTE), PlannedStep(Step.BAKE, 0.05))
    return Plan(steps, judge=judge)


def promote_first(holdback: float = 0.05, seconds: float = LONG, judge: Mapping[str, Any] = JUDGE) -> Plan:
    """A plan in which the challenger is promoted as soon as it is loaded."""
    return Plan((PlannedStep(Step.PROMOTE), PlannedStep(Step.BAKE, holdback, seconds)), judge=judge)


def slow_shadow() -> Plan:
    """A plan that stays in SHADOW."""
    return make_plan(judge={"min_answers": 10**9, "min_compared": 10**9}, seconds=LONG)


def start(shelf: Shelf, store: Store, version: int, plan: Plan) -> Rollout:
    return rollouts.start(
        store,
        task="action",
        version=version,
        digest=shelf.digests[version],
        reason="benchmark",
        who="benchmark",
        plan=plan,
        home=shelf.home,
    )


def until(store: Store, rollout: Rollout, condition: Callable[[Rollout], bool], what: str, seconds: float) -> Rollout:
    """The rollout once the condition holds."""

    def found() -> Rollout | None:
        read = rollouts.get(store, rollout.id)
        return read if condition(read) else None

    reached = wait_for(found, f"{what} of {rollout}, it is {rollouts.get(store, rollout.id).reason!r}", seconds)
    assert reached is not None
    return reached


def until_ended(store: Store, rollout: Rollout, seconds: float = 60.0) -> Rollout:
    return until(store, rollout, lambda one: one.ended_at is not None, "end", seconds)


def until_step(store: Store, rollout: Rollout, step: Step | None, seconds: float = 30.0) -> Rollout:
    """The rollout in the step, or ended before."""
    return until(store, rollout, lambda one: one.step is step or one.ended_at is not None, f"step {step}", seconds)


@dataclass(frozen=True)
class Crowned:
    """A change of the champion: from which generation on, which version, and when (before it was committed)."""

    generation: int
    version: int
    at: float


def crownings(store: Store) -> list[Crowned]:
    """Every change of the champion, in order."""
    events = [event for event in audit.of(store) if event.event == "champion"]
    found = [Crowned(event.payload["generation"], event.payload["version"], event.at) for event in events]
    return sorted(found, key=lambda one: one.generation)


def event_at(store: Store, rollout: Rollout, name: str) -> float:
    """When something was done to a rollout, in seconds since 1970."""
    return next(event.at for event in audit.of(store, rollout.id) if event.event == name)


def allowed(store: Store) -> Callable[[int, str, int], bool]:
    """Whether a generation may be answered by an arm with a version, by the history of the store.

    What stands beside the champion is known by its rollout: the challenger before its promotion, the champion before
    after it.
    """
    crowned = crownings(store)
    known: Mapping[int, Rollout] = {one.id: one for one in rollouts.list(store)}

    def champion(generation: int) -> int | None:
        return next((one.version for one in reversed(crowned) if one.generation <= generation), None)

    def answers(generation: int, arm: str, version: int) -> bool:
        serving = champion(generation)
        if arm == "champion":
            return version == serving
        if arm == "challenger":
            return any(one.version == version and one.champion_version == serving for one in known.values())
        return any(one.champion_version == version and one.version == serving for one in known.values())

    return answers
