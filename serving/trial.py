"""What one process knows of one rollout: its breaker, its threads, its evidence, and what counts as slow."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from recognizer.judge.evidence import Batch
from recognizer.rollout.split import Mode, Split
from recognizer.tasks import Cancel
from serving.breadcrumb import Breadcrumb
from serving.breaker import Breaker, BreakerLimits
from serving.breaker import State as BreakerState
from serving.crew import GRACE, Crew
from serving.evidence import Evidence
from serving.growth import Memory
from serving.latency import Latency
from serving.outcome import Outcome
from serving.servable import Servable, State

SLOW_FLOOR = 0.05
SLOW_TIMES = 3.0
"""An answer is slow after 50 ms or three times the old model's p95, whichever is more. Below 50 ms nobody waits, and a
busy machine alone makes such differences."""
STUCK_CREWS = 4
"""All trials of a process together may leave this many crews' worth of threads behind."""


class Trial:
    """One rollout in this process. Made when its split is first loaded, ended when the split is gone."""

    def __init__(
        self, rollout: int, evidence: Evidence, crew: Crew, breaker: Breaker, crumb: Breadcrumb | None = None
    ) -> None:
        self.rollout = rollout
        self.crumb = crumb or Breadcrumb()  # where its runs in flight are noted
        self.crew = crew
        self.breaker = breaker
        self.evidence = evidence
        self.busy = 0  # requests that found no free thread of the challenger
        self.late = 0  # requests that left no time for it
        self._step: tuple[Mode, float] | None = None
        self._slow_after: float | None = None
        self._old: Latency | None = None
        self._stuck = 0
        self._lock = threading.Lock()
        self._runs: dict[Cancel, Servable] = {}

    @contextmanager
    def running(self, servable: Servable, cancel: Cancel) -> Iterator[None]:
        """Inside, a new champion runs in a request's own thread; it is given up when the rollout ends without it."""
        with self._lock:
            self._runs[cancel] = servable
        self._give_up_without(servable, cancel)  # it may have waited for its turn beyond the end
        try:
            with self.crumb.during(servable.digest):
                yield
        finally:
            with self._lock:
                del self._runs[cancel]

    def end(self) -> None:
        """Give up what the rollout's end leaves without a place; its callers ask the model that stays."""
        self.crew.stop()
        with self._lock:
            runs = dict(self._runs)
        for cancel, servable in runs.items():
            self._give_up_without(servable, cancel)

    def _give_up_without(self, servable: Servable, cancel: Cancel) -> None:
        if self.ended and servable.state is not State.AVAILABLE:
            cancel.give_up()

    @property
    def slow_after(self) -> float:
        """Seconds after which an answer is slow: frozen from the old model's own earlier times when a step starts.

        A process that has not seen enough answers of the old model by then freezes it when it has; until then the
        floor holds, for both models alike.
        """
        if self._slow_after is None:
            p95 = None if self._old is None else self._old.quantile(0.95)
            if p95 is None:
                return SLOW_FLOOR
            self._slow_after = max(SLOW_FLOOR, SLOW_TIMES * p95)
        return self._slow_after

    def enter_step(self, split: Split, old: Latency) -> None:
        """Called with every release that names the rollout; a BAKE keeps the limit of the step before."""
        step = (split.mode, split.share)
        if step == self._step:
            return
        if split.mode is not Mode.BAKE or self._old is None:
            self._slow_after, self._old = None, old
            _ = self.slow_after  # frozen now if it can be
        self._step = step

    @property
    def ended(self) -> bool:
        """Whether its split is gone; what is still counted changes no verdict."""
        return self.crew.stopped

    def count(self, outcome: Outcome, *, new: bool, share: float) -> None:
        """A request that was routed by lot.

        Args:
            share: of the new model. While its breaker is not closed it has none: what the old model answers then is
                told apart, and what the probes find out is no evidence, because a failure chose their moment.
        """
        if not new and self.breaker.state is not BreakerState.CLOSED:
            share = 0.0
        self.evidence.count(outcome.bad(self.slow_after), new=new, share=share)

    def pair(self, new: Outcome, old: Outcome, *, timed: bool, agree: bool | None, shift: float | None = None) -> None:
        """Both answered one request. Without `timed` only what overran its deadline is slow.

        The shadow's thread picks quiet moments: an answer on the path and one off it take different times even when
        both models are the same. Against a challenger on the path that would be evidence out of nothing.
        """
        slow_after = self.slow_after if timed else math.inf
        self.evidence.pair(new.bad(slow_after), old.bad(slow_after), agree=agree, shift=shift)

    def watch_stuck(self) -> None:
        """Open the breaker for every thread that newly does not come back."""
        stuck = self.crew.stuck
        if stuck > self._stuck:
            self.breaker.trip(f"{stuck} of {self.crew.limit} challenger threads do not come back")
        self._stuck = stuck

    def as_dict(self) -> dict[str, object]:
        return {
            "breaker": self.breaker.as_dict(),
            "evidence": self.evidence.as_dict(),
            "threads": {"limit": self.crew.limit, "busy": self.crew.busy, "stuck": self.crew.stuck},
            "turned_away": self.busy,
            "too_late": self.late,
            "slow_after_ms": round(self.slow_after * 1000, 3),
        }


