"""Limits of a rollout: how much worse a challenger may be, and how often the judge may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recognizer.errors import UsageError
from recognizer.judge.evidence import SIGNALS

LATE = "late"
"""Kind of bad event that only a guard counts: an answer above the absolute limit (500 ms)."""


@dataclass(frozen=True)
class SignalLimits:
    """What one signal allows.

    Attributes:
        alpha: share of all rollouts that this signal may roll back though the challenger is as good as it must be.
        tolerance: share of the champion's good answers that the challenger may spoil; where the champion is hardly ever
            bad, the points by which the challenger's rate may lie above the champion's.
        margin: on top of the tolerance: a challenger that is worse by this much does not pass.
        proof: a pass needs evidence of it. Without, the signal can only speak against the challenger.
    """

    alpha: float
    tolerance: float = 0.0
    margin: float = 0.02
    proof: bool = True


@dataclass(frozen=True)
class Guard:
    """An absolute limit: of the challenger's answers, at most the share `most` is bad in one of the ways `events`."""

    events: tuple[str, ...]
    most: float
    alpha: float


def _signals() -> dict[str, SignalLimits]:
    # An error is the signal that cannot wait, hence the largest part. Whether an answer is slow depends on the machine
    # as well as on the model: a small share of the requests runs with colder caches, so one point is let pass. Labels
    # may take days: a pass does not wait for them.
    return {
        "error": SignalLimits(alpha=0.004),
        "invalid": SignalLimits(alpha=0.002),
        "slow": SignalLimits(alpha=0.0015, tolerance=0.01),
        "misread": SignalLimits(alpha=0.0015, proof=False),
    }


def _guards() -> dict[str, Guard]:
    return {
        "success": Guard(events=("error", "invalid"), most=0.01, alpha=0.0005),
        "p95": Guard(events=(LATE,), most=0.05, alpha=0.0005),
    }


@dataclass(frozen=True)
class JudgeLimits:
    """Everything a verdict depends on beside the evidence. A rollout keeps the limits it began with.

    Attributes:
        alpha: share of all rollouts of challengers as good as they must be that are rolled back, in all; signals and
            guards share it.
        pass_alpha: share of challengers too bad by the margin, in any one signal, that pass.
        block: answers that are gathered of one worker before they are bet on.
        min_answers: of each model in one step, before it can be passed.
        min_compared: answers compared before SHADOW can be passed.
        disagreement: the ceiling, declared when the rollout starts (offline disagreement + 2 points); None: not tested.
        disagreement_alpha: apart from `alpha`, since it pauses and never rolls back.
        seconds: a step without a verdict after this time is INCONCLUSIVE.

    Raises:
        UsageError: numbers that contradict each other, or that make no test.
    """

    signals: Mapping[str, SignalLimits] = field(default_factory=_signals)
    guards: Mapping[str, Guard] = field(default_factory=_guards)
    alpha: float = 0.01
    pass_alpha: float = 0.05
    block: int = 50
    min_answers: int = 100
    min_compared: int = 100
    disagreement: float | None = None
    disagreement_alpha: float = 0.01
    seconds: float = 86_400.0

    def __post_init__(self) -> None:
        alphas = [part.alpha for part in self.signals.values()] + [part.alpha for part in self.guards.values()]
        spent = sum(alphas)
        faults = [
            (
                spent > self.alpha * (1 + 1e-9),
                f"signals and guards spend alpha {spent:.4g}, more than {self.alpha:.4g}",
            ),
            (not set(self.signals) <= set(SIGNALS), f"signals {sorted(self.signals)}, known are {sorted(SIGNALS)}"),
            (bool(set(self.signals) & set(self.guards)), "a guard bears the name of a signal"),
            (
                any(not 0 < a < 1 for a in (*alphas, self.alpha, self.pass_alpha, self.disagreement_alpha)),
                "an alpha outside (0, 1)",
            ),
            (
                any(s.tolerance < 0 or s.margin <= 0 or s.tolerance + s.margin >= 1 for s in self.signals.values()),
                "tolerance must be ≥ 0, margin above 0, and both together below 1",
            ),
            (any(not 0 < guard.most < 1 for guard in self.guards.values()), "a guard's limit outside (0, 1)"),
            (self.disagreement is not None and not 0 < self.disagreement < 1, "a disagreement ceiling outside (0, 1)"),
            (min(self.block, self.min_answers, self.min_compared) < 1, "a count below 1"),
            (self.seconds <= 0, "no time"),
        ]
        for wrong, what in faults:
            if wrong:
                raise UsageError(what, where="judge limits", hint="correct the limits of the judge")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and for the store."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The limits that `as_dict` wrote; what is left out has its default.

        Raises:
            UsageError: unknown names, or limits that make no test.
        """
        try:
            given = dict(plain)
            if "signals" in given:
                given["signals"] = {name: SignalLimits(**limits) for name, limits in given["signals"].items()}
            if "guards" in given:
                given["guards"] = {
                    name: Guard(**{**guard, "events": tuple(guard["events"])})
                    for name, guard in given["guards"].items()
                }
            return cls(**given)
        except (TypeError, KeyError, AttributeError) as error:
            raise UsageError(str(error), where="judge limits", hint="correct the limits of the judge") from error
