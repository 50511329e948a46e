"""Bring what this process serves to what the store wants, again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from recognizer.errors import PluginError, RecognizerError
from recognizer.store.served import Champion, Served
from serving.release import Problem, Release, Releases
from serving.servable import Servable

FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a refused package is tried again: doubled each time up to the last."""


class Wants(Protocol):
    """Where to read what should be served; `serving.desired.Desired` is the real one."""

    def newer_than(self, generation: int | None) -> Served | None: ...

    def previous(self, champion: Champion) -> Champion | None: ...


class Loads(Protocol):
    """Makes AVAILABLE servables; `serving.loader.Loader` is the real one."""

    def load(self, champion: Champion) -> Servable: ...


@dataclass(frozen=True)
class Refusal:
    """A champion that could not be loaded, and when to try again."""

    digest: str
    problem: Problem
    attempts: int
    retry_at: float


class Reconciler:
    """Compares with the store and converges; one thread of the worker process calls it.

    Whatever happens here, the release that was published last goes on answering.
    """

    def __init__(
        self,
        wants: Wants,
        loads: Loads,
        releases: Releases,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wants = wants
        self._loads = loads
        self._releases = releases
        self._clock = clock
        self._served: Served | None = None
        self._published: int | None = None
        self._refusals: dict[str, Refusal] = {}
        self._store_problem: Problem | None = None
        self._log = structlog.get_logger("recognizer.serving").bind(worker=os.getpid())

    @property
    def store_problem(self) -> Problem | None:
        """Why the store could not be read just now; None while it can."""
        return self._store_problem

    def step(self) -> None:
        """`converge`, with whatever goes wrong written down instead of raised: this thread must not end."""
        try:
            self.converge()
        except RecognizerError as error:
            self._note_store(error)
        except Exception as error:
            fault = PluginError(f"reconciling failed: {type(error).__name__}: {error}", hint="see the service's log")
            self._note_store(fault, exc_info=True)

    def converge(self) -> None:
        """Compare once; load and publish what changed, free what nobody uses any more.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        self._releases.sweep()
        served = self._wants.newer_than(self._published)
        if self._store_problem is not None:
            self._log.info("the store answers again")
            self._store_problem = None
        if served is None:
            if not any(refusal.retry_at <= self._clock() for refusal in self._refusals.values()):
                return
            served = self._served
        if served is not None:
            self._served = served
            self._publish(served)
            self._published = served.generation

    def _publish(self, served: Served) -> None:
        before = self._releases.newest
        champions: dict[str, Servable] = {}
        for task, champion in served.champions.items():
            servable = self._servable(champion, before.champions.get(task))
            if servable is not None:
                champions[task] = servable
        self._refusals = {task: self._refusals[task] for task in served.champions if task in self._refusals}
        refused = {task: refusal.problem for task, refusal in self._refusals.items()}
        self._releases.publish(Release(served.generation, champions, refused))
        for task, servable in champions.items():
            if servable is not before.champions.get(task):
                self._log.info("serving", task=task, version=servable.version, digest=servable.digest)

    def _servable(self, champion: Champion, serving: Servable | None) -> Servable | None:
        """What answers for the champion's task from now on: the champion, else the one before, else nothing."""
        if serving is not None and serving.digest == champion.digest:
            self._refusals.pop(champion.task, None)
            return serving
        refusal = self._refusals.get(champion.task)
        if refusal is not None and refusal.digest == champion.digest and self._clock() < refusal.retry_at:
            return serving
        try:
            servable = self._loads.load(champion)
        except RecognizerError as error:
            self._refuse(champion, error, refusal)
            return serving if serving is not None else self._previous(champion)
        self._refusals.pop(champion.task, None)
        return servable

    def _previous(self, champion: Champion) -> Servable | None:
        """The champion before, for a process that starts while the newest one cannot be loaded."""
        before = self._wants.previous(champion)
        if before is None:
            return None
        try:
            return self._loads.load(before)
        except RecognizerError as error:
            self._log.error("the champion before was refused too", version=before.version, **error.as_json())
            return None

    def _refuse(self, champion: Champion, error: RecognizerError, before: Refusal | None) -> None:
        problem = Problem(champion.task, champion.digest, error.as_json())
        again = before is not None and before.digest == champion.digest
        attempts = before.attempts + 1 if before is not None and again else 1
        wait = min(FIRST_RETRY * 2 ** (attempts - 1), LAST_RETRY)
        if before is None or before.problem != problem:
            self._log.error(
                "champion refused; the one before goes on answering", version=champion.version, **problem.as_dict()
            )
        self._refusals[champion.task] = Refusal(champion.digest, problem, attempts, self._clock() + wait)

    def _note_store(self, error: RecognizerError, *, exc_info: bool = False) -> None:
        problem = Problem(None, None, error.as_json())
        if self._store_problem != problem:  # one line, however often it is polled
            self._log.error(
                "cannot compare with the store; what is loaded goes on answering", **error.as_json(), exc_info=exc_info
            )
        self._store_problem = problem