@dataclass(frozen=True)
class TrialLimits:
    """Settings of every trial: threads of a challenger, and when its breaker opens."""

    threads: int = 2
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


class Trials:
    """The trials of this process. One thread adopts and keeps; any thread flushes and watches."""

    def __init__(
        self,
        worker: str | None = None,
        limits: TrialLimits = TrialLimits(),
        *,
        crumb: Breadcrumb | None = None,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crumb = crumb or Breadcrumb()
        self._memory = memory or Memory()
        self.worker = worker or f"worker-{os.getpid()}"
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[int, Trial] = {}
        self._ended: list[Trial] = []
        self._evidence: dict[int, Evidence] = {}

    def adopt(self, split: Split, old: Latency) -> Trial:
        """The split's trial, made when it is new to this process; `old` are the times of the old model."""
        with self._lock:
            trial = self._running.get(split.rollout)
            if trial is None:
                left = STUCK_CREWS * self._limits.threads - sum(one.crew.stuck for one in self._ended)
                threads = max(0, min(self._limits.threads, left))
                crew = Crew(threads, crumb=self._crumb, memory=self._memory, clock=self._clock)
                breaker = Breaker(self._limits.breaker, clock=self._clock)
                # a rollout that comes back goes on with its sequence numbers
                evidence = self._evidence.setdefault(split.rollout, Evidence(self.worker))
                trial = Trial(split.rollout, evidence, crew, breaker, self._crumb)
                self._running[split.rollout] = trial
        trial.enter_step(split, old)
        return trial

    def keep(self, rollouts: Collection[int]) -> None:
        """End all others: their calls in flight are given up, and answered by the champion."""
        with self._lock:
            gone = [number for number in self._running if number not in rollouts]
            ended = [self._running.pop(number) for number in gone]
            self._ended.extend(ended)
        for trial in ended:
            trial.end()

    def flush(self) -> list[tuple[int, Batch]]:
        """Rollout and batch of everything counted since the last call, the last words of ended rollouts too."""
        batches = []
        for trial in self._all():
            while (batch := trial.evidence.flush()) is not None:
                batches.append((trial.rollout, batch))
        return batches

    @property
    def urgent(self) -> bool:
        """Whether something bad was counted since the last flush."""
        return any(trial.evidence.urgent for trial in self._all())

    def watch(self) -> None:
        """Look for threads that are stuck or need too much memory; forget ended trials of which nothing is left."""
        for trial in self._all():
            trial.crew.watch_memory()
            trial.watch_stuck()
        with self._lock:
            self._ended = [one for one in self._ended if one.crew.busy or not one.evidence.empty]

    @property
    def stuck(self) -> int:
        """Challenger threads that do not come back, those of ended trials too."""
        return sum(trial.crew.stuck for trial in self._all())

    def stop(self) -> None:
        """End all trials and wait for their threads, if they come back."""
        self.keep(())
        for trial in self._all():
            trial.crew.join(GRACE)

    def _all(self) -> Iterable[Trial]:
        with self._lock:
            return [*self._running.values(), *self._ended]
