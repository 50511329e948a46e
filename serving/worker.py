"""One serving process: its releases, the thread that reconciles them, and the threads that answer."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from recognizer.settings import Settings
from serving.desired import Desired
from serving.loader import Loader
from serving.reconcile import Reconciler
from serving.release import Problem, Release, Releases

SUPERVISOR = "RECOGNIZER_SUPERVISOR"
"""Environment variable: process id of who starts and restarts the workers; without it the parent is meant."""


class Worker:
    """Everything a serving process holds. Made once per process; nothing runs before `start`.

    Attributes:
        releases: what is answered with.
        threads: where requests are answered, off the event loop.
        body_limit: bytes of the largest request body.
    """

    def __init__(self, settings: Settings) -> None:
        self.releases = Releases()
        self.body_limit = settings.body_limit_mb * 1024 * 1024
        # as many requests at once as this process's share of the cores; the others wait in order
        self.threads = ThreadPoolExecutor(
            max(2, (os.cpu_count() or 1) // settings.workers), thread_name_prefix="answer"
        )
        self._desired = Desired(settings.database_url)
        loader = Loader(settings.home.packages, settings.home.keys, threads=settings.session_threads)
        self._reconciler = Reconciler(self._desired, loader, self.releases)
        self._poll_seconds = settings.poll_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self._joined = False

    def start(self) -> None:
        """Load what should be served now, then keep comparing.

        The first comparison is waited for: a process that takes requests before it has loaded fails them.
        """
        self._reconciler.step()
        self._thread.start()

    def stop(self) -> None:
        """Stop comparing and answering; requests in flight are finished."""
        self._stopping.set()
        self._thread.join()
        self._desired.close()
        self.threads.shutdown()

    def _run(self) -> None:
        # the id is handed down: a worker that starts slowly could find its supervisor gone already
        supervisor = int(os.environ.get(SUPERVISOR, os.getppid()))
        while not self._stopping.wait(self._poll_seconds):
            self._reconciler.step()
            if os.getppid() != supervisor:
                # It was killed: do not stay behind holding its port.
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def problems(self) -> list[Problem]:
        """Why this process does not serve what the store wants; empty when it does."""
        store = self._reconciler.store_problem
        refused = self.releases.newest.refused
        return ([] if store is None else [store]) + [refused[task] for task in sorted(refused)]

    def health(self) -> dict[str, object]:
        """What this process serves and what is wrong; whoever can read it talks to a process that works."""
        release = self.releases.newest
        return {
            "status": "ok" if not self.problems() else "degraded",
            "worker": os.getpid(),
            "generation": release.generation,
            "champions": {
                task: {"version": servable.version, "digest": servable.digest, "state": servable.state}
                for task, servable in sorted(release.champions.items())
            },
            "problems": [problem.as_dict() for problem in self.problems()],
        }

    def ready(self) -> bool:
        """Whether requests should be sent here.

        A process joins with an answer for every task that has a champion; afterwards a refused first champion of
        another task does not take it out again.
        """
        release = self.releases.newest
        self._joined = self._joined or _answers_all(release)
        return self._joined and bool(release.champions)


def _answers_all(release: Release) -> bool:
    return bool(release.champions) and set(release.refused) <= set(release.champions)
