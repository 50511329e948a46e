"""The threads of a challenger: few, its own, and left behind when they hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from recognizer.tasks import Cancel
from serving.breadcrumb import Breadcrumb
from serving.growth import Memory
from serving.outcome import Outcome, run
from serving.servable import Servable

GRACE = 1.0
"""Seconds a thread has to come back after its run was given up; then it is stuck."""


class Call:
    """One run in a thread of a crew.

    Attributes:
        given_up_at: when it was given up; None when it was not.
        aborted: it was given up because its rollout ended, which says nothing about the model.
        resident: bytes that this process held when it began.
    """

    def __init__(self, servable: Servable, case: Any, resident: int = 0) -> None:
        self.servable = servable
        self.case = case
        self.resident = resident
        self.cancel = Cancel()
        self.given_up_at: float | None = None
        self.aborted = False
        self._outcome: Outcome | None = None
        self._ended = threading.Event()

    def wait(self, seconds: float) -> Outcome | None:
        """The outcome, or None when there is none within `seconds` or the call was given up meanwhile."""
        self._ended.wait(seconds)
        return self._outcome

    def finish(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._ended.set()

    def give_up(self, at: float, why: Exception | None = None) -> None:
        """Stop the run as soon as the runtime can; who waits goes on at once."""
        if self.given_up_at is None:
            self.given_up_at = at
        self.cancel.give_up(why)
        self._ended.set()


class Crew:
    """At most `limit` calls at once, without a queue: who finds no free thread asks somebody else.

    The threads are daemons: one that hangs keeps no process from ending. They start when they are needed.
    """

    def __init__(
        self,
        limit: int,
        *,
        crumb: Breadcrumb | None = None,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.monotonic,
        grace: float = GRACE,
    ) -> None:
        self.limit = limit
        self._crumb = crumb or Breadcrumb()
        self._memory = memory or Memory()
        self._clock = clock
        self._grace = grace
        self._lock = threading.Lock()
        self._running: set[Call] = set()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._calls: SimpleQueue[Call | None] = SimpleQueue()

    def start(self, servable: Servable, case: Any) -> Call | None:
        """The call, running; None when all threads are taken or the servable takes no more requests."""
        with self._lock:
            if self._stopped or len(self._running) >= self.limit or not servable.enter():
                return None
            call = Call(servable, case, self._memory.resident)
            self._running.add(call)
            if len(self._threads) < len(self._running):
                self._threads.append(threading.Thread(target=self._work, name="challenger", daemon=True))
                self._threads[-1].start()
            self._calls.put(call)  # inside the lock: behind `stop` nobody would take it
        return call

    def give_up(self, call: Call) -> None:
        call.give_up(self._clock())

    def watch_memory(self) -> None:
        """Give up the calls during which this process grew too much."""
        with self._lock:
            running = [call for call in self._running if call.given_up_at is None]
        for call in running:
            why = self._memory.excess(call.resident)
            if why is not None:
                call.give_up(self._clock(), why)

    def stop(self) -> None:
        """Give up all calls in flight, whose callers go on at once, and take no more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
            for _ in self._threads:
                self._calls.put(None)
        for call in running:
            call.aborted = True
            self.give_up(call)

    @property
    def stuck(self) -> int:
        """Threads whose call was given up and that did not come back in time."""
        late = self._clock() - self._grace
        with self._lock:
            return sum(call.given_up_at is not None and call.given_up_at <= late for call in self._running)

    def join(self, seconds: float) -> None:
        """Wait for the threads of a stopped crew: a process that ends while one is inside onnxruntime is aborted."""
        until = self._clock() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock()))

    @property
    def stopped(self) -> bool:
        return self._stopped

    @property
    def busy(self) -> int:
        return len(self._running)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            with self._crumb.during(call.servable.digest):
                outcome = run(call.servable, call.case, call.cancel)
            call.servable.leave()
            with self._lock:
                self._running.discard(call)
            call.finish(outcome)
            del call, outcome  # an idle thread must keep no model and no request alive
