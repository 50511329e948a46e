"""Thousands of simulated rollouts side by side, watched by the judge's own tests.

A twin of `recognizer.judge.tally` over arrays: it gathers blocks and decides as the fold does, and bets with the very
same functions. A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from recognizer.judge.evidence import PairCounts
from recognizer.judge.fold import events_of, factors_of
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.sequential import FINE, WORSE, Capital, Floats, Ints, grow, stake
from recognizer.judge.tally import Counts

EVENTS = ("error", "invalid", "slow", "misread", "late")
USUAL = {"error": 0.002, "invalid": 0.001, "slow": 0.01, "misread": 0.05, "late": 0.02}
STORM = {"error": 0.30, "invalid": 0.10, "slow": 0.60, "misread": 0.40, "late": 0.50}
NEVER = np.inf


@dataclass(frozen=True)
class Turn:
    """One batch of every rollout: arrays of shape (runs,), by kind of event.

    arms: (champion bad, challenger bad) by event, among `champion` and `challenger` answers. paired: (only the
    challenger, only the champion) by event, among `pairs`. requests: by which every rollout's clock moves on. share:
    as in Batch.
    """

    requests: int
    champion: Ints
    challenger: Ints
    arms: Mapping[str, tuple[Ints, Ints]] = field(default_factory=dict)
    pairs: Ints | None = None
    paired: Mapping[str, tuple[Ints, Ints]] = field(default_factory=dict)
    worker: int = 0
    share: Floats | None = None


class Payoffs:
    """What `factors_of` pays on a block, remembered: few different blocks come up in millions."""

    def __init__(self, test: str, name: str, limits: JudgeLimits) -> None:
        self.test, self.name, self.limits = test, name, limits
        self.codes = np.empty(0, np.int64)
        self.factors: Floats = np.empty((0, len((FINE if test == "fine" else WORSE).odds)))

    def __call__(self, counts: Counts) -> Floats:
        parts = (counts.champion, counts.champion_bad, counts.challenger, counts.challenger_bad)
        code = sum(np.asarray(part, np.int64) << (15 * place) for place, part in enumerate(parts))
        place = np.searchsorted(self.codes, code)
        known = place < len(self.codes)
        known[known] = self.codes[place[known]] == code[known]
        if not known.all():
            new, first = np.unique(code[~known], return_index=True)
            rows = np.flatnonzero(~known)[first]
            paid = factors_of(self.test, self.name, self.limits, Counts(*(part[rows] for part in parts)))
            codes = np.concatenate([self.codes, new])
            order = np.argsort(codes)
            self.codes, self.factors = codes[order], np.concatenate([self.factors, paid])[order]
            place = np.searchsorted(self.codes, code)
        return self.factors[place]


class Watch:
    """The judge's tests on `runs` rollouts at once.

    Attributes:
        requests: so far, the same for all.
        worse_at: requests until it was proven worse, by rollout; NEVER where it was not. worse_by: the same, by name.
        step, answers: of each rollout, and (champion, challenger) answers in its step.
    """

    def __init__(self, limits: JudgeLimits, runs: int, *, proofs: bool = False, workers: int = 1) -> None:
        self.limits, self.runs = limits, runs
        self.requests = 0
        self.worse_at = np.full(runs, NEVER)
        self.step = np.zeros(runs, int)
        self.answers = np.zeros((2, runs), int)
        tests = dict.fromkeys(limits.signals, ("worse", "fine") if proofs else ("worse",))
        tests |= dict.fromkeys(limits.guards, ("worse", "above"))
        self.capital = {
            name: {test: stake(FINE if test == "fine" else WORSE, (runs,)) for test in kinds}
            for name, kinds in tests.items()
        }
        self.worse_by = {name: np.full(runs, NEVER) for name in tests}
        self.shares: list[Floats | None] = [None] * workers
        self.waiting = {name: np.zeros((workers, 4, runs), int) for name in tests}
        self.payoffs = {(n, t): Payoffs(t, n, limits) for n, kinds in tests.items() for t in kinds if t != "above"}

    def add(self, turn: Turn) -> None:
        """One batch of each rollout, and every decision that follows from it."""
        self.requests += turn.requests
        self.answers += np.stack([turn.champion, turn.challenger]) + (0 if turn.pairs is None else turn.pairs)
        before, self.shares[turn.worker] = self.shares[turn.worker], turn.share
        if before is not None and turn.share is not None:
            self._close_all(before != turn.share, [turn.worker])
        for name in self.capital:
            events = events_of(name, self.limits)
            if turn.arms:
                champion, challenger = (sum(turn.arms[event][arm] for event in events) for arm in (0, 1))
                waiting = self.waiting[name][turn.worker]
                waiting += np.stack([turn.champion, champion, turn.challenger, challenger])
                self._close(name, turn.worker, waiting[0] + waiting[2] >= self.limits.block)
            if turn.pairs is not None:
                only = [sum(turn.paired[event][arm] for event in events) for arm in (0, 1)]
                rows = np.flatnonzero(turn.pairs)
                self._bet(name, rows, None, PairCounts(turn.pairs[rows], only[0][rows], only[1][rows]))

    def advance(self, rows: np.ndarray) -> None:
        """These rollouts go one step on."""
        self._close_all(rows, range(len(self.shares)))
        self.step += rows
        self.answers[:, rows] = 0

    def good(self) -> np.ndarray:
        """Which rollouts may go on."""
        enough = self.answers.min(axis=0) >= self.limits.min_answers
        for name, signal in self.limits.signals.items():
            if signal.proof:
                enough &= self.capital[name]["fine"].log_e >= -np.log(self.limits.pass_alpha)
        for name, guard in self.limits.guards.items():
            enough &= self.capital[name]["above"].log_e < -np.log(guard.alpha)
        return enough & (self.worse_at == NEVER)

    def _close_all(self, rows: np.ndarray, workers: Iterable[int]) -> None:
        if rows.any():
            for name, waiting in self.waiting.items():
                for worker in workers:
                    self._close(name, worker, rows & (waiting[worker][0] + waiting[worker][2] > 0))

    def _close(self, name: str, worker: int, full: np.ndarray) -> None:
        rows = np.flatnonzero(full)
        if len(rows):
            waiting = self.waiting[name][worker]
            self._bet(name, rows, Counts(*waiting[:, rows]), None)
            waiting[:, rows] = 0

    def _bet(self, name: str, rows: Ints, arms: Counts | None, pairs: PairCounts | None) -> None:
        kinds = self.capital[name]
        for test, capital in kinds.items():
            moved, part = rows, slice(None)
            if arms is not None and test == "worse" and not getattr(self.limits.signals.get(name), "tolerance", 0):
                part = np.flatnonzero(arms.champion_bad + arms.challenger_bad)  # the rest bets on nothing
                moved = rows[part]
            if arms is not None and test != "above":
                some = Counts(*(column[part] for column in (*arms.arms[0], *arms.arms[1])))
                factors = self.payoffs[name, test](some)
            else:
                factors = factors_of(test, name, self.limits, arms, pairs)
            if len(moved):
                bets = FINE if test == "fine" else WORSE
                grown = grow(Capital(capital.log_e[moved], capital.spread[moved]), factors, bets)
                capital.log_e[moved], capital.spread[moved] = grown.log_e, grown.spread
        against = np.min([capital.log_e for test, capital in kinds.items() if test != "fine"], axis=0)
        part = self.limits.signals.get(name) or self.limits.guards[name]
        crossed = against >= -np.log(part.alpha)
        for reached in (self.worse_at, self.worse_by[name]):
            reached[crossed & (reached == NEVER)] = self.requests


def routed(
    rng: np.random.Generator,
    answers: Ints | int,
    share: Floats | float,
    rates: Mapping[str, tuple[Floats, Floats]],
    runs: int,
    *,
    requests: int | None = None,
    worker: int = 0,
) -> Turn:
    """A batch routed by lot; rates: (champion's, challenger's) by event, numbers or (runs,)."""
    challenger = rng.binomial(np.broadcast_to(answers, runs), share)
    champion = answers - challenger
    arms: dict[str, tuple[Ints, Ints]] = {}
    for event, (old, new) in rates.items():
        # an answer that raised is not invalid as well: the two are summed by a guard
        raised = arms["error"] if event == "invalid" else (0, 0)
        arms[event] = (rng.binomial(champion - raised[0], old), rng.binomial(challenger - raised[1], new))
    clock = int(np.max(answers)) if requests is None else requests
    shares = np.broadcast_to(np.asarray(share, float), runs)
    return Turn(clock, champion, challenger, arms, worker=worker, share=shares)


def alike(rates: Mapping[str, Floats | float] = USUAL) -> dict[str, tuple[Floats, Floats]]:
    """A challenger exactly as good as the champion."""
    return {event: (rate, rate) for event, rate in rates.items()}


World = Callable[[np.random.Generator, int, Iterator[float]], Iterator[Turn]]


def independent(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
    """Every request goes its own way; batches of 50."""
    for share in shares:
        yield routed(rng, 50, share, alike(), runs)


def bursts(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
    """A fifth of the time something outside breaks for both: 30 % errors, 60 % slow, half of the answers late."""
    broken = np.zeros(runs, bool)
    for share in shares:
        for _ in range(2):
            broken = np.where(broken, rng.random(runs) < 0.8, rng.random(runs) < 0.05)
            yield routed(rng, 25, share, alike({e: np.where(broken, STORM[e], USUAL[e]) for e in EVENTS}), runs)


def breaker(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
    """Bursts as above, and a breaker: two errors of the challenger in a batch take its share away for 30 s.

    Its share then changes at a moment that its own errors chose: what the exact argument leaves out.
    """
    broken, shut = np.zeros(runs, bool), np.zeros(runs, int)
    for share in shares:
        for _ in range(2):
            broken = np.where(broken, rng.random(runs) < 0.8, rng.random(runs) < 0.05)
            rates = alike({e: np.where(broken, STORM[e], USUAL[e]) for e in EVENTS})
            turn = routed(rng, 25, np.where(shut > 0, 0.0, share), rates, runs)
            shut = np.where(turn.arms["error"][1] >= 2, 120, np.maximum(shut - 1, 0))
            yield turn


def empty(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
    """Hardly any traffic: half of the batches hold nothing, the others one to twenty answers."""
    for share in shares:
        left = 50
        while left > 0:
            size = int(rng.integers(1, 21)) * int(rng.random() < 0.5)
            left -= size
            if size:
                yield routed(rng, size, share, alike(), runs)
            else:
                zeros = np.zeros(runs, int)
                yield Turn(0, zeros, zeros, dict.fromkeys(EVENTS, (zeros, zeros)), share=np.full(runs, share))


def lost(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
    """A tenth of the batches never comes; of those with an error in them, half."""
    for share in shares:
        for _ in range(2):
            turn = routed(rng, 25, share, alike(), runs)
            failing = sum(turn.arms["error"]) > 0
            kept = (rng.random(runs) >= np.where(failing, 0.5, 0.1)).astype(int)
            arms = {event: (old * kept, new * kept) for event, (old, new) in turn.arms.items()}
            yield Turn(25, turn.champion * kept, turn.challenger * kept, arms, share=turn.share)


def cameras(number: int, *, paired: bool = True) -> World:
    """Sticky cameras of unequal weight and error rate, each with bad spells of its own.

    paired: as it is done; otherwise the two arms are compared as if requests were independent, to show what that does.
    """

    def world(rng: np.random.Generator, runs: int, shares: Iterator[float]) -> Iterator[Turn]:
        weight = rng.gamma(2.0, size=(runs, number)).astype(np.float32)
        weight /= weight.sum(axis=1, keepdims=True)
        worse = np.exp(rng.normal(0.5, 1.2, size=(runs, number))).astype(np.float32)
        place = rng.random((runs, number), dtype=np.float32)
        # A salted hash gives each camera its place; every share takes the cameras below it.
        before = -1.0
        for turn, share in enumerate(shares):
            if turn % 20 == 0:
                spell = np.where(rng.random((runs, number), dtype=np.float32) < 0.1, np.float32(8), np.float32(1))
                rate = {event: np.minimum(USUAL[event] * worse * spell, 0.5) for event in EVENTS}
            if turn % 20 == 0 or share != before:
                new = weight * (place < share)
                part = new.sum(axis=1)
                safe = np.maximum(part, 1e-9)
                alone = {e: (new * r * (1 - r)).sum(axis=1) / safe for e, r in rate.items()}
                mean = {e: (((weight - new) * r).sum(axis=1), (new * r).sum(axis=1) / safe) for e, r in rate.items()}
            before = share
            if paired:
                pairs = rng.binomial(50, np.minimum(part, 1))
                differ = {e: rng.binomial(pairs, np.minimum(2 * chance, 1)) for e, chance in alone.items()}
                only = {e: rng.binomial(both, 0.5) for e, both in differ.items()}
                zeros = np.zeros(runs, int)
                yield Turn(50, zeros, zeros, pairs=pairs, paired={e: (only[e], differ[e] - only[e]) for e in EVENTS})
            else:
                rates = {e: (np.minimum(o / np.maximum(1 - part, 1e-9), 1), n) for e, (o, n) in mean.items()}
                yield routed(rng, 50, np.minimum(part, 1), rates, runs)

    return world


def plan(requests: int = 20_000, block: int = 50) -> list[float]:
    """Share of the new model, block by block: a quarter of the requests at 5 %, one at 9 %, the rest baking at 95 %."""
    blocks = requests // block
    return [0.05] * (blocks // 4) + [0.09] * (blocks // 4) + [0.95] * (blocks - 2 * (blocks // 4))


def rolled_back(world: World, runs: int, limits: JudgeLimits, seed: int, shares: list[float] | None = None) -> Watch:
    """Rollouts watched from the first batch to the last, whatever the judge says in between."""
    rng = np.random.default_rng(seed)
    watch = Watch(limits, runs)
    for turn in world(rng, runs, _stepped(watch, shares or plan())):
        watch.add(turn)
    return watch


def _stepped(watch: Watch, shares: list[float]) -> Iterator[float]:
    """The shares, closing the blocks that wait whenever the share changes."""
    for place, share in enumerate(shares):
        if place and share != shares[place - 1]:
            watch.advance(np.ones(watch.runs, bool))
        yield share
