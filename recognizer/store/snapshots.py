"""Which data sets there are; the data itself lies in the home, versioned by DVC."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update

from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import snapshots


@dataclass(frozen=True)
class Snapshot:
    """One data set of a task.

    Attributes:
        id: the digest of its content.
        card: what `snapshot.json` says.
        recorded_at: seconds since 1970, of the last time it was ingested.
    """

    id: str
    task: str
    card: Mapping[str, Any]
    recorded_at: float


def record(store: Store, *, task: str, id: str, card: Mapping[str, Any]) -> Snapshot:
    """Note a snapshot; noting it again makes it the newest once more: somebody wants to go on with it."""
    with store.write() as connection:
        query = select(snapshots).where(snapshots.c.task == task, snapshots.c.id == id)
        row = connection.execute(query).one_or_none()
        if row is None:
            connection.execute(insert(snapshots).values(task=task, id=id, card=dict(card), recorded_at=database_now()))
        else:
            connection.execute(
                update(snapshots).where(snapshots.c.number == row.number).values(recorded_at=database_now())
            )
        return _snapshot(connection.execute(query).one())


def latest(store: Store, task: str) -> Snapshot | None:
    """The snapshot recorded last; None when the task has none."""
    return next(iter(list(store, task, limit=1)), None)


def find(store: Store, task: str, id: str) -> Snapshot | None:
    """One snapshot; None when it was never recorded."""
    with store.read() as connection:
        row = connection.execute(select(snapshots).where(snapshots.c.task == task, snapshots.c.id == id)).one_or_none()
    return None if row is None else _snapshot(row)


def tasks(store: Store) -> builtins.list[str]:
    """The tasks that have a snapshot, sorted."""
    with store.read() as connection:
        return builtins.list(
            connection.execute(select(snapshots.c.task).distinct().order_by(snapshots.c.task)).scalars()
        )


def list(store: Store, task: str | None = None, *, limit: int | None = None) -> builtins.list[Snapshot]:
    """Snapshots, the newest first; of all tasks when none is named."""
    query = select(snapshots).order_by(snapshots.c.recorded_at.desc(), snapshots.c.number.desc()).limit(limit)
    if task is not None:
        query = query.where(snapshots.c.task == task)
    with store.read() as connection:
        return [_snapshot(row) for row in connection.execute(query)]


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(row.id, row.task, row.card, row.recorded_at)
