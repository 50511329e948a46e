"""Make every verdict of a rollout again from what the store keeps, and put its way together.

Pure. The fold is the judge's own (`recognizer.judge.fold.update`, `recognizer.judge.verdict.judge`), so a verdict that
comes out otherwise than it was written down means that evidence or audit trail are not what they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from recognizer.judge import late
from recognizer.judge.fold import begin, update
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.tally import DISAGREEMENT, Tally
from recognizer.judge.verdict import Judgement, Row, judge
from recognizer.rollout.explanation import RULED, Decision, Explanation, Leg, Point
from recognizer.rollout.ledger import as_numbered, in_step, limits_of
from recognizer.rollout.state import LOADING, Phase, Rollout
from recognizer.store.audit import Entry
from recognizer.store.evidence import Numbered

_COUNTED = re.compile(r"of ([0-9,]+) answers")
"""How a verdict by late feedback says how many truths it is made from (see `recognizer.judge.late`)."""


def explain(
    rollout: Rollout,
    events: Sequence[Entry],
    batches: Sequence[Numbered],
    *,
    truths: Sequence[tuple[int, bool]] = (),
    blessed: float | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Explanation:
    """Put the stored rows of one rollout together and judge them again.

    Args:
        rollout: as it stands now; its plan holds the limits that it began with.
        events: its rows of the audit trail, the oldest first.
        batches: its numbered evidence, in order.
        truths: late feedback on its challenger: (number, misread), in order.
        blessed: share of the challenger's wrong answers on the test set; None when that is not known.
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
        points.append(Point(stored.ordinal, stored.at, _against(tally, limits), _proof(tally, limits)))
        if progress is not None and place % 20 == 0:
            progress(place / len(batches), f"batch {place:,} of {len(batches):,}")
    hear = partial(_heard, truths, blessed)
    decisions = tuple(_decisions(rollout, changes, tallies, limits, hear))
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


def _proof(tally: Tally, limits: JudgeLimits) -> dict[str, float]:
    return {name: tally.series[name].tests["fine"].log_e for name, signal in limits.signals.items() if signal.proof}


def _decisions(
    rollout: Rollout,
    changes: Sequence[Entry],
    tallies: Mapping[int, Tally],
    limits: JudgeLimits,
    hear: Callable[[Entry, str], tuple[str | None, str | None]],
) -> Iterable[Decision]:
    step, accepts, paused_for, since, baked = "-", False, "", 0, False
    for entry in changes:
        told = entry.payload
        judged, reason = told.get("judged"), str(told["reason"])
        tally = tallies.get(judged) if judged is not None else None
        rows: tuple[Row, ...] = ()
        verdict = differs = None
        if baked and judged is not None:
            verdict, differs = hear(entry, step)
        elif tally is not None:
            judgement = judge(tally, limits, 0.0, allow_disagreement=accepts)
            rows = judgement.rows if tally.ordinal else ()
            verdict, differs = _compared(rollout, entry, judgement, tally, step, since)
        elif judged is not None:
            differs = f"row {entry.number} ({entry.event}) looked at batch {judged}, which is not stored"
        yield Decision(entry.at, entry.who, entry.event, step, reason, judged, rows, verdict, differs)
        # as `recognizer.rollout.action` does: a person who lets it go on has seen how its answers differ
        accepts |= entry.event == "hasten" or (entry.event == "resume" and paused_for == Ruling.DISAGREES)
        paused_for = reason.partition(" ")[0] if entry.event == "pause" else ""
        step, since = str(told["step"]), int(told.get("evidence_from", 0))
        baked = told["phase"] == Phase.HEALTHY


def _compared(
    rollout: Rollout, entry: Entry, judgement: Judgement, tally: Tally, step: str, since: int
) -> tuple[str, str | None]:
    """The verdict made again, and how it differs from what was written down."""
    names = [str(planned) for planned in rollout.plan.steps]
    position = names.index(step) if step in names else LOADING
    seen = in_step(replace(rollout, position=position, evidence_from=since), judgement, tally.ordinal)
    verdict = f"{seen.verdict} in {step}: {seen.reason}"
    return verdict, _difference(entry, verdict)


def _heard(
    truths: Sequence[tuple[int, bool]], blessed: float | None, entry: Entry, step: str
) -> tuple[str | None, str | None]:
    """As `_compared`, of a champion that late feedback took back. Feedback may be erased, and then nobody can say."""
    tally = late.begin()
    if blessed is not None:
        tally = late.update(tally, [one for one in truths if one[0] <= entry.payload["judged"]], blessed)
    counted = _COUNTED.search(str(entry.payload["reason"]))
    if counted is not None and tally.given < int(counted[1].replace(",", "")):
        return None, None
    seen = late.judge(tally, blessed)
    verdict = f"{seen.verdict} in {step}: {seen.reason}"
    return verdict, _difference(entry, verdict)


def _difference(entry: Entry, verdict: str) -> str | None:
    reason = str(entry.payload["reason"])
    if RULED.match(reason) is None or reason.startswith(verdict):
        return None
    return f"row {entry.number} ({entry.event}) says {reason!r}, the replay says {verdict!r}"


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
