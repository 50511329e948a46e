"""Tally of a rollout: the evidence so far, and what each test has made of it. `recognizer.judge.fold` moves it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np

from recognizer.errors import FormatError
from recognizer.judge.evidence import Batch, PairCounts
from recognizer.judge.sequential import WORSE, Bets, Capital, Floats, grow
from recognizer.rollout.split import Mode

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
        highest: the largest that `against` has been, up to the batch that decided.
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
    """Everything the judge knows; made by `fold.begin`, moved on by `fold.update`.

    Attributes:
        ordinal: of the last batch consumed; 0 before the first.
        step, mode: the step that it was counted in.
        answers: of champion and challenger in this step, routed by lot or paired.
        compared, disagreed: in the whole rollout; step_compared: in this step.
        series: by signal and by guard.
        shares: by worker, the challenger's share in its last batch.
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
    shares: Mapping[str, float | None] = field(default_factory=dict)
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
