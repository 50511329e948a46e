"""Registered versions: which digest has which number. The number is MLflow's; here it is given once and never moves."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, update

from recognizer.errors import Conflict, NotFound
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import versions


@dataclass(frozen=True)
class Version:
    """One registered version of a task's model.

    Attributes:
        digest: of its package; a digest has one version.
        night_id: the row of the night that made it, if one did.
        verdict: the worst verdict of its checks, when it was judged last.
        run_id: MLflow's run.
        registered_at: seconds since 1970.
    """

    task: str
    version: int
    digest: str
    night_id: int | None
    snapshot: str
    test_digest: str
    verdict: str
    metrics: Mapping[str, Any]
    run_id: str | None
    registered_at: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def record(
    store: Store,
    *,
    task: str,
    version: int,
    digest: str,
    snapshot: str,
    test_digest: str,
    verdict: str,
    metrics: Mapping[str, Any],
    run_id: str | None = None,
    night_id: int | None = None,
    lease: Lease | None = None,
) -> Version:
    """Note a version; noting the same digest again changes its verdict alone: it was judged again.

    Raises:
        Conflict: the number belongs to another digest, the digest to another number, or the lease is lost.
    """
    with store.write() as connection:
        fence(connection, lease)
        known = connection.execute(
            select(versions).where(
                (versions.c.digest == digest) | ((versions.c.task == task) & (versions.c.version == version))
            )
        ).all()
        if known:
            if any((row.task, row.version, row.digest) != (task, version, digest) for row in known):
                there = ", ".join(f"{row.task} {row.version} is {row.digest[:12]}" for row in known)
                raise Conflict(
                    f"cannot register {digest[:12]} as {task} {version}: {there}",
                    hint="`recognizer models` shows what is registered; run the night again",
                )
            connection.execute(update(versions).where(versions.c.digest == digest).values(verdict=verdict))
            return _version(connection.execute(select(versions).where(versions.c.digest == digest)).one())
        connection.execute(
            insert(versions).values(
                task=task,
                version=version,
                digest=digest,
                night_id=night_id,
                snapshot=snapshot,
                test_digest=test_digest,
                verdict=verdict,
                metrics=dict(metrics),
                run_id=run_id,
                registered_at=database_now(),
            )
        )
        return _version(connection.execute(select(versions).where(versions.c.digest == digest)).one())


def get(store: Store, task: str, version: int) -> Version:
    """A version by its number.

    Raises:
        NotFound: there is no such version.
    """
    found = _find(store, (versions.c.task == task) & (versions.c.version == version))
    if found is None:
        raise NotFound(f"task {task!r} has no version {version}", hint="`recognizer models` lists the versions")
    return found


def by_digest(store: Store, digest: str) -> Version | None:
    """The version that a package was registered as, if it was."""
    return _find(store, versions.c.digest == digest)


def list(store: Store, task: str | None = None, *, limit: int | None = None) -> builtins.list[Version]:
    """Versions by task, the newest of each first."""
    query = select(versions).order_by(versions.c.task, versions.c.version.desc()).limit(limit)
    if task is not None:
        query = query.where(versions.c.task == task)
    with store.read() as connection:
        return [_version(row) for row in connection.execute(query)]


def _find(store: Store, condition: ColumnElement[bool]) -> Version | None:
    with store.read() as connection:
        row = connection.execute(select(versions).where(condition)).one_or_none()
    return None if row is None else _version(row)


def _version(row: Row[Any]) -> Version:
    return Version(**row._mapping)
