"""The memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

import psutil

from recognizer.errors import StorageError

NEEDED_TIMES, NEEDED_BESIDES = 2, 64 * 1024**2
"""Loading a model took 2.0 times its file at 100 and 400 MB, and 8 MB more at 10 MB; then it has to answer."""


def give_back() -> None:
    """Give what was freed back to the system: glibc keeps most of a replaced model for itself otherwise.

    Called off the request path. A hundred swaps of a 20 MB model left 60 MB more in the process without it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def require_room(size: int, where: str) -> None:
    """Make sure that a model can be loaded beside what serves.

    Args:
        size: bytes of its file.

    Raises:
        StorageError: less memory is free than loading took for models of any size that were measured.
    """
    needed, free = NEEDED_TIMES * size + NEEDED_BESIDES, free_bytes()
    if free < needed:
        raise StorageError(
            f"loading it takes about {needed // 1024**2:,} MB, {free // 1024**2:,} MB of memory are free",
            where=where,
            hint="give the service more memory, or start fewer workers; loading is tried again",
        )


def free_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may still take: of the machine, or of its control group when that has less."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = ((cgroup / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, max(int(limit) - int(used), 0))
