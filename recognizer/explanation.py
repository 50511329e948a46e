"""Why a rollout went as it did: its steps and decisions, with every verdict made again from the stored evidence.

Pure. The fold is the judge's own (`recognizer.tally.update`, `recognizer.judge.judge`), so a verdict that comes out
otherwise than it was written down means that evidence or audit trail are not what they were.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from recognizer.judge import Judgement, Row, judge
from recognizer.ledger import as_numbered, in_step, limits_of
from recognizer.limits import JudgeLimits
from recognizer.rollout import LOADING, Rollout, Ruling
from recognizer.store.audit import Entry
from recognizer.store.evidence import Numbered
from recognizer.tally import DISAGREEMENT, Tally, begin, update

_RULED = re.compile(rf"^({'|'.join(Ruling)}) in ")
"""How the reason of a decision begins that a verdict led to (see `recognizer.next_action`)."""


@dataclass(frozen=True)
class Point:
    """The evidence after one batch.

    Attributes:
        at: when the batch arrived, in seconds since 1970.
        against: log of the e-value against the challenger, by signal, guard and `disagreement`.
    """

    ordinal: int
    at: float
    against: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """A change of the rollout, and what was known when it was made.

    Attributes:
        event: word of the audit trail.
        step: where the rollout stood before it.
        judged: ordinal of the newest batch that was looked at; None when a person decided.
        rows: every signal with its numbers after that batch; empty without evidence.
        verdict: made again from the stored evidence: the ruling and its reason; None when a person decided.
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
        return sum(one.judged is not None and _RULED.match(one.reason) is not None for one in self.decisions)

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


def explain(
    rollout: Rollout,
    events: Sequence[Entry],
    batches: Sequence[Numbered],
    *,
    progress: Callable[[float, str], None] | None = None,
) -> Explanation:
    """Put the stored rows of one rollout together and judge them again.

    Args:
        rollout: as it stands now; its plan holds the limits that it began with.
        events: its rows of the audit trail, the oldest first.
        batches: its numbered evidence, in order.
        progress: called with the share done and a line; to fold a long rollout takes a while.
    """
    limits = limits_of(rollout)
    changes = [entry for entry in events if "step" in entry.payload]
    ordinals = {entry.payload.get("judged") for entry in changes}
    tally, tallies, points = begin(limits), {0: begin(limits)}, []
    for place, stored in enumerate(batches, start=1):
        tally = update(tally, as_numbered(rollout, stored), limits)
        if stored.ordinal in ordinals:
            tallies[stored.ordinal] = tally
        points.append(Point(stored.ordinal, stored.at, _against(tally, limits)))
        if progress is not None and place % 20 == 0:
            progress(place / len(batches), f"batch {place:,} of {len(batches):,}")
    decisions = tuple(_decisions(rollout, changes, tallies, limits))
    return Explanation(
        rollout,
        tuple(_legs(changes, decisions, batches)),
        decisions,
        tuple(points),
        judge(tally, limits, 0.0, allow_disagreement=rollout.accepts_disagreement) if batches else None,
        tuple(events),
        limits,
    )


def _against(tally: Tally, limits: JudgeLimits) -> dict[str, float]:
    against = {name: series.against for name, series in tally.series.items()}
    if limits.disagreement is not None:
        against[DISAGREEMENT] = tally.disagreement.log_e
    return against


def _decisions(
    rollout: Rollout, changes: Sequence[Entry], tallies: Mapping[int, Tally], limits: JudgeLimits
) -> Iterable[Decision]:
    step, accepts, paused_for, since = "-", False, "", 0
    for entry in changes:
        told = entry.payload
        judged, reason = told.get("judged"), str(told["reason"])
        tally = tallies.get(judged) if judged is not None else None
        rows: tuple[Row, ...] = ()
        verdict = differs = None
        if tally is not None:
            judgement = judge(tally, limits, 0.0, allow_disagreement=accepts)
            rows = judgement.rows if tally.ordinal else ()
            verdict, differs = _compared(rollout, entry, judgement, tally, step, since)
        elif judged is not None:
            differs = f"row {entry.number} ({entry.event}) looked at batch {judged}, which is not stored"
        yield Decision(entry.at, entry.who, entry.event, step, reason, judged, rows, verdict, differs)
        # as `recognizer.action` does: a person who lets it go on has seen how its answers differ
        accepts |= entry.event == "hasten" or (entry.event == "resume" and paused_for == Ruling.DISAGREES)
        paused_for = reason.partition(" ")[0] if entry.event == "pause" else ""
        step, since = str(told["step"]), int(told.get("evidence_from", 0))


def _compared(
    rollout: Rollout, entry: Entry, judgement: Judgement, tally: Tally, step: str, since: int
) -> tuple[str, str | None]:
    """The verdict made again, and how it differs from what was written down."""
    names = [str(planned) for planned in rollout.plan.steps]
    position = names.index(step) if step in names else LOADING
    seen = in_step(replace(rollout, position=position, evidence_from=since), judgement, tally.ordinal)
    verdict = f"{seen.verdict} in {step}: {seen.reason}"
    reason = str(entry.payload["reason"])
    if _RULED.match(reason) is None or reason.startswith(verdict):
        return verdict, None
    return verdict, f"row {entry.number} ({entry.event}) says {reason!r}, the replay says {verdict!r}"


def _legs(changes: Sequence[Entry], decisions: Sequence[Decision], batches: Sequence[Numbered]) -> Iterable[Leg]:
    """The steps: each begins with the row that first names it, and ends with the one that names another or the end."""
    starts = [
        place for place, entry in enumerate(changes) if not place or _place_of(entry) != _place_of(changes[place - 1])
    ]
    for number, place in enumerate(starts):
        entry = changes[place]
        if entry.payload["phase"] in ("HEALTHY", "ABORTED"):
            break
        after = starts[number + 1] if number + 1 < len(starts) else None
        inside = [
            stored.batch
            for stored in batches
            if stored.ordinal > entry.payload["evidence_from"]
            and (after is None or stored.ordinal <= changes[after].payload["evidence_from"] or _ends(changes[after]))
        ]
        both = [max((counts.pairs for counts in batch.paired.values()), default=0) for batch in inside]
        yield Leg(
            str(entry.payload["step"]) if entry.payload["phase"] != "QUEUED" else "QUEUED",
            float(entry.payload["share"]),
            entry.at,
            None if after is None else changes[after].at,
            len(inside),
            (
                sum(batch.champion.answers for batch in inside) + sum(both),
                sum(batch.challenger.answers for batch in inside) + sum(both),
            ),
            sum(batch.compared for batch in inside),
            None if after is None else decisions[after],
        )


def _place_of(entry: Entry) -> tuple[str, str]:
    """Where a rollout stands after a row; a pause stays in its step."""
    phase = str(entry.payload["phase"])
    return str(entry.payload["step"]), "PROGRESSING" if phase == "PAUSED" else phase


def _ends(entry: Entry) -> bool:
    """Whether a row ends the rollout: what arrives later belongs to its last step."""
    return entry.payload["phase"] in ("HEALTHY", "ABORTED")


def _decision(one: Decision) -> dict[str, Any]:
    return _finite(asdict(one))  # type: ignore[no-any-return]


def _finite(value: Any) -> Any:
    """JSON knows no infinity: the largest float stands for an e-value beyond it."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
