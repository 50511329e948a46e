"""What should be served: per task its champion, under one generation number. Every worker compares and converges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from recognizer.errors import Conflict, NoChampion, NotFound
from recognizer.split import Split
from recognizer.store import outbox
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import generation, served, versions

CHAMPION_TOPIC = "champion"
"""Outbox topic of a promotion; payload: task, version, digest, previous_digest, generation, reason."""


@dataclass(frozen=True)
class Champion:
    """The version that answers a task's stable traffic.

    Attributes:
        previous_digest: the champion before; None for the first.
        since: when it was promoted, in seconds since 1970.
    """

    task: str
    version: int
    digest: str
    previous_digest: str | None
    since: float
    reason: str


@dataclass(frozen=True)
class Served:
    """Everything that should be served at one moment.

    Attributes:
        generation: 0 before the first promotion; grows by one with each change.
        champions: by task.
        splits: by task, what stands beside its champion while a rollout is on its way; at most one a task.
    """

    generation: int
    champions: Mapping[str, Champion]
    splits: Mapping[str, Split] = field(default_factory=dict)

    def champion(self, task: str) -> Champion:
        """The task's champion.

        Raises:
            NoChampion: nothing has been promoted yet.
        """
        if task not in self.champions:
            raise NoChampion(f"task {task!r} has no champion yet", hint=f"recognizer nightly {task}")
        return self.champions[task]


def read_served(store: Store) -> Served:
    """What should be served now."""
    with store.read() as connection:
        number = _generation(connection)
        return Served(number, {row.task: _champion(row) for row in connection.execute(select(served))})


def read_generation(store: Store) -> int:
    """The generation number alone: what a worker asks for many times a second."""
    with store.read() as connection:
        return _generation(connection)


def promote(
    store: Store,
    *,
    task: str,
    version: int,
    digest: str,
    expected: str | None,
    reason: str,
    lease: Lease | None = None,
) -> Champion:
    """Make a registered version the champion, and tell of it in the outbox: one transaction.

    A digest that is the champion already stays it, and nothing changes.

    Args:
        expected: digest of the champion that the decision was made against; None for none.
        reason: why, with numbers.

    Raises:
        Conflict: another champion than the expected one serves, or the lease is lost.
        NotFound: no such version with this digest is registered.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = connection.execute(select(served).where(served.c.task == task)).one_or_none()
        if found is not None and found.digest == digest:
            return _champion(found)
        serving = None if found is None else found.digest
        if serving != expected:
            raise _other_champion(task, expected, serving)
        _need_version(connection, task, version, digest)
        number = _next_generation(connection)
        values = {
            "version": version,
            "digest": digest,
            "previous_digest": serving,
            "since": database_now(),
            "reason": reason,
            "generation": number,
        }
        if serving is None:
            connection.execute(insert(served).values(task=task, **values))
        elif (
            connection.execute(
                update(served).where(served.c.task == task, served.c.digest == expected).values(values)
            ).rowcount
            != 1
        ):
            raise _other_champion(task, expected, "another one")
        told = {"task": task, "version": version, "digest": digest, "previous_digest": serving}
        outbox.append(connection, CHAMPION_TOPIC, {**told, "generation": number, "reason": reason})
        return _champion(connection.execute(select(served).where(served.c.task == task)).one())


def _generation(connection: Connection) -> int:
    return int(connection.execute(select(generation.c.number)).scalar_one())


def _next_generation(connection: Connection) -> int:
    number = _generation(connection)
    changed = connection.execute(
        update(generation).where(generation.c.number == number).values(number=number + 1)
    ).rowcount
    if changed != 1:
        raise Conflict("somebody else changed what is served at the same moment", hint="run the command again")
    return number + 1


def _need_version(connection: Connection, task: str, version: int, digest: str) -> None:
    known = connection.execute(
        select(versions.c.digest).where(versions.c.task == task, versions.c.version == version)
    ).scalar()
    if known != digest:
        raise NotFound(
            f"version {version} of task {task!r} is not registered with digest {digest[:12]}",
            hint="`recognizer models` lists the versions",
        )


def _other_champion(task: str, expected: str | None, serving: str | None) -> Conflict:
    return Conflict(
        f"task {task!r} is served by {_short(serving)}, the decision was made against {_short(expected)}",
        hint="judge the version again, against the champion of now",
    )


def _short(digest: str | None) -> str:
    return "no champion" if digest is None else digest[:12]


def _champion(row: Any) -> Champion:
    return Champion(row.task, row.version, row.digest, row.previous_digest, row.since, row.reason)
