"""Freezes: tasks for which nothing changes, neither champion nor rollout, until somebody unfreezes them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from recognizer.errors import Conflict, NotFound
from recognizer.store import audit
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import freezes


@dataclass(frozen=True)
class Freeze:
    """A frozen task; `since` in seconds since 1970."""

    task: str
    who: str
    reason: str
    since: float

    def __str__(self) -> str:
        return f"{self.who} ({self.reason})" if self.reason else self.who


def freeze(store: Store, task: str, *, who: str, reason: str = "") -> Freeze:
    """Freeze a task.

    Raises:
        Conflict: it is frozen already.
    """
    with store.write() as connection:
        found = frozen_within(connection, task)
        if found is not None:
            raise Conflict(
                f"task {task!r} is frozen already by {found}",
                hint=f"recognizer rollout unfreeze {task}, when it is time",
            )
        connection.execute(insert(freezes).values(task=task, who=who, reason=reason, since=database_now()))
        audit.append(connection, who=who, event="freeze", payload={"task": task, "reason": reason})
        return Freeze(**connection.execute(select(freezes).where(freezes.c.task == task)).one()._mapping)


def unfreeze(store: Store, task: str, *, who: str, reason: str = "") -> None:
    """Let a task change again.

    Raises:
        NotFound: it is not frozen.
    """
    with store.write() as connection:
        if connection.execute(delete(freezes).where(freezes.c.task == task)).rowcount != 1:
            raise NotFound(f"task {task!r} is not frozen", hint=f"recognizer rollout status {task}")
        audit.append(connection, who=who, event="unfreeze", payload={"task": task, "reason": reason})


def frozen(store: Store, task: str) -> Freeze | None:
    """The freeze of a task; None when it may change."""
    with store.read() as connection:
        return frozen_within(connection, task)


def frozen_within(connection: Connection, task: str) -> Freeze | None:
    """`frozen`, inside a transaction."""
    row = connection.execute(select(freezes).where(freezes.c.task == task)).one_or_none()
    return None if row is None else Freeze(**row._mapping)


def require_thawed(connection: Connection, task: str) -> None:
    """Make sure, inside a write transaction, that a task may change.

    Raises:
        Conflict: it is frozen.
    """
    found = frozen_within(connection, task)
    if found is not None:
        raise Conflict(
            f"task {task!r} is frozen by {found}: nothing changes", hint=f"recognizer rollout unfreeze {task}"
        )
