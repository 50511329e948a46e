"""How long a model takes: its own time over its newest answers."""

from __future__ import annotations

import threading
from collections import deque

NEWEST = 1000
ENOUGH = 20
"""Answers below which a quantile is not known."""
REFRESH = 32
"""A quantile may be this many answers old: sorting a thousand numbers at every request would cost more than routing."""


class Latency:
    """Quantiles of the newest thousand. All methods may be called from any thread.

    Attributes:
        quickest: seconds of the quickest of a few recent answers: what the model takes when nothing else does. None
            before there were enough.
    """

    def __init__(self) -> None:
        self.quickest: float | None = None
        self._lock = threading.Lock()
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self._sorted: list[float] = []
        self._unsorted = 0
        self._few: list[float] = []

    def add(self, seconds: float) -> None:
        with self._lock:
            self._newest.append(seconds)
            self._unsorted += 1
            self._few.append(seconds)
            if len(self._few) == REFRESH:
                self.quickest = min(self._few)
                self._few.clear()

    def quantile(self, q: float) -> float | None:
        """Seconds within which the share `q` was answered; None before there are enough answers."""
        with self._lock:
            if len(self._newest) < ENOUGH:
                return None
            if not self._sorted or self._unsorted >= REFRESH:
                self._sorted, self._unsorted = sorted(self._newest), 0
            return self._sorted[min(int(q * len(self._sorted)), len(self._sorted) - 1)]
