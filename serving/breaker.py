"""The breaker of a new model in this process: after a few failures it is not asked any more, whoever else is alive."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

WINDOW = 50
"""Among how many of the newest calls the failures are counted.

Calls and not seconds: at 0.2 % noise five failures in 50 calls happen once in 10^8 calls, at any traffic.
"""
IN_A_ROW = 3
"""Failures in a row that open it too, as rare under that noise (0.002^3).

Five alone are not quick enough: with 5 % of 100 requests/s a new model is asked five times a second on average, and
in every other second less often. Two in a row would leave the judge with too little: a model that is asked no more
gives no evidence.
"""

RELAPSES = 4
"""Pauses in a row after which the next call failed as well. A model that fails every tenth request, as the other one
may too, does that once in 10,000 times that its breaker opens."""


class State(StrEnum):
    """Whether the model is asked."""

    # It is asked.
    CLOSED = "CLOSED"
    # It is not asked until the pause has passed.
    OPEN = "OPEN"
    # It is asked for one request at a time, to see whether it works again.
    HALF_OPEN = "HALF_OPEN"


class Event(StrEnum):
    """What moves a breaker."""

    # Too many of the newest calls failed.
    TOO_MANY_FAILURES = "too many failures"
    # The pause has passed.
    PAUSE_OVER = "pause over"
    # A probe failed.
    PROBE_FAILED = "probe failed"
    # Enough probes in a row succeeded.
    PROBES_SUCCEEDED = "probes succeeded"
    # Somebody who knows better opened it: a thread that does not come back.
    TRIPPED = "tripped"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CLOSED, Event.TOO_MANY_FAILURES): State.OPEN,
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.PAUSE_OVER): State.HALF_OPEN,
    (State.OPEN, Event.TRIPPED): State.OPEN,  # the pause starts again
    (State.HALF_OPEN, Event.PROBE_FAILED): State.OPEN,
    (State.HALF_OPEN, Event.TRIPPED): State.OPEN,
    (State.HALF_OPEN, Event.PROBES_SUCCEEDED): State.CLOSED,
}


@dataclass(frozen=True)
class BreakerLimits:
    """When it opens and closes.

    Attributes:
        failures: among the newest `WINDOW` calls that open it; see `IN_A_ROW` too.
        seconds: how long it stays open before it probes.
        successes: of probes in a row that close it.
    """

    failures: int = 5
    seconds: float = 30.0
    successes: int = 3


class Breaker:
    """Counts the failures of one model. All methods may be called from any thread.

    Attributes:
        opened: how often it opened.
        reason: why it stands where it does, with numbers.
    """

    def __init__(self, limits: BreakerLimits = BreakerLimits(), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._calls: deque[bool] = deque(maxlen=WINDOW)  # True where one succeeded
        self._probing = False
        self._until = 0.0
        self._term = 0  # grows with each transition; what was allowed in an earlier one counts no more
        self.opened = 0
        self._relapses = 0  # since it was closed
        self.reason = "no failures"

    @property
    def state(self) -> State:
        with self._lock:
            self._pass_time()
            return self._state

    @property
    def relapsed(self) -> bool:
        """Whether the model goes on failing after several pauses; until the breaker closes."""
        return self._relapses >= RELAPSES

    def allow(self) -> int | None:
        """A ticket for one call, to be given back to `record` or `abandon`; None when it must not be made."""
        with self._lock:
            self._pass_time()
            if self._state is State.OPEN or (self._state is State.HALF_OPEN and self._probing):
                return None
            self._probing = self._state is State.HALF_OPEN
            return self._term

    def record(self, ticket: int, ok: bool, what: str = "failed") -> None:
        """How the call went; `what` says how it failed."""
        with self._lock:
            if ticket != self._term:
                return  # it was made before the breaker moved, and says nothing about now
            self._calls.append(ok)
            if self._state is State.HALF_OPEN:
                self._probing = False
                if not ok:
                    self._move(Event.PROBE_FAILED, f"a probe failed: {what}")
                elif len(self._calls) >= self._limits.successes:
                    self._move(Event.PROBES_SUCCEEDED, f"{len(self._calls)} probes in a row succeeded")
            elif not ok:
                self._look(what)

    def abandon(self, ticket: int) -> None:
        """The call was not made, or ended without saying anything about the model."""
        with self._lock:
            if ticket == self._term:
                self._probing = False

    def trip(self, reason: str) -> None:
        """Open it, whatever was counted."""
        with self._lock:
            self._move(Event.TRIPPED, reason)

    def as_dict(self) -> dict[str, object]:
        return {"state": self.state, "reason": self.reason, "opened": self.opened}

    def _look(self, what: str) -> None:
        failures = self._calls.count(False)
        newest = list(self._calls)[-IN_A_ROW:]
        if failures >= self._limits.failures or (len(newest) == IN_A_ROW and not any(newest)):
            self._move(Event.TOO_MANY_FAILURES, f"{failures} of the last {len(self._calls)} calls failed: {what}")

    def _pass_time(self) -> None:
        if self._state is State.OPEN and self._clock() >= self._until:
            self._move(Event.PAUSE_OVER, f"{self._limits.seconds:g} s have passed; before: {self.reason}")

    def _move(self, event: Event, reason: str) -> None:
        before, self._state = self._state, TRANSITIONS[self._state, event]
        self._term += 1
        self._calls.clear()
        self._probing = False
        self.reason = reason
        if self._state is State.OPEN:
            self.opened += 1
            self._relapses += before is State.HALF_OPEN
            self._until = self._clock() + self._limits.seconds
        elif self._state is State.CLOSED:
            self._relapses = 0
