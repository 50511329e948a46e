"""Bring what this process serves to what the store wants, again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from recognizer.errors import PluginError, RecognizerError
from recognizer.split import Mode, Split
from recognizer.store.served import Champion, Served
from serving.kept import keep_champions, lost_problem
from serving.loader import Wanted
from serving.memory import give_back
from serving.release import Beside, Problem, Release, Releases
from serving.servable import Servable
from serving.trial import Trials

FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a refused package is tried again: doubled each time up to the last."""


class Wants(Protocol):
    """Where to read what should be served; `serving.desired.Desired` is the real one."""

    def newer_than(self, generation: int | None) -> Served | None: ...

    def previous(self, champion: Champion) -> Champion | None: ...

    def close(self) -> None: ...


class Loads(Protocol):
    """Makes AVAILABLE servables; `serving.background.BackgroundLoader` is the real one."""

    def load(self, wanted: Wanted) -> Servable | None:
        """None while it is still loading: it is asked for again."""

    def keep(self, digests: Set[str]) -> None:
        """Nothing but these is wanted any more."""


@dataclass(frozen=True)
class Refusal:
    """A package that could not be loaded, and when to try again."""

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
        trials: Trials | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wants = wants
        self._loads = loads
        self._releases = releases
        self._trials = trials or Trials(clock=clock)
        self._clock = clock
        self._served: Served | None = None
        self._published: int | None = None
        self._most = 0
        self._lost: Problem | None = None
        self._pending: set[str] = set()
        self._refusals: dict[str, Refusal] = {}  # by digest
        self._store_problem: Problem | None = None
        self._log = structlog.get_logger("recognizer.serving").bind(worker=os.getpid())

    @property
    def store_problem(self) -> Problem | None:
        """Why the store could not be read just now, or what it has lost; None while all is well."""
        return self._store_problem or self._lost

    @property
    def loading(self) -> bool:
        """Whether something that should be served is still being loaded."""
        return bool(self._pending)

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
        if self._releases.sweep():
            give_back()
        served = self._wants.newer_than(self._published)
        if self._store_problem is not None:
            self._log.info("the store answers again")
            self._store_problem = None
        found = served
        if served is None:
            due = any(refusal.retry_at <= self._clock() for refusal in self._refusals.values())
            if not due and not self._pending:
                return
            served = self._served
        else:
            served = self._followed(served)
        if served is not None:
            self._served = served
            self._publish(served)
            self._published = self._published if found is None else found.generation

    def _followed(self, found: Served) -> Served:
        """What the store says, with the champions that it has lost."""
        served, lost = keep_champions(found, self._served, self._most)
        if not lost:
            self._most, self._lost = found.generation, None
            return served
        problem = Problem(None, None, lost_problem(lost, found.generation, self._most).as_json())
        if self._lost != problem:
            self._log.error("the store has lost champions; they go on answering", **problem.as_dict())
        self._lost = problem
        return served

    def _publish(self, served: Served) -> None:
        before = self._releases.newest
        resident = {servable.digest: servable for servable in before.servables}
        self._pending = set()
        champions: dict[str, Servable] = {}
        for task, champion in served.champions.items():
            servable = self._champion(champion, before.champions.get(task), resident)
            if servable is not None:
                champions[task] = servable
        # A champion that is still being loaded belongs to a generation that nobody answers with yet.
        generation = before.generation if self._pending else served.generation
        beside: dict[str, Beside] = {}
        for task, split in served.splits.items():
            champion_here, wanted = champions.get(task), served.champions.get(task)
            if champion_here is None or wanted is None or champion_here.digest != wanted.digest:
                continue  # against another champion than the rollout's its evidence would be worth nothing
            other = self._load(split, resident, "the other model of a split was refused; its share is 0 here")
            if other is not None and other is not champion_here:
                old = other if split.mode is Mode.BAKE else champion_here
                beside[task] = Beside(other, split, self._trials.adopt(split, old.latency))
        self._forget(served)
        release = Release(
            generation,
            champions,
            self._problems(served.champions.values()),
            beside,
            self._problems(served.splits.values()),
        )
        if release != before:
            self._releases.publish(release)
            at = datetime.now(UTC)
            self._trials.keep({one.split.rollout for one in beside.values()})
            self._tell(before, release)
            # with the moment itself: the line is written when there is time for it
            self._log.info("published", generation=release.generation, at=at.isoformat())

    def _champion(self, champion: Champion, serving: Servable | None, resident: dict[str, Servable]) -> Servable | None:
        """What answers for the champion's task from now on: the champion, else the one before, else nothing."""
        servable = self._load(champion, resident, "champion refused; the one before goes on answering") or serving
        if servable is not None or champion.digest not in self._refusals:
            return servable
        # this process started while the newest one cannot be loaded
        before = self._wants.previous(champion)
        return None if before is None else self._load(before, resident, "the champion before was refused too")

    def _load(self, wanted: Wanted, resident: dict[str, Servable], refused: str) -> Servable | None:
        """The wanted model: from memory when it is there in whatever role, else from its package.

        None when it is still being loaded, or was refused and should not be tried again yet.
        """
        servable = resident.get(wanted.digest)
        if servable is None:
            refusal = self._refusals.get(wanted.digest)
            if refusal is not None and self._clock() < refusal.retry_at:
                return None
            try:
                servable = self._loads.load(wanted)
            except RecognizerError as error:
                self._refuse(wanted, error, refused)
                return None
            if servable is None:
                self._pending.add(wanted.digest)
                return None
            resident[wanted.digest] = servable
        self._refusals.pop(wanted.digest, None)
        return servable

    def _refuse(self, wanted: Wanted, error: RecognizerError, message: str) -> None:
        problem = Problem(wanted.task, wanted.digest, error.as_json())
        before = self._refusals.get(wanted.digest)
        attempts = 1 if before is None else before.attempts + 1
        wait = min(FIRST_RETRY * 2 ** (attempts - 1), LAST_RETRY)
        if before is None or before.problem != problem:
            self._log.error(message, version=wanted.version, **problem.as_dict())
        self._refusals[wanted.digest] = Refusal(problem, attempts, self._clock() + wait)

    def _problems(self, wanted: Iterable[Wanted]) -> dict[str, Problem]:
        """By task, why what is wanted is not there."""
        return {one.task: self._refusals[one.digest].problem for one in wanted if one.digest in self._refusals}

    def _forget(self, served: Served) -> None:
        """Drop what is known about digests that nobody wants any more."""
        wanted = {champion.digest for champion in served.champions.values()}
        wanted |= {split.digest for split in served.splits.values()}
        wanted |= {one.previous_digest for one in served.champions.values() if one.previous_digest is not None}
        self._refusals = {digest: refusal for digest, refusal in self._refusals.items() if digest in wanted}
        self._loads.keep(wanted)

    def _tell(self, before: Release, release: Release) -> None:
        for task, servable in release.champions.items():
            if servable is not before.champions.get(task):
                self._log.info("serving", task=task, version=servable.version, digest=servable.digest)
        for task, one in release.beside.items():
            known = before.beside.get(task)
            if known is None or known.split != one.split:
                self._log.info("beside the champion", **_split_facts(one.split))

    def _note_store(self, error: RecognizerError, *, exc_info: bool = False) -> None:
        problem = Problem(None, None, error.as_json())
        if self._store_problem != problem:  # one line, however often it is polled
            self._log.error(
                "cannot compare with the store; what is loaded goes on answering", **error.as_json(), exc_info=exc_info
            )
        self._store_problem = problem


def _split_facts(split: Split) -> dict[str, object]:
    return {
        "task": split.task,
        "rollout": split.rollout,
        "mode": split.mode,
        "version": split.version,
        "digest": split.digest,
        "share": split.share,
    }
