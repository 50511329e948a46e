"""Tell the store what this process really serves and what it has counted, and see whether somebody decides."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from recognizer.errors import Conflict, RecognizerError
from recognizer.judge.evidence import Batch
from recognizer.store import Store, evidence, leases, workers
from recognizer.store.rollouts import LEASE
from serving.link import Link
from serving.periodic import Periodic
from serving.release import Problem, Release, Releases
from serving.router import Router
from serving.trial import Trials

BEAT_SECONDS = 0.25
"""How soon a bad event, or a change of what is loaded, is told."""
SILENCE_SECONDS = 1.0
"""How often evidence of nothing bad is told, and the longest time between two heartbeats when nothing has changed."""
HOLD_SECONDS = 10.0
"""After this long without a controller, by this process's own clock, it gives no share to anybody but the champion."""
MOST_WAITING = 4_000
"""Batches that wait while the store is away; then the oldest are dropped, and the gap in their numbers tells of it."""

PASSING = frozenset({"NotFound", "StorageError", "DiskFull", "ReadOnlyHome", "StoreUnavailable"})
"""Errors of loading that may go away by themselves: the package may still be on its way."""


class Heartbeat:
    """One thread per process; nothing it does or fails to do delays an answer.

    Args:
        problems: what this process could not do.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        url: str,
        releases: Releases,
        trials: Trials,
        router: Router,
        *,
        ready: Callable[[], bool],
        problems: Callable[[], list[Problem]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._link = Link(url)
        self._releases = releases
        self._trials = trials
        self._router = router
        self._ready = ready
        self._problems = problems
        self._clock = clock
        self._waiting: deque[tuple[int, Batch]] = deque(maxlen=MOST_WAITING)
        self._told: object = None
        self._told_at = -SILENCE_SECONDS
        self._led_at = clock()
        self._flushed_at = clock()
        self._away = False
        self._periodic = Periodic("heartbeat", BEAT_SECONDS, self.step, "a heartbeat failed")
        self._log = structlog.get_logger("recognizer.serving")

    def start(self) -> None:
        """Register, then go on in the background."""
        self.step()
        self._periodic.start()

    def stop(self) -> None:
        """Bring the last evidence to the store and leave."""
        self._periodic.stop()
        self._flushed_at = -SILENCE_SECONDS
        self.step()
        with suppress(RecognizerError):  # it is then taken for dead after a while, which it is
            workers.leave(self._link.open(), self._name)
        self._link.close()

    def step(self) -> None:
        """Tell once; what cannot be told waits."""
        if self._trials.urgent or self._clock() - self._flushed_at >= SILENCE_SECONDS:
            self._waiting.extend(self._trials.flush())
            self._flushed_at = self._clock()
        try:
            store = self._link.open()
            self._send(store)
            self._beat(store)
            held = leases.held(store, LEASE)
            if held is not None and held.holder is not None and held.expires > held.now:
                self._led_at = self._clock()
            if self._away:
                self._log.info("the store takes evidence again", waiting=len(self._waiting))
            self._away = False
        except RecognizerError as error:
            self._link.close()
            if not self._away:  # one line, however often it is tried
                self._log.error("evidence cannot be brought to the store, it waits", **error.as_json())
            self._away = True
        silent = self._clock() - self._led_at
        self._router.held = f"no controller for {silent:.0f} s" if silent > HOLD_SECONDS else None

    def _send(self, store: Store) -> None:
        while self._waiting:
            batches = list(self._waiting)
            for rollout in sorted({number for number, _ in batches}):
                try:
                    evidence.append(store, rollout, [batch for number, batch in batches if number == rollout])
                except Conflict as error:  # another store lies there now (a backup), and knows no such rollout
                    self._log.warning(
                        "evidence of a rollout that is unknown is dropped", rollout=rollout, error=str(error)
                    )
            for _ in batches:
                self._waiting.popleft()

    def _beat(self, store: Store) -> None:
        release = self._releases.newest
        loaded, relapsed = loaded_by(release), relapses_of(release)
        state = (release.generation, tuple(sorted(loaded.items())), self._ready(), tuple(one.task for one in relapsed))
        now = self._clock()
        if state == self._told and now - self._told_at < SILENCE_SECONDS:
            return
        problems = [problem.as_dict() for problem in (*self._problems(), *relapsed)]
        workers.beat(
            store,
            self._name,
            generation=release.generation,
            loaded=loaded,
            ready=self._ready(),
            problems=problems,
        )
        self._told, self._told_at = state, now


def loaded_by(release: Release) -> dict[str, str]:
    """State of every package that a release names or should name, by digest."""
    loaded = {servable.digest: str(servable.state) for servable in release.servables}
    for problem in (*release.refused.values(), *release.missing.values()):
        if problem.digest is not None and problem.error.get("error") not in PASSING:
            loaded.setdefault(problem.digest, workers.REFUSED)
    return loaded


def relapses_of(release: Release) -> list[Problem]:
    """The new models that this process asks no more, because they went on failing after a pause."""
    return [
        Problem(
            task,
            None,
            {"error": workers.RELAPSED, "what": beside.trial.breaker.reason, "rollout": beside.split.rollout},
        )
        for task, beside in sorted(release.beside.items())
        if beside.trial.breaker.relapsed
    ]
