"""Why a rollout went as it did, as a value: steps, decisions, evidence, events; `rollout.replay` makes it."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from recognizer.judge.limits import JudgeLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.tally import DISAGREEMENT
from recognizer.judge.verdict import Judgement, Row
from recognizer.rollout.state import Rollout
from recognizer.store.audit import Entry

RULED = re.compile(rf"^({'|'.join(Ruling)}) in ")
"""How the reason of a decision begins that a verdict led to (see `recognizer.rollout.next_action`)."""


@dataclass(frozen=True)
class Point:
    """The evidence after one batch.

    Attributes:
        at: when the batch arrived, in seconds since 1970.
        against: log of the e-value against the challenger, by signal, guard and `disagreement`.
        proof: log of the e-value for "not worse by the margin", by signal of which a pass needs it.
    """

    ordinal: int
    at: float
    against: Mapping[str, float]
    proof: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """A change of the rollout, and what was known when it was made.

    Attributes:
        event: word of the audit trail.
        step: where the rollout stood before it.
        judged: ordinal of the newest batch that was looked at, after the bake the number of the newest late feedback;
            None when a person decided.
        rows: every signal with its numbers after that batch; empty without evidence.
        verdict: made again from the stored evidence: the ruling and its reason; None when a person decided, or when
            feedback was erased since.
        differs: how that differs from what was written down; None when it does not, or when no verdict led to it.
    """

    at: float
    who: str
    event: str
    step: str
    reason: str
    judged: int | None
    rows: tuple[Row, ...] = ()
    verdict: str | None = None
    differs: str | None = None


@dataclass(frozen=True)
class Leg:
    """One step of the way.

    Attributes:
        share: of the other model in it.
        ended: None while it lasts.
        batches: numbered in it.
        answers: (champion's, challenger's), pairs included.
        compared: answers of both that were compared.
        decision: what ended it; None while it lasts.
    """

    step: str
    share: float
    began: float
    ended: float | None
    batches: int
    answers: tuple[int, int]
    compared: int
    decision: Decision | None


@dataclass(frozen=True)
class Explanation:
    """The whole way of one rollout.

    Attributes:
        legs: its steps in order.
        decisions: every change in order, those inside a step too.
        points: the evidence over time.
        now: verdict on all evidence there is; None when there is none.
        events: rows of the audit trail.
        limits: that the judge keeps to.
    """

    rollout: Rollout
    legs: tuple[Leg, ...]
    decisions: tuple[Decision, ...]
    points: tuple[Point, ...]
    now: Judgement | None
    events: tuple[Entry, ...]
    limits: JudgeLimits

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the replay says something else than was decided; empty when it never does."""
        return tuple(one.differs for one in self.decisions if one.differs is not None)

    @property
    def replayed(self) -> int:
        """How many decisions a verdict led to, all of them made again here."""
        return sum(one.verdict is not None and RULED.match(one.reason) is not None for one in self.decisions)

    @property
    def needed(self) -> dict[str, float]:
        """Logarithm of the e-value at which a line of evidence decides."""
        needed = {name: -math.log(signal.alpha) for name, signal in self.limits.signals.items()}
        needed |= {name: -math.log(guard.alpha) for name, guard in self.limits.guards.items()}
        if self.limits.disagreement is not None:
            needed[DISAGREEMENT] = -math.log(self.limits.disagreement_alpha)
        return needed

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the points are left out."""
        return {
            "steps": [{**asdict(leg), "decision": leg.decision and _decision(leg.decision)} for leg in self.legs],
            "decisions": [_decision(one) for one in self.decisions],
            "now": None if self.now is None else _finite(self.now.as_dict()),
            "batches": len(self.points),
            "replayed": self.replayed,
            "differences": [*self.differences],
            "events": [asdict(entry) for entry in self.events],
            "limits": self.limits.as_dict(),
        }


def _decision(one: Decision) -> dict[str, Any]:
    return _finite(asdict(one))  # type: ignore[no-any-return]


def _finite(value: Any) -> Any:
    """JSON knows no infinity: the largest float stands for an e-value beyond it."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
