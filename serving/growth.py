"""How much a run of a new model makes this process grow, and what the system has killed for memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil

from recognizer.errors import PluginError

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control", "/proc/vmstat")
"""Where Linux counts what it killed for memory: in this container (two versions of it), and on the whole machine."""


class Memory:
    """The memory of this process as it was at the last `tick`, and the growth that one run may cause.

    A run is held against what was there just before it began. Whatever else grows meanwhile is charged to it as well:
    the limit is to be far above what requests and the load of a model need.

    Args:
        limit: bytes; without one nothing is too much.
        read: bytes that the process holds now.
    """

    def __init__(self, limit: int | None = None, read: Callable[[], int] | None = None) -> None:
        self._limit = limit
        self._read = read or resident_bytes
        self.resident = 0 if limit is None else self._read()

    def tick(self) -> None:
        if self._limit is not None:
            self.resident = self._read()

    def excess(self, before: int) -> PluginError | None:
        """Why a run that began at `before` bytes has to end; None while it may go on."""
        grown = self.resident - before
        if self._limit is None or grown <= self._limit:
            return None
        return PluginError(
            f"the process grew by {grown / 2**20:.0f} MB while it ran (limit {self._limit / 2**20:.0f} MB)",
            hint="raise RECOGNIZER_CHALLENGER_MEMORY_MB if the model needs that much for one request",
        )


def resident_bytes() -> int:
    """What this process holds in memory now."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:  # no Linux
        return int(psutil.Process().memory_info().rss)


def count_kills() -> int:
    """How many processes the system has killed for memory since it started; -1 when it does not tell."""
    found = [
        int(line.split()[1])
        for path in _KILLS
        for line in _lines(Path(path))
        if line.startswith("oom_kill ") and line.split()[1].isdigit()
    ]
    return sum(found) if found else -1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
