"""Workers: every serving process says here, again and again, that it lives and what it really holds."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from recognizer.rollout.next_action import Barrier
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import workers

LIVE_SECONDS = 5.0
"""A worker that was silent for longer is taken for dead."""
HEARD_SECONDS = 60.0
"""A dead one that was heard since is expected back: another process starts in its place."""

AVAILABLE, REFUSED = "AVAILABLE", "REFUSED"
"""States that decide about a load barrier: it takes requests; it will never be loaded here."""
RELAPSED = "BreakerOpen"
"""The `error` of a worker's problem that says: the new model of that `rollout` goes on failing."""


@dataclass(frozen=True)
class Worker:
    """One serving process; times are seconds since 1970.

    Attributes:
        name: of the process, never used again by another one.
        generation: of the release it answers with.
        loaded: state of every package it knows, by digest.
        ready: it holds the whole release.
        problems: what it could not do, as it tells it.
        age: seconds since its last heartbeat when this was read.
    """

    name: str
    started_at: float
    heartbeat_at: float
    generation: int
    loaded: Mapping[str, str]
    ready: bool
    problems: tuple[Any, ...]
    age: float

    @property
    def lives(self) -> bool:
        return self.age <= LIVE_SECONDS


def beat(
    store: Store,
    name: str,
    *,
    generation: int,
    loaded: Mapping[str, str],
    ready: bool,
    problems: Iterable[Any] = (),
) -> None:
    """Register a worker, or let it say that it still lives."""
    told = {
        "heartbeat_at": database_now(),
        "generation": generation,
        "loaded": dict(loaded),
        "ready": ready,
        "problems": [*problems],
    }
    with store.write() as connection:
        if connection.execute(update(workers).where(workers.c.name == name).values(told)).rowcount == 0:
            connection.execute(insert(workers).values(name=name, started_at=database_now(), **told))


def leave(store: Store, name: str) -> None:
    """A worker ends and is missed by nobody."""
    with store.write() as connection:
        connection.execute(delete(workers).where(workers.c.name == name))


def forget(store: Store, seconds: float) -> int:
    """Remove workers that were silent for longer; returns how many."""
    with store.write() as connection:
        return connection.execute(delete(workers).where(workers.c.heartbeat_at < database_now() - seconds)).rowcount


def list(store: Store) -> builtins.list[Worker]:
    """Every worker that is known, by name, the dead ones too."""
    with store.read() as connection:
        return list_within(connection)


def list_within(connection: Connection) -> builtins.list[Worker]:
    """`list`, inside a transaction."""
    query = select(workers, (database_now() - workers.c.heartbeat_at).label("age")).order_by(workers.c.name)
    rows = [row._mapping for row in connection.execute(query)]
    return [Worker(**{**row, "problems": tuple(row["problems"]), "age": max(row["age"], 0.0)}) for row in rows]


def live(store: Store) -> builtins.list[Worker]:
    """Workers that were heard lately."""
    return [worker for worker in list(store) if worker.lives]


def barrier(living: Iterable[Worker], digest: str) -> Barrier:
    """How far these workers have come with loading a package."""
    known = [(worker, worker.loaded.get(digest)) for worker in living]
    lagging = tuple(worker.name for worker, state in known if state != AVAILABLE)
    refused = tuple(f"{worker.name}: {_problem(worker, digest)}" for worker, state in known if state == REFUSED)
    return Barrier(len(known), lagging, refused)


def relapsed(living: Iterable[Worker], rollout: int) -> tuple[str, ...]:
    """Which of these workers ask the new model of a rollout no more; name and reason, as one text each."""
    return tuple(
        f"{worker.name}: {problem.get('what')}"
        for worker in living
        for problem in worker.problems
        if isinstance(problem, Mapping) and (problem.get("error"), problem.get("rollout")) == (RELAPSED, rollout)
    )


def _problem(worker: Worker, digest: str) -> str:
    """What a worker says against a package."""
    told = (one for one in worker.problems if isinstance(one, Mapping) and one.get("digest") == digest)
    return next((f"{one.get('error')}: {one.get('what')}" for one in told), "it says no more")
