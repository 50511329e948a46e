"""Quarantine: digests that failed in service. None of them is tried again by itself; a person may let one out."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from recognizer.errors import Conflict, NotFound
from recognizer.store import audit
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import quarantine


@dataclass(frozen=True)
class Quarantined:
    """A digest in quarantine.

    Attributes:
        reason: of the first failure, with numbers.
        since: seconds since 1970.
    """

    digest: str
    task: str
    reason: str
    since: float


def put(store: Store, digest: str, *, task: str, reason: str, who: str) -> None:
    """Put a digest into quarantine; one that is there already keeps its reason."""
    with store.write() as connection:
        put_within(connection, digest, task=task, reason=reason, who=who)


def put_within(
    connection: Connection, digest: str, *, task: str, reason: str, who: str, rollout: int | None = None
) -> None:
    """`put`, inside the transaction of the failure."""
    if find_within(connection, digest) is None:
        connection.execute(insert(quarantine).values(digest=digest, task=task, reason=reason, since=database_now()))
        told = {"task": task, "digest": digest, "reason": reason}
        audit.append(connection, who=who, event="quarantine", payload=told, rollout=rollout)


def lift(store: Store, digest: str, *, who: str, reason: str) -> None:
    """Let a digest out.

    Raises:
        NotFound: it is not in quarantine.
    """
    with store.write() as connection:
        found = find_within(connection, digest)
        if found is None:
            raise NotFound(f"{digest[:12]} is not in quarantine", hint="`recognizer models` lists the versions")
        connection.execute(delete(quarantine).where(quarantine.c.digest == digest))
        told = {"task": found.task, "digest": digest, "reason": reason}
        audit.append(connection, who=who, event="lift", payload=told)


def find(store: Store, digest: str) -> Quarantined | None:
    """The quarantine of a digest; None when it is not in it."""
    with store.read() as connection:
        return find_within(connection, digest)


def find_within(connection: Connection, digest: str) -> Quarantined | None:
    """`find`, inside a transaction."""
    row = connection.execute(select(quarantine).where(quarantine.c.digest == digest)).one_or_none()
    return None if row is None else Quarantined(**row._mapping)


def require_free(connection: Connection, digest: str, where: str) -> None:
    """Make sure, inside a transaction, that a digest may be served.

    Raises:
        Conflict: it is in quarantine.
    """
    found = find_within(connection, digest)
    if found is not None:
        raise Conflict(
            f"{digest[:12]} is in quarantine: {found.reason}",
            where=where,
            hint=f"`recognizer rollout explain {found.task}` shows how it failed; the next night trains another one",
        )


def list(store: Store, task: str | None = None) -> builtins.list[Quarantined]:
    """Digests in quarantine, the newest first."""
    query = select(quarantine).order_by(quarantine.c.since.desc(), quarantine.c.digest)
    if task is not None:
        query = query.where(quarantine.c.task == task)
    with store.read() as connection:
        return [Quarantined(**row._mapping) for row in connection.execute(query)]
