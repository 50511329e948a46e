"""Load packages off the reconciling thread, so that a large one delays no swap and no rollback of others."""

from __future__ import annotations

import threading
from collections.abc import Set
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from serving.breadcrumb import Breadcrumb
from serving.loader import Wanted
from serving.servable import Servable

LAST_LOAD_SECONDS = 10
"""How long a process that ends waits for a load: one that ends inside onnxruntime is aborted."""


class Loads(Protocol):
    """Makes an AVAILABLE servable; `serving.loader.Loader` is the real one."""

    def load(self, wanted: Wanted) -> Servable: ...

    def stop(self) -> None:
        """Give up what is being loaded."""


@dataclass
class _Job:
    wanted: Wanted
    servable: Servable | None = None
    error: Exception | None = None
    done: bool = False


class BackgroundLoader:
    """One thread that loads one package after the other. Its methods are called by one thread.

    It has no low priority: a thread that waits for a core while it holds the interpreter's lock makes every request
    wait with it, a p99 of 900 ms was seen instead of 30. The loader keeps its pace instead.
    """

    def __init__(self, loads: Loads, *, crumb: Breadcrumb | None = None) -> None:
        self._loads = loads
        self._crumb = crumb or Breadcrumb()
        self._jobs: dict[str, _Job] = {}
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def load(self, wanted: Wanted) -> Servable | None:
        """The servable once it is loaded; None until then: ask again.

        Raises:
            RecognizerError: as the loader does; the next call starts anew.
        """
        job = self._jobs.get(wanted.digest)
        if job is None:
            job = self._jobs[wanted.digest] = _Job(wanted)
            self._start()
            self._queue.put(job)
        if not job.done:
            return None
        del self._jobs[wanted.digest]
        if job.error is not None:
            raise job.error
        return job.servable

    def keep(self, digests: Set[str]) -> None:
        """Forget all others: nobody will ask for them again."""
        self._jobs = {digest: job for digest, job in self._jobs.items() if digest in digests}

    def stop(self) -> None:
        """Take no more, and wait for the load it is at."""
        self._jobs = {}
        self._loads.stop()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(LAST_LOAD_SECONDS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="load", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._jobs.get(job.wanted.digest) is job:
                try:
                    with self._crumb.during(job.wanted.digest):
                        job.servable = self._loads.load(job.wanted)
                except Exception as error:
                    job.error = error
            job.done = True
            del job  # it holds the model
