"""Tally of a rollout: the evidence so far, folded batch by batch, and what each test has made of it.

The fold is pure: the same batches in the same order give the same tally to the last bit, so a new controller goes on
where the one before stopped, and everybody can replay a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import log
from typing import Any, Self

import numpy as np

from recognizer.errors import FormatError
from recognizer.evidence import ArmCounts, Batch, PairCounts
from recognizer.limits import JudgeLimits
from recognizer.sequential import FINE, WORSE, Bets, Capital, Floats, grow, one_arm, pairs, two_arms
from recognizer.split import Mode

DISAGREEMENT = "disagreement"
_VERSION = 1


@dataclass(frozen=True)
class Numbered:
    """A batch as the controller took it in.

    Attributes:
        ordinal: place in the order in which batches are consumed; larger than the one before.
        step: position of the step in the rollout that it was counted in.
        elapsed: seconds since that step began.
    """

    ordinal: int
    batch: Batch
    step: int = 0
    mode: Mode = Mode.CANARY
    elapsed: float = 0.0


@dataclass(frozen=True)
class Counts:
    """Answers of both models and the bad ones among them."""

    champion: int = 0
    champion_bad: int = 0
    challenger: int = 0
    challenger_bad: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.champion + other.champion,
            self.champion_bad + other.champion_bad,
            self.challenger + other.challenger,
            self.challenger_bad + other.challenger_bad,
        )

    @property
    def answers(self) -> int:
        return self.champion + self.challenger

    @property
    def arms(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(answers, bad) of the champion and of the challenger."""
        return (self.champion, self.champion_bad), (self.challenger, self.challenger_bad)


@dataclass(frozen=True)
class Wealth:
    """One test's capital: logarithm of its e-value, how it is staked, and the highest it has been."""

    log_e: float = 0.0
    spread: tuple[float, ...] = ()
    peak: float = 0.0

    @classmethod
    def of(cls, bets: Bets) -> Self:
        return cls(spread=bets.prior)

    def paid(self, factors: Floats, bets: Bets) -> Wealth:
        grown = grow(Capital(np.float64(self.log_e), np.array(self.spread)), factors, bets)  # type: ignore[arg-type]
        log_e = float(grown.log_e)
        return Wealth(log_e, tuple(float(part) for part in grown.spread), max(self.peak, log_e))


@dataclass(frozen=True)
class Series:
    """One kind of bad event through the whole rollout.

    Attributes:
        waiting: by worker, what was counted and not yet bet on.
        total: of answers routed by lot.
        paired: of requests that both models answered.
        tests: `worse`: evidence that the challenger is worse than tolerated. A signal has `fine` as well: evidence
            that it is better than tolerance and margin; a guard has `above`: evidence that the challenger breaks the
            limit.
        highest: the largest that `against` has been.
        crossed: ordinal of the batch at which the evidence against the challenger first sufficed.
    """

    tests: Mapping[str, Wealth]
    waiting: Mapping[str, Counts] = field(default_factory=dict)
    total: Counts = Counts()
    paired: PairCounts = field(default_factory=PairCounts)
    highest: float = 0.0
    crossed: int | None = None

    @property
    def against(self) -> float:
        """Logarithm of the e-value against the challenger.

        A guard's is the smaller of two: roll back what breaks the limit *and* is worse than the champion. If both break
        it, something else is the cause, and going back mends nothing.
        """
        return min(wealth.log_e for name, wealth in self.tests.items() if name != "fine")


@dataclass(frozen=True)
class Seen:
    """Which batches of a worker have come: all from `first` to `last` but those in `gaps` (both ends included)."""

    first: int
    last: int
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def missing(self) -> int:
        return sum(end - begin + 1 for begin, end in self.gaps)

    def add(self, sequence: int) -> Seen | None:
        """With this one too; None if it had come before."""
        if sequence > self.last:
            gap = ((self.last + 1, sequence - 1),) if sequence > self.last + 1 else ()
            return replace(self, last=sequence, gaps=(*self.gaps, *gap))
        if sequence < self.first:
            gap = ((sequence + 1, self.first - 1),) if sequence < self.first - 1 else ()
            return replace(self, first=sequence, gaps=(*gap, *self.gaps))
        for place, (begin, end) in enumerate(self.gaps):
            if begin <= sequence <= end:
                pieces = ((begin, sequence - 1), (sequence + 1, end))
                kept = tuple(piece for piece in pieces if piece[0] <= piece[1])
                return replace(self, gaps=(*self.gaps[:place], *kept, *self.gaps[place + 1 :]))
        return None


