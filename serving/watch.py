"""Gives up runs that last too long, for those who run a model in their own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recognizer.tasks import Cancel
from serving.growth import Memory

TICK_SECONDS = 0.05


@dataclass
class _Run:
    cancel: Cancel
    deadline: float
    on_stuck: Callable[[], None]
    resident: int | None
    told: bool = False


class Watch:
    """Knows the runs and their deadlines; somebody has to call `tick` again and again.

    Args:
        memory: of this process, looked at with every tick.
        grace: seconds a run has to end after it was given up; then it is stuck, which is told once.
    """

    def __init__(
        self, memory: Memory | None = None, *, grace: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory = memory or Memory()
        self._grace = grace
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[int, _Run] = {}

    @contextmanager
    def until(self, seconds: float, on_stuck: Callable[[], None], *, suspect: bool = False) -> Iterator[Cancel]:
        """What is run inside with this `Cancel` is given up after `seconds`.

        Args:
            suspect: it is a new model, given up too when this process grows too much meanwhile.
        """
        resident = self._memory.resident if suspect else None
        entry = _Run(Cancel(), self._clock() + seconds, on_stuck, resident)
        with self._lock:
            self._runs[id(entry)] = entry
        try:
            yield entry.cancel
        finally:
            with self._lock:
                del self._runs[id(entry)]

    def tick(self) -> None:
        now = self._clock()
        self._memory.tick()
        with self._lock:
            late = [entry for entry in self._runs.values() if entry.deadline <= now]
            suspects = [(entry, entry.resident) for entry in self._runs.values() if entry.resident is not None]
        for entry, resident in suspects:
            why = self._memory.excess(resident)
            if why is not None:
                entry.deadline = min(entry.deadline, now)
                entry.cancel.give_up(why)
        for entry in late:
            entry.cancel.give_up()
            if not entry.told and entry.deadline + self._grace <= now:
                entry.told = True
                entry.on_stuck()

    def give_up(self) -> None:
        """Give up all runs, late or not: the process ends."""
        with self._lock:
            runs = list(self._runs.values())
        for entry in runs:
            entry.cancel.give_up()

    @property
    def stuck(self) -> int:
        """Runs that do not end although they were given up: an endless kernel."""
        return sum(entry.told for entry in list(self._runs.values()))
