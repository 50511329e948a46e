"""Releases: what this process answers with, as one immutable picture that is exchanged as a whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import structlog

from recognizer.errors import NoChampion
from recognizer.rollout.split import Split
from serving.servable import Servable, State
from serving.trial import Trial

QUIESCE_SECONDS = 30.0
"""How long the last requests of a replaced servable may take before it is reported as a leak."""


@dataclass(frozen=True)
class Problem:
    """Why this process does not serve what the store wants.

    Attributes:
        task: the task it concerns; None when the store itself cannot be read.
        digest: the package that was refused.
        error: the error as `RecognizerError.as_json` gives it.
    """

    task: str | None
    digest: str | None
    error: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        return {"task": self.task, "digest": self.digest, **self.error}


class Beside(NamedTuple):
    """What stands beside a champion: the split, its loaded model, and what this process knows of the rollout."""

    servable: Servable
    split: Split
    trial: Trial


@dataclass(frozen=True)
class Release:
    """Everything a request may be answered with.

    Attributes:
        generation: the store's generation this picture was made from; 0 before the first.
        champions: per task the servable that answers, AVAILABLE when the release is published.
        refused: per task why its newest champion does not answer; the one before does, when there is one.
        beside: per task the other model of its split, AVAILABLE too.
        missing: per task why the other model of its split is not there; its share is 0 in this process.
    """

    generation: int = 0
    champions: Mapping[str, Servable] = field(default_factory=dict)
    refused: Mapping[str, Problem] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    missing: Mapping[str, Problem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("champions", "refused", "beside", "missing"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def whole(self) -> bool:
        """Whether it is exactly what the store wanted."""
        return not self.refused and not self.missing

    @property
    def servables(self) -> list[Servable]:
        """Every model it names, once."""
        named = [*self.champions.values(), *(beside.servable for beside in self.beside.values())]
        return list({id(servable): servable for servable in named}.values())


class Taken(NamedTuple):
    """What a request holds from its start to its end."""

    release: Release
    champion: Servable
    beside: Beside | None


@dataclass
class Retiring:
    """A servable that finishes its last requests, since when, and whether it was reported as a leak."""

    servable: Servable
    since: float
    leaks: bool = False


class Releases:
    """The newest release and those that still finish their requests.

    One thread publishes and sweeps; any thread takes.
    """

    def __init__(
        self, *, quiesce_seconds: float = QUIESCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._newest = Release()
        self._retiring: list[Retiring] = []
        self._quiesce_seconds = quiesce_seconds
        self._clock = clock
        self._log = structlog.get_logger("recognizer.serving").bind(worker=os.getpid())

    @property
    def newest(self) -> Release:
        return self._newest

    def publish(self, release: Release) -> None:
        """Answer all requests from now on with `release`; servables that it no longer names are quiesced."""
        named = release.servables
        unloaded = [servable for servable in named if servable.state is not State.AVAILABLE]
        if unloaded:
            raise ValueError(f"release {release.generation} names servables that are not AVAILABLE: {unloaded}")
        before = self._newest
        self._newest = release  # the swap: one reference assignment
        kept = {id(servable) for servable in named}
        for servable in before.servables:
            if id(servable) not in kept:
                servable.quiesce(f"release {release.generation} took its place")
                self._retiring.append(Retiring(servable, self._clock()))

    def sweep(self) -> int:
        """Free what no request uses any more, and report what should have been free by now; how many were freed."""
        before = len(self._retiring)
        self._retiring = [retiring for retiring in self._retiring if not retiring.servable.unload()]
        for retiring in self._retiring:
            if not retiring.leaks and self._clock() - retiring.since >= self._quiesce_seconds:
                retiring.leaks = True
                self._log.error("a replaced model is still in use", **self._describe(retiring))
        return before - len(self._retiring)

    @property
    def retiring(self) -> int:
        """How many servables still finish their last requests."""
        return len(self._retiring)

    @property
    def leaks(self) -> list[dict[str, object]]:
        """Replaced servables whose last requests take too long: which, how many requests, for how long."""
        return [self._describe(retiring) for retiring in list(self._retiring) if retiring.leaks]

    @contextmanager
    def take(self, task: str) -> Iterator[Taken]:
        """One release and its models for the task, kept for the length of the request.

        Raises:
            NoChampion: nothing answers for this task.
        """
        while True:
            release = self._newest
            champion, beside = release.champions.get(task), release.beside.get(task)
            if champion is None:
                raise _no_champion(task, release)
            if champion.enter():
                if beside is None or beside.servable.enter():
                    break
                champion.leave()
            # it was superseded since the first line: the newest release answers
        try:
            yield Taken(release, champion, beside)
        finally:
            champion.leave()
            if beside is not None:
                beside.servable.leave()

    def _describe(self, retiring: Retiring) -> dict[str, object]:
        servable = retiring.servable
        return {
            "task": servable.task,
            "version": servable.version,
            "digest": servable.digest,
            "in_flight": servable.in_flight,
            "seconds": round(self._clock() - retiring.since, 1),
        }


def _no_champion(task: str, release: Release) -> NoChampion:
    if task in release.refused:
        problem = release.refused[task]
        return NoChampion(
            f"its champion was refused: {problem.error.get('what')}",
            where=f"task {task}",
            hint=str(problem.error.get("next") or "see /health"),
        )
    return NoChampion(
        "nothing has been promoted yet", where=f"task {task}", hint=f"run `recognizer nightly {task}`, then send again"
    )
