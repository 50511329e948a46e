"""The fold of a rollout: from a tally and one batch to the next tally.

Pure: the same batches in the same order give the same tally to the last bit, so a new controller goes on where the one
before stopped, and everybody can replay a verdict.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

from recognizer.judge.evidence import ArmCounts, Batch, PairCounts
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.sequential import FINE, WORSE, Floats, one_arm, pairs, two_arms
from recognizer.judge.tally import Counts, Numbered, Seen, Series, Tally, Wealth


def begin(limits: JudgeLimits) -> Tally:
    """The tally before the first batch."""
    signals = {name: Series({"worse": Wealth.of(WORSE), "fine": Wealth.of(FINE)}) for name in limits.signals}
    guards = {name: Series({"worse": Wealth.of(WORSE), "above": Wealth.of(WORSE)}) for name in limits.guards}
    return Tally({**signals, **guards})


def update(tally: Tally, numbered: Numbered, limits: JudgeLimits) -> Tally:
    """The tally with one batch more.

    A batch with an ordinal that was consumed already changes nothing; one whose (worker, sequence) came before is
    counted as a duplicate and not as evidence. When the step or a worker's share changes, what waits is bet on first:
    within a block, every request had the same chance of being the challenger's. (A breaker ends a block at a moment
    that its outcomes chose, which the exact argument leaves out; `make bench-judge` simulates it.)
    """
    if numbered.ordinal <= tally.ordinal:
        return tally
    batch = numbered.batch
    if numbered.step != tally.step:
        tally = _all_closed(tally, limits, numbered.ordinal)
        tally = replace(tally, step=numbered.step, answers=(0, 0), step_compared=0)
    tally = replace(tally, ordinal=numbered.ordinal, mode=numbered.mode)
    known = tally.workers.get(batch.worker)
    seen = Seen(batch.sequence, batch.sequence) if known is None else known.add(batch.sequence)
    if seen is None:
        return replace(tally, duplicates=tally.duplicates + 1)
    if batch.share != tally.shares.get(batch.worker, batch.share):
        tally = _all_closed(tally, limits, numbered.ordinal, only=batch.worker)
    both = max((counts.pairs for counts in batch.paired.values()), default=0)
    return _disagreement(
        replace(
            tally,
            workers={**tally.workers, batch.worker: seen},
            shares={**tally.shares, batch.worker: batch.share},
            series={
                name: _counted(series, name, batch, limits, numbered.ordinal) for name, series in tally.series.items()
            },
            answers=(
                tally.answers[0] + batch.champion.answers + both,
                tally.answers[1] + batch.challenger.answers + both,
            ),
        ),
        batch,
        limits,
    )


def _disagreement(tally: Tally, batch: Batch, limits: JudgeLimits) -> Tally:
    wealth, crossed = tally.disagreement, tally.disagreement_crossed
    if limits.disagreement is not None and batch.compared:
        wealth = wealth.paid(one_arm(batch.compared, batch.disagreed, limits.disagreement, WORSE), WORSE)
        if crossed is None and wealth.log_e >= -log(limits.disagreement_alpha):
            crossed = tally.ordinal
    return replace(
        tally,
        compared=tally.compared + batch.compared,
        disagreed=tally.disagreed + batch.disagreed,
        step_compared=tally.step_compared + batch.compared,
        disagreement=wealth,
        disagreement_crossed=crossed,
    )


def events_of(name: str, limits: JudgeLimits) -> tuple[str, ...]:
    """Kinds of bad events that a signal or a guard counts."""
    return limits.guards[name].events if name in limits.guards else (name,)


def counts_of(name: str, batch: Batch, limits: JudgeLimits) -> Counts:
    """What a batch says about a signal or guard, of answers routed by lot."""
    events = events_of(name, limits)

    def arm(counts: ArmCounts) -> tuple[int, int]:
        bad = sum(counts.bad.get(event, 0) for event in events)
        # More bad than answers is a mistake in counting; all bad in both arms is evidence of nothing.
        return max(counts.labelled if events == ("misread",) else counts.answers, bad), bad

    return Counts(*arm(batch.champion), *arm(batch.challenger))


def pairs_of(name: str, batch: Batch, limits: JudgeLimits) -> PairCounts:
    """What a batch says about a signal or guard, of requests that both models answered."""
    given = [batch.paired[event] for event in events_of(name, limits) if event in batch.paired]
    return PairCounts(
        max((counts.pairs for counts in given), default=0),
        sum(counts.challenger_only for counts in given),
        sum(counts.champion_only for counts in given),
    )


def _counted(series: Series, name: str, batch: Batch, limits: JudgeLimits, ordinal: int) -> Series:
    counts, both = counts_of(name, batch, limits), pairs_of(name, batch, limits)
    if counts.answers:
        waiting = series.waiting.get(batch.worker, Counts()) + counts
        series = replace(series, waiting={**series.waiting, batch.worker: waiting}, total=series.total + counts)
        series = _closed(series, name, limits, ordinal, least=limits.block)
    if both.pairs or both.challenger_only or both.champion_only:
        known = series.paired
        series = replace(
            series,
            paired=PairCounts(
                known.pairs + both.pairs,
                known.challenger_only + both.challenger_only,
                known.champion_only + both.champion_only,
            ),
        )
        series = _bet(series, name, limits, ordinal, None, both)
    return series


def _all_closed(tally: Tally, limits: JudgeLimits, ordinal: int, only: str | None = None) -> Tally:
    closed = {name: _closed(one, name, limits, ordinal, least=1, only=only) for name, one in tally.series.items()}
    return replace(tally, series=closed)


def _closed(
    series: Series, name: str, limits: JudgeLimits, ordinal: int, *, least: int, only: str | None = None
) -> Series:
    """Bet on every block (of one worker, when it is named) that waits with at least so many answers.

    Blocks, because batches may hold a handful of answers: of one answer alone the bad event is always the only
    model's that answered. The rule looks at the number of answers, never at what they were.
    """
    for worker, counts in sorted(series.waiting.items(), key=lambda item: item[0]):
        if counts.answers >= least and only in (None, worker):
            rest = {other: kept for other, kept in series.waiting.items() if other != worker}
            series = _bet(replace(series, waiting=rest), name, limits, ordinal, counts, None)
    return series


def _bet(
    series: Series, name: str, limits: JudgeLimits, ordinal: int, arms: Counts | None, both: PairCounts | None
) -> Series:
    tests = {}
    for test, wealth in series.tests.items():
        factors = factors_of(test, name, limits, arms, both)
        tests[test] = wealth if factors is None else wealth.paid(factors, FINE if test == "fine" else WORSE)
    series = replace(series, tests=tests)
    if series.crossed is None:  # what was decided is told with the evidence that decided it
        series = replace(series, highest=max(series.highest, series.against))
    alpha = (limits.guards[name] if name in limits.guards else limits.signals[name]).alpha
    if series.crossed is None and series.against >= -log(alpha):
        series = replace(series, crossed=ordinal)
    return series


def factors_of(test: str, name: str, limits: JudgeLimits, arms: Any = None, both: Any = None) -> Floats | None:
    """What the bets of a test pay, (..., J): on `arms`, a block routed by lot, or on `both`, pairs.

    Counts and PairCounts may hold arrays: simulations bet on thousands of rollouts at once with these very lines.
    """
    if test == "above":
        most = limits.guards[name].most
        answers, bad = arms.arms[1] if arms is not None else (both.pairs, both.challenger_only)
        return one_arm(answers, bad, most, WORSE)
    coin, bets = 0.0, WORSE
    if name in limits.signals:
        signal = limits.signals[name]
        coin = signal.tolerance if test == "worse" else signal.tolerance + signal.margin
        bets = WORSE if test == "worse" else FINE
    if arms is not None:
        champion, challenger = arms.arms
        return two_arms(champion, challenger, bets, coin)
    return pairs(both.pairs, both.challenger_only, both.champion_only, bets, coin)
