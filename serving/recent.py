"""What was asked lately."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any


class Recent:
    """The newest cases of each task: what a model that is loaded is warmed up with."""

    def __init__(self, most: int = 4) -> None:
        self._cases: defaultdict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=most))

    def add(self, task: str, case: Any) -> None:
        self._cases[task].append(case)

    def of(self, task: str) -> Sequence[Any]:
        return tuple(self._cases[task].copy())  # in one go, while others add
