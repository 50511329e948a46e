"""A loaded package: its state, the requests in it, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from recognizer.errors import Conflict
from recognizer.package import PackageCard
from recognizer.tasks import Predictor
from serving.latency import Latency


class State(StrEnum):
    """Where a servable stands; it only ever moves downwards."""

    # It has a name, and nothing was read yet.
    START = "START"
    # Its package is being verified, opened and warmed up.
    LOADING = "LOADING"
    # It takes requests.
    AVAILABLE = "AVAILABLE"
    # It takes no new requests and finishes the ones in it.
    QUIESCING = "QUIESCING"
    # It holds no model; `reason` says why.
    UNLOADED = "UNLOADED"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.START: frozenset({State.LOADING}),
    State.LOADING: frozenset({State.AVAILABLE, State.UNLOADED}),
    State.AVAILABLE: frozenset({State.QUIESCING}),
    State.QUIESCING: frozenset({State.UNLOADED}),
    State.UNLOADED: frozenset(),
}


@dataclass(frozen=True)
class Opened:
    """What loading yields.

    Attributes:
        predictor: warm.
        card: of its package, verified.
        free: called once the predictor is gone, for what it was opened from.
    """

    predictor: Predictor
    card: PackageCard
    free: Callable[[], None] = lambda: None


class Servable:
    """One version of one task in this process. All methods may be called from any thread.

    Attributes:
        task, version, digest: which package it is.
        state: see `State`.
        reason: why it stands there, for people.
        latency: its own times, whoever's requests they were.
    """

    def __init__(self, task: str, version: int, digest: str) -> None:
        self.task = task
        self.version = version
        self.digest = digest
        self.state = State.START
        self.reason = "named by the store"
        self.latency = Latency()
        self._opened: Opened | None = None
        self._in_flight = 0
        self._lock = threading.Lock()

    def load(self, open_package: Callable[[], Opened]) -> None:
        """Become AVAILABLE with what `open_package` returns.

        Raises:
            Exception: whatever `open_package` raises; the servable is UNLOADED then.
        """
        self._move(State.LOADING, "verifying, opening and warming up")
        try:
            self._opened = open_package()
        except BaseException as error:
            self._move(State.UNLOADED, f"refused: {error}")
            raise
        self._move(State.AVAILABLE, "verified and warm")

    @property
    def opened(self) -> Opened:
        """The model; only between `enter` and `leave` is it sure to be there."""
        if self._opened is None:
            raise Conflict(f"version {self.version} is {self.state}", where=f"task {self.task}")
        return self._opened

    @property
    def in_flight(self) -> int:
        """Requests between `enter` and `leave`."""
        return self._in_flight

    def enter(self) -> bool:
        """Take a request in; False when it takes none."""
        with self._lock:
            if self.state is not State.AVAILABLE:
                return False
            self._in_flight += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def quiesce(self, reason: str) -> None:
        """Take no new requests. Those in flight are finished; then `unload` may free it."""
        self._move(State.QUIESCING, reason)

    def unload(self) -> bool:
        """Free the model when the last request has left; False while one is in flight.

        Called off the request path: freeing a large session takes its time.
        """
        with self._lock:
            if self._in_flight:
                return False
        self._move(State.UNLOADED, f"{self.reason}; the last request has left")
        free = self.opened.free
        self._opened = None
        free()
        return True

    def _move(self, state: State, reason: str) -> None:
        with self._lock:
            if state not in TRANSITIONS[self.state]:
                raise Conflict(f"{self.state} does not become {state}", where=f"{self.task} version {self.version}")
            self.state, self.reason = state, reason
