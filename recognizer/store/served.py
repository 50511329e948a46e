"""What should be served: per task its champion and what stands beside it, under one generation number.

Every worker compares and converges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from recognizer.errors import Conflict, NoChampion, NotFound
from recognizer.rollout.split import Split
from recognizer.store import audit, outbox
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.freezes import require_thawed
from recognizer.store.leases import Lease, fence
from recognizer.store.quarantine import require_free
from recognizer.store.rollout_rows import read_splits
from recognizer.store.schema import generation, served, versions

CHAMPION_TOPIC = "champion"
"""Outbox topic of a promotion; payload: task, version, digest, previous_digest, generation, reason."""


@dataclass(frozen=True)
class Champion:
    """The version that answers a task's stable traffic.

    Attributes:
        previous_digest: the champion before, to fall back on; None for the first. After a rollback it is the one
            before the champion that is back, not the one that was taken out.
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
        splits: by task, of those that have a rollout on its way.
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
        champions = {row.task: _champion(row) for row in connection.execute(select(served))}
        return Served(number, champions, read_splits(connection))


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
    who: str = "night",
    lease: Lease | None = None,
) -> Champion:
    """Make a registered version the champion without a rollout, as is right for the very first: one transaction.

    A digest that is the champion already stays it, and nothing changes.

    Args:
        expected: digest of the champion that the decision was made against; None for none.
        reason: why, with numbers.
        who: a person or a night, for the audit trail.

    Raises:
        Conflict: another champion than the expected one serves, the task is frozen or has a rollout on its way, the
            digest is in quarantine, or the lease is lost.
        NotFound: no such version with this digest is registered.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = champion_within(connection, task)
        if found is not None and found.digest == digest:
            return found
        require_thawed(connection, task)
        require_free(connection, digest, f"version {version} of task {task!r}")
        if task in read_splits(connection):
            raise Conflict(
                f"a rollout of task {task!r} is on its way, and is compared with its champion",
                hint=f"recognizer rollout abort {task}, or wait for its end",
            )
        serving = None if found is None else found.digest
        return crown(
            connection,
            task=task,
            version=version,
            digest=digest,
            expected=expected,
            previous=serving,
            reason=reason,
            who=who,
        )


def crown(
    connection: Connection,
    *,
    task: str,
    version: int,
    digest: str,
    expected: str | None,
    previous: str | None,
    reason: str,
    who: str,
    rollout: int | None = None,
) -> Champion:
    """Change the champion inside a write transaction: `served`, generation, outbox and audit trail.

    Args:
        previous: digest to fall back on.

    Raises:
        Conflict: another champion than the expected one serves.
        NotFound: no such version with this digest is registered.
    """
    found = champion_within(connection, task)
    serving = None if found is None else found.digest
    if serving != expected:
        raise _other_champion(task, expected, serving)
    need_version(connection, task, version, digest)
    number = next_generation(connection)
    values = {
        "version": version,
        "digest": digest,
        "previous_digest": previous,
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
    told = {"task": task, "version": version, "digest": digest, "previous_digest": previous}
    told |= {"generation": number, "reason": reason}
    outbox.append(connection, CHAMPION_TOPIC, told)
    audit.append(connection, who=who, event="champion", payload=told, rollout=rollout)
    return _champion(connection.execute(select(served).where(served.c.task == task)).one())


def champion_within(connection: Connection, task: str) -> Champion | None:
    """The task's champion, inside a transaction."""
    row = connection.execute(select(served).where(served.c.task == task)).one_or_none()
    return None if row is None else _champion(row)


def _generation(connection: Connection) -> int:
    return int(connection.execute(select(generation.c.number)).scalar_one())


def next_generation(connection: Connection) -> int:
    """Raise the generation inside a write transaction, for a change of what should be served.

    Raises:
        Conflict: somebody else raised it at the same moment.
    """
    number = _generation(connection)
    changed = connection.execute(
        update(generation).where(generation.c.number == number).values(number=number + 1)
    ).rowcount
    if changed != 1:
        raise Conflict("somebody else changed what is served at the same moment", hint="run the command again")
    return number + 1


def need_version(connection: Connection, task: str, version: int, digest: str) -> None:
    """Raise NotFound unless the version is registered with this digest."""
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
