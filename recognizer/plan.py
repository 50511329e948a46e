"""The plan of a rollout: its steps in order, how much of the traffic each gives away, and how long each may take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from recognizer.errors import UsageError

MOST_SHARE = 0.10
"""Before the promotion a challenger answers less than this; so does the champion before, after it."""

DAY = 24 * 3600.0
LOAD_SECONDS = 900.0
"""How long the workers may take to load a challenger before a person is asked."""


class Step(StrEnum):
    """The steps of a rollout, in the order in which a plan may have them."""

    SHADOW = "SHADOW"
    """The challenger answers off the request path, and its answers are compared."""
    CANARY = "CANARY"
    """The challenger answers a share of the requests."""
    PROMOTE = "PROMOTE"
    """The challenger becomes champion: a moment, in which no rollout stays."""
    BAKE = "BAKE"
    """The new champion is still watched against the one before, which stays loaded."""


_ORDER = tuple(Step)


class Strategy(StrEnum):
    """Plans with a name."""

    CANARY = "canary"
    """In shadow, then with a growing share, then promoted and watched."""
    SHADOW = "shadow"
    """In shadow, then promoted and watched."""
    BLUE_GREEN = "blue-green"
    """Loaded everywhere, then promoted; the champion before stays loaded for a while and answers nothing."""
    IMMEDIATE = "immediate"
    """Promoted at once and not watched."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        share: of the requests: the challenger's in CANARY, in BAKE the champion before's (its hold-back).
        seconds: after this long without a verdict a person is asked.
        least: the step lasts so many seconds however early the evidence suffices.

    Raises:
        UsageError: a share or a time that this step cannot have.
    """

    step: Step
    share: float = 0.0
    seconds: float = DAY
    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.seconds:
            raise _wrong(
                f"step {self.step} lasts at least {self.least:g} of {self.seconds:g} s", "let it last longer, or less"
            )
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise _wrong(f"step {self.step} ends after {self.seconds} s", "give it some seconds")
        if not 0 <= self.share < MOST_SHARE:
            raise _wrong(f"step {self.step} has a share of {self.share:g}", f"keep it in [0, {MOST_SHARE:g})")
        if self.share and self.step in (Step.SHADOW, Step.PROMOTE):
            raise _wrong(f"step {self.step} has a share of {self.share:g}", "it answers no requests: leave it out")
        if not self.share and self.step is Step.CANARY:
            raise _wrong("step CANARY has no share", f"give it one in (0, {MOST_SHARE:g}), or use SHADOW")

    def __str__(self) -> str:
        return f"{self.step} {100 * self.share:.3g} %" if self.step is Step.CANARY else str(self.step)


@dataclass(frozen=True)
class Plan:
    """The steps of a rollout.

    Attributes:
        steps: in order: SHADOW at most once, CANARY with growing shares, PROMOTE exactly once, BAKE at most once.
        load_seconds: how long the workers may take to load the challenger.
        load_first: the challenger is promoted only when every worker has loaded it; without it at once.
        losses: as many worker processes lost to the challenger take it out.
        judge: what differs from the judge's own limits, in the words of `recognizer.limits.JudgeLimits`.

    Raises:
        UsageError: no order that a rollout can go.
    """

    steps: tuple[PlannedStep, ...]
    load_seconds: float = LOAD_SECONDS
    load_first: bool = True
    losses: int = 1
    judge: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        order = [planned.step for planned in self.steps]
        said = " → ".join(str(planned) for planned in self.steps) or "nothing"
        if order != sorted(order, key=_ORDER.index):
            raise _wrong(f"the steps {said} are out of order", f"put them as {' → '.join(_ORDER)}")
        if order.count(Step.PROMOTE) != 1 or order.count(Step.SHADOW) > 1 or order.count(Step.BAKE) > 1:
            raise _wrong(f"the steps are {said}", "have PROMOTE once, SHADOW and BAKE at most once")
        shares = [planned.share for planned in self.steps if planned.step is Step.CANARY]
        if any(after <= before for before, after in itertools.pairwise(shares)):
            raise _wrong(f"the shares of {said} do not grow", "let each be larger than the one before")
        if not self.load_first and self.steps[0].step is not Step.PROMOTE:
            raise _wrong(f"the steps {said} answer before they are loaded", "leave `load_first` on")
        if not (math.isfinite(self.load_seconds) and self.load_seconds > 0) or self.losses < 1:
            raise _wrong(
                f"load_seconds is {self.load_seconds}, losses is {self.losses}",
                "give seconds above 0 and losses from 1",
            )

    @property
    def promotion(self) -> int:
        """Position of PROMOTE."""
        return next(position for position, planned in enumerate(self.steps) if planned.step is Step.PROMOTE)

    @property
    def bakes(self) -> bool:
        return self.steps[-1].step is Step.BAKE

    def as_dict(self) -> dict[str, Any]:
        steps = [
            {"step": str(one.step), "share": one.share, "seconds": one.seconds, "least": one.least}
            for one in self.steps
        ]
        return {
            "steps": steps,
            "load_seconds": self.load_seconds,
            "load_first": self.load_first,
            "losses": self.losses,
            "judge": dict(self.judge),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The plan that `as_dict` wrote."""
        steps = (PlannedStep(Step(one["step"]), one["share"], one["seconds"], one["least"]) for one in stored["steps"])
        return cls(tuple(steps), stored["load_seconds"], stored["load_first"], stored["losses"], stored["judge"])


def make_plan(
    strategy: Strategy | str = Strategy.CANARY,
    *,
    shares: Sequence[float] = (0.05, 0.09),
    holdback: float = 0.05,
    bake_seconds: float = 0.0,
    seconds: float = DAY,
    load_seconds: float = LOAD_SECONDS,
    losses: int = 1,
    judge: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a strategy.

    Args:
        shares: of the canary steps.
        holdback: what the champion before answers during the bake.
        bake_seconds: how long the bake lasts at least.
        seconds: time limit of each step.
        judge: see `Plan`.

    Raises:
        UsageError: unknown strategy, or numbers that no plan can have.
    """
    try:
        strategy = Strategy(strategy)
    except ValueError:
        raise UsageError(f"there is no strategy {strategy!r}", hint=f"use one of {', '.join(Strategy)}") from None
    shadow, promote = PlannedStep(Step.SHADOW, seconds=seconds), PlannedStep(Step.PROMOTE, seconds=seconds)
    canaries = [PlannedStep(Step.CANARY, share, seconds) for share in shares]
    bake = PlannedStep(Step.BAKE, holdback, seconds, bake_seconds)
    steps: Mapping[Strategy, tuple[PlannedStep, ...]] = {
        Strategy.CANARY: (shadow, *canaries, promote, bake),
        Strategy.SHADOW: (shadow, promote, bake),
        Strategy.BLUE_GREEN: (promote, PlannedStep(Step.BAKE, 0.0, seconds)),
        Strategy.IMMEDIATE: (promote,),
    }
    return Plan(steps[strategy], load_seconds, strategy is not Strategy.IMMEDIATE, losses, judge or {})


def _wrong(what: str, hint: str) -> UsageError:
    return UsageError(what, where="plan of a rollout", hint=hint)
