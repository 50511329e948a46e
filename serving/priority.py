"""The priority of one thread against the others of the machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

STEPS = 5
"""Of niceness. A thread at the lowest priority would be left without a core on a busy machine, also while it holds the
interpreter's lock, and then every request waits for it: a p99 of 900 ms was seen instead of 30."""


def lower_priority() -> None:
    """Let the other threads go first. Linux gives each thread a priority of its own; elsewhere nothing is changed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), STEPS)
