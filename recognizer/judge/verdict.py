"""The judge of a rollout: from the evidence so far to a verdict, with the numbers that led to it.

`judge` is a pure function of tally, limits and time. How the evidence is made of counts stands in
`recognizer.judge.sequential`; what is allowed, in `recognizer.judge.limits`; docs/judge.md tells it to people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import log
from typing import Any

from recognizer.checks import figure
from recognizer.judge.confidence import difference_bounds, e_value, rate_bounds
from recognizer.judge.fold import begin, update
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.tally import DISAGREEMENT, Numbered, Series, Tally
from recognizer.rollout.split import Mode


@dataclass(frozen=True)
class Row:
    """One line of the judgement's table.

    Attributes:
        name: a signal, a guard, or `disagreement`.
        champion, challenger: (bad, answers) routed by lot.
        champion_range, challenger_range, difference_range: 95 % confidence sequences of the rates and of challenger −
            champion.
        pairs: (pairs, only the challenger bad, only the champion bad).
        evidence: e-value against the challenger, now; `highest`: the largest it was until it decided;
            it speaks at `needed`.
        proof: e-value for "not worse by the margin"; a pass needs `proof_needed`. None where none is asked for.
        ruling: WORSE, DISAGREES, GOOD or WAIT, for this line alone.
        crossed: ordinal of the batch that decided it against the challenger.
    """

    name: str
    champion: tuple[int, int]
    challenger: tuple[int, int]
    champion_range: tuple[float, float]
    challenger_range: tuple[float, float]
    difference_range: tuple[float, float]
    pairs: tuple[int, int, int]
    evidence: float
    highest: float
    needed: float
    proof: float | None
    proof_needed: float | None
    ruling: Ruling
    crossed: int | None

    def told(self) -> str:
        """The counts in words: `challenger 12 of 240 (5 %), champion 5 of 2,400 (0.208 %)`."""
        parts = []
        if self.challenger[1] or self.champion[1]:
            parts.append(f"challenger {_share(*self.challenger)}, champion {_share(*self.champion)}")
        if self.pairs[0]:
            number, challenger, champion = self.pairs
            parts.append(
                f"of {number:,} pairs {challenger:,} bad for the challenger alone, {champion:,} for the champion"
            )
        return "; ".join(parts) or "nothing counted"


@dataclass(frozen=True)
class Judgement:
    """A verdict, one sentence with the numbers behind it, and the whole table."""

    ruling: Ruling
    reason: str
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Moment:
    """The state of all evidence after one batch: a point of each curve in `explain`.

    Attributes:
        counted: False for a batch that had come before.
        answers: of champion and challenger since the rollout began.
        evidence: log of the e-value against the challenger, by signal, guard and `disagreement`.
        proof: log of the e-value for "not worse by the margin", by signal.
    """

    ordinal: int
    worker: str
    sequence: int
    step: int
    counted: bool
    answers: tuple[int, int]
    evidence: dict[str, float]
    proof: dict[str, float]
    ruling: Ruling
    reason: str


def judge(tally: Tally, limits: JudgeLimits, elapsed: float, *, allow_disagreement: bool = False) -> Judgement:
    """The verdict on the evidence so far.

    elapsed: seconds since the step began. allow_disagreement: a person has looked and resumed the rollout.
    """
    rows = tuple(_row(name, series, limits) for name, series in tally.series.items())
    if limits.disagreement is not None:
        rows = (*rows, _disagreement_row(tally, limits, allowed=allow_disagreement))
    ruling, reason = _ruling(tally, limits, rows, elapsed)
    if tally.missing:
        reason += f"; {tally.missing:,} {'batch' if tally.missing == 1 else 'batches'} lost"
    return Judgement(ruling, reason, rows)


def replay(batches: Iterable[Numbered], limits: JudgeLimits) -> tuple[Moment, ...]:
    """Every moment of a rollout, folded anew from its stored batches: the same numbers as at the time."""
    tally, moments, seen = begin(limits), [], (0, 0)
    for numbered in batches:
        before, tally = tally, update(tally, numbered, limits)
        counted = tally.duplicates == before.duplicates and tally.ordinal > before.ordinal
        if counted:
            # The step's count is taken back to nothing when the step changes, the curve goes on.
            base = before.answers if before.step == tally.step else (0, 0)
            seen = (seen[0] + tally.answers[0] - base[0], seen[1] + tally.answers[1] - base[1])
        judgement = judge(tally, limits, numbered.elapsed)
        evidence = {name: series.against for name, series in tally.series.items()}
        if limits.disagreement is not None:
            evidence[DISAGREEMENT] = tally.disagreement.log_e
        moments.append(
            Moment(
                numbered.ordinal,
                numbered.batch.worker,
                numbered.batch.sequence,
                tally.step,
                counted,
                seen,
                evidence,
                {name: series.tests["fine"].log_e for name, series in tally.series.items() if "fine" in series.tests},
                judgement.ruling,
                judgement.reason,
            )
        )
    return tuple(moments)


def _ruling(tally: Tally, limits: JudgeLimits, rows: tuple[Row, ...], elapsed: float) -> tuple[Ruling, str]:
    for wanted in (Ruling.WORSE, Ruling.DISAGREES):
        found = [row for row in rows if row.ruling is wanted]
        if found:
            first = min(found, key=lambda row: row.crossed or 0)
            return wanted, (
                f"{first.name}: {first.told()}: evidence {figure(first.highest)} ≥ {figure(first.needed)} "
                f"at batch {first.crossed:,}"
            )
    lacking = _lacking(tally, limits, rows)
    if not lacking:
        return Ruling.GOOD, _good(tally, rows)
    if elapsed >= limits.seconds:
        return Ruling.INCONCLUSIVE, f"after {elapsed:,.0f} s (limit {limits.seconds:,.0f} s) {lacking}"
    return Ruling.WAIT, lacking


def _good(tally: Tally, rows: tuple[Row, ...]) -> str:
    if tally.mode in (Mode.LOAD, Mode.SHADOW):
        return f"{tally.step_compared:,} answers compared, nothing against the challenger"
    proofs = [f"{row.name} {figure(row.proof)}" for row in rows if row.proof is not None]
    return f"not worse by the margin on {min(tally.answers):,} answers: evidence {', '.join(proofs)}"


def _lacking(tally: Tally, limits: JudgeLimits, rows: tuple[Row, ...]) -> str:
    """What a pass still lacks, in words; empty when nothing."""
    if tally.mode in (Mode.LOAD, Mode.SHADOW):  # it answers nobody yet: to compare answers is all that can be done
        if tally.step_compared < limits.min_compared:
            return f"{tally.step_compared:,} of {limits.min_compared:,} answers compared"
        return ""
    if min(tally.answers) < limits.min_answers:
        champion, challenger = tally.answers
        return f"champion {champion:,}, challenger {challenger:,} of {limits.min_answers:,} answers in this step"
    for row in rows:
        guard = limits.guards.get(row.name)
        if guard is not None and tally.series[row.name].tests["above"].log_e >= -log(guard.alpha):
            return f"{row.name}: limit {figure(guard.most)} broken, though not by the challenger alone: {row.told()}"
    open_rows = [row for row in rows if row.proof is not None and row.ruling is not Ruling.GOOD]
    if open_rows:
        lowest = min(open_rows, key=lambda row: (row.proof or 0) / (row.proof_needed or 1))
        return (
            f"{lowest.name}: evidence {figure(lowest.proof)} of {figure(lowest.proof_needed)} that it is not worse by "
            f"the margin: {lowest.told()}"
        )
    return ""


def _row(name: str, series: Series, limits: JudgeLimits) -> Row:
    signal = limits.signals.get(name)
    alpha = signal.alpha if signal is not None else limits.guards[name].alpha
    fine = series.tests.get("fine")
    wants_proof = signal is not None and signal.proof and fine is not None
    proof = e_value(fine.log_e) if wants_proof and fine is not None else None
    needed = 1 / limits.pass_alpha if wants_proof else None
    if series.crossed is not None:
        ruling = Ruling.WORSE
    else:
        ruling = Ruling.GOOD if proof is not None and needed is not None and proof >= needed else Ruling.WAIT
    champion = (series.total.champion_bad, series.total.champion)
    challenger = (series.total.challenger_bad, series.total.challenger)
    return Row(
        name,
        champion,
        challenger,
        rate_bounds(*champion),
        rate_bounds(*challenger),
        difference_bounds(challenger, champion),
        (series.paired.pairs, series.paired.challenger_only, series.paired.champion_only),
        e_value(series.against),
        e_value(series.highest),
        1 / alpha,
        proof,
        needed,
        ruling,
        series.crossed,
    )


def _disagreement_row(tally: Tally, limits: JudgeLimits, *, allowed: bool) -> Row:
    crossed = tally.disagreement_crossed
    counted = (tally.disagreed, tally.compared)
    ceiling = limits.disagreement or 0.0
    low, high = rate_bounds(*counted)
    return Row(
        DISAGREEMENT,
        (0, 0),
        counted,
        (ceiling, ceiling),
        (low, high),
        (low - ceiling, high - ceiling),
        (0, 0, 0),
        e_value(tally.disagreement.log_e),
        e_value(tally.disagreement.peak),
        1 / limits.disagreement_alpha,
        None,
        None,
        Ruling.DISAGREES if crossed is not None and not allowed else Ruling.WAIT,
        crossed,
    )


def _share(bad: int, number: int) -> str:
    return f"{bad:,} of {number:,}" + (f" ({100 * bad / number:.3g} %)" if number else "")
