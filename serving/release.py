"""Releases: what this process answers with, as one immutable picture that is exchanged as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from recognizer.errors import NoChampion
from serving.servable import Servable, State


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


@dataclass(frozen=True)
class Release:
    """Everything a request may be answered with.

    Attributes:
        generation: the store's generation this picture was made from; 0 before the first.
        champions: per task the servable that answers, AVAILABLE when the release is published.
        refused: per task why its newest champion does not answer; the one before does, when there is one.
    """

    generation: int = 0
    champions: Mapping[str, Servable] = field(default_factory=dict)
    refused: Mapping[str, Problem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "champions", MappingProxyType(dict(self.champions)))
        object.__setattr__(self, "refused", MappingProxyType(dict(self.refused)))

    @property
    def whole(self) -> bool:
        """Whether it is exactly what the store wanted."""
        return not self.refused


class Releases:
    """The newest release and those that still finish their requests.

    One thread publishes and sweeps; any thread takes.
    """

    def __init__(self) -> None:
        self._newest = Release()
        self._retiring: list[Servable] = []

    @property
    def newest(self) -> Release:
        return self._newest

    def publish(self, release: Release) -> None:
        """Answer all requests from now on with `release`; servables that it no longer names are quiesced."""
        unloaded = [s for s in release.champions.values() if s.state is not State.AVAILABLE]
        if unloaded:
            raise ValueError(f"release {release.generation} names servables that are not AVAILABLE: {unloaded}")
        before = self._newest
        self._newest = release  # the swap: one reference assignment
        kept = {id(servable) for servable in release.champions.values()}
        for servable in before.champions.values():
            if id(servable) not in kept:
                servable.quiesce(f"release {release.generation} took its place")
                self._retiring.append(servable)

    def sweep(self) -> None:
        """Free what no request uses any more."""
        self._retiring = [servable for servable in self._retiring if not servable.unload()]

    @property
    def retiring(self) -> int:
        """How many servables still finish their last requests."""
        return len(self._retiring)

    @contextmanager
    def take(self, task: str) -> Iterator[tuple[Release, Servable]]:
        """One release and its champion, kept for the length of the request.

        Raises:
            NoChampion: nothing answers for this task.
        """
        while True:
            release = self._newest
            servable = release.champions.get(task)
            if servable is None:
                raise _no_champion(task, release)
            if servable.enter():
                break  # else it was superseded since the line above: the newest release answers
        try:
            yield release, servable
        finally:
            servable.leave()


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
