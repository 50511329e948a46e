"""Work that one thread of a serving process does again and again, until the process stops."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog


class Periodic:
    """Calls `work` every so many seconds in a thread of its own; an exception is logged and ends nothing.

    Args:
        name: of the thread.
        seconds: between two calls.
        failed: what to log when `work` raises.
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], object], failed: str) -> None:
        self._seconds = seconds
        self._work = work
        self._failed = failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._log = structlog.get_logger("recognizer.serving")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Call it no more; a call under way is waited for. Also right when nothing was started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._work()
            except Exception:  # this thread must not end
                self._log.exception(self._failed)