@dataclass(frozen=True)
class Tally:
    """Everything the judge knows; made by `begin`, moved on by `update`.

    Attributes:
        ordinal: of the last batch consumed; 0 before the first.
        step, mode: the step that it was counted in.
        answers: of champion and challenger in this step, routed by lot or paired.
        compared, disagreed: in the whole rollout; step_compared: in this step.
        series: by signal and by guard.
        duplicates: batches that came a second time and were not counted.
    """

    series: Mapping[str, Series]
    ordinal: int = 0
    step: int = 0
    mode: Mode = Mode.CANARY
    answers: tuple[int, int] = (0, 0)
    compared: int = 0
    disagreed: int = 0
    step_compared: int = 0
    disagreement: Wealth = field(default_factory=lambda: Wealth.of(WORSE))
    disagreement_crossed: int | None = None
    workers: Mapping[str, Seen] = field(default_factory=dict)
    duplicates: int = 0

    @property
    def missing(self) -> int:
        """Batches that never came, as their workers' numbers tell."""
        return sum(seen.missing for seen in self.workers.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; floats come back to the last bit."""
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The tally that `as_dict` wrote.

        Raises:
            FormatError: it was written by another version, or is none.
        """
        try:
            given = dict(plain)
            if given.pop("version") != _VERSION:
                raise ValueError(f"version {plain['version']!r}, expected {_VERSION}")
            given["series"] = {name: _series(series) for name, series in given["series"].items()}
            given["mode"] = Mode(given["mode"])
            given["answers"] = tuple(given["answers"])
            given["disagreement"] = _wealth(given["disagreement"])
            given["workers"] = {
                name: Seen(seen["first"], seen["last"], tuple((begin, end) for begin, end in seen["gaps"]))
                for name, seen in given["workers"].items()
            }
            return cls(**given)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise FormatError(
                f"no tally: {error}", where="tally of a rollout", hint="fold its stored batches again"
            ) from error


def _wealth(plain: Mapping[str, Any]) -> Wealth:
    return Wealth(**{**plain, "spread": tuple(plain["spread"])})


def _series(plain: Mapping[str, Any]) -> Series:
    return Series(
        tests={name: _wealth(wealth) for name, wealth in plain["tests"].items()},
        waiting={name: Counts(**counts) for name, counts in plain["waiting"].items()},
        total=Counts(**plain["total"]),
        paired=PairCounts(**plain["paired"]),
        highest=plain["highest"],
        crossed=plain["crossed"],
    )


def begin(limits: JudgeLimits) -> Tally:
    """The tally before the first batch."""
    signals = {name: Series({"worse": Wealth.of(WORSE), "fine": Wealth.of(FINE)}) for name in limits.signals}
    guards = {name: Series({"worse": Wealth.of(WORSE), "above": Wealth.of(WORSE)}) for name in limits.guards}
    return Tally({**signals, **guards})


def update(tally: Tally, numbered: Numbered, limits: JudgeLimits) -> Tally:
    """The tally with one batch more.

    A batch with an ordinal that was consumed already changes nothing; one whose (worker, sequence) came before is
    counted as a duplicate and not as evidence. When the step changes, whatever waits is bet on first: within a block,
    every request had the same chance of being the challenger's.
    """
    if numbered.ordinal <= tally.ordinal:
        return tally
    batch = numbered.batch
    if numbered.step != tally.step:
        closed = {
            name: _closed(series, name, limits, numbered.ordinal, least=1) for name, series in tally.series.items()
        }
        tally = replace(tally, series=closed, step=numbered.step, answers=(0, 0), step_compared=0)
    tally = replace(tally, ordinal=numbered.ordinal, mode=numbered.mode)
    known = tally.workers.get(batch.worker)
    seen = Seen(batch.sequence, batch.sequence) if known is None else known.add(batch.sequence)
    if seen is None:
        return replace(tally, duplicates=tally.duplicates + 1)
    both = max((counts.pairs for counts in batch.paired.values()), default=0)
    return _disagreement(
        replace(
            tally,
            workers={**tally.workers, batch.worker: seen},
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


def _closed(series: Series, name: str, limits: JudgeLimits, ordinal: int, *, least: int) -> Series:
    """Bet on every block that waits with at least so many answers.

    Blocks, because batches may hold a handful of answers: of one answer alone the bad event is always the only
    model's that answered. The rule looks at the number of answers, never at what they were.
    """
    for worker, counts in series.waiting.items():
        if counts.answers >= least:
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
