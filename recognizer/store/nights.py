"""Nights: one row for each (task, night, inputs) that says how far it came, how it ended and why."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from recognizer.errors import Conflict, NotFound
from recognizer.night import Outcome, Step
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import nights
from recognizer.store.transitions import JUDGED, require_outcome, require_step


@dataclass(frozen=True)
class NightKey:
    """What makes a night one night: asked for again with the same key, it is gone on with.

    Attributes:
        night: local date on which its window started, YYYY-MM-DD.
        inputs: digest of data, code and parameters.
    """

    task: str
    night: str
    inputs: str

    def __str__(self) -> str:
        return f"night {self.night} of task {self.task!r}"


@dataclass(frozen=True)
class Night:
    """One night as the store shows it; times are seconds since 1970.

    Attributes:
        identity: digest of the training identity.
        parent: digest of the weights it started from.
        champion_version, champion_digest: who served when it was begun last.
        step: the step it is in, or ended in; None before the first.
        outcome: None while it has not ended.
        version, digest: what it made, as far as it came.
        report: path of the report, from the home.
        attempts: how often it was begun.
    """

    id: int
    task: str
    night: str
    inputs: str
    identity: str
    snapshot: str
    parent: str | None
    champion_version: int | None
    champion_digest: str | None
    seed: int
    step: Step | None
    outcome: Outcome | None
    reason: str | None
    version: int | None
    digest: str | None
    report: str | None
    mlflow_run: str | None
    metrics: Mapping[str, Any] | None
    attempts: int
    started_at: float
    updated_at: float
    ended_at: float | None

    @property
    def key(self) -> NightKey:
        return NightKey(self.task, self.night, self.inputs)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Facts(TypedDict, total=False):
    """What a step may note beside its name; what is not given stays as it was."""

    version: int | None
    digest: str | None
    report: str | None
    mlflow_run: str | None
    metrics: Mapping[str, Any] | None


def begin(
    store: Store,
    *,
    task: str,
    night: str,
    inputs: str,
    identity: str,
    snapshot: str,
    parent: str | None,
    champion_version: int | None,
    champion_digest: str | None,
    seed: int,
    lease: Lease | None = None,
) -> Night:
    """Begin a night, or begin it again: a further attempt when it is open or failed.

    A night that has had its last word is returned as it is. What it trains from is fixed by its first attempt; what it
    is compared with is the champion of now.

    Raises:
        Conflict: the lease is lost.
    """
    key = NightKey(task, night, inputs)
    with store.write() as connection:
        fence(connection, lease)
        found = _find(connection, key)
        if found is None:
            connection.execute(
                insert(nights).values(
                    task=task,
                    night=night,
                    inputs=inputs,
                    identity=identity,
                    snapshot=snapshot,
                    parent=parent,
                    champion_version=champion_version,
                    champion_digest=champion_digest,
                    seed=seed,
                    attempts=1,
                    started_at=database_now(),
                    updated_at=database_now(),
                )
            )
            return _require(connection, key)
        if found.outcome not in (None, Outcome.FAILED):
            return found
        require_outcome(found.outcome, None, str(key))
        again = {"attempts": found.attempts + 1, "step": None, "outcome": None, "reason": None, "ended_at": None}
        present = {"champion_version": champion_version, "champion_digest": champion_digest}
        return _change(connection, found, again | present)


def start_fresh(store: Store, key: NightKey, identity: str, *, lease: Lease | None = None) -> Night:
    """Let an open night train from nothing, because the weights it started from are lost.

    Raises:
        Conflict: the night has ended, or the lease is lost.
        NotFound: the night was never begun.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = _require(connection, key)
        if found.outcome is not None:
            raise Conflict(f"the night has ended as {found.outcome}", where=str(key), hint="begin it again first")
        return _change(connection, found, {"parent": None, "identity": identity})


def advance(store: Store, key: NightKey, step: str, *, lease: Lease | None = None, **facts: Unpack[Facts]) -> Night:
    """Note that a night enters a step, before the step is acted on.

    Raises:
        Conflict: the night has ended, the step lies behind it, or the lease is lost.
        NotFound: the night was never begun.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = _require(connection, key)
        if found.outcome is not None:
            raise Conflict(f"the night has ended as {found.outcome}", where=str(key), hint="begin it again first")
        require_step(found.step, Step(step), str(key))
        return _change(connection, found, {"step": Step(step).value, **facts})


def end(
    store: Store, key: NightKey, outcome: str, reason: str, *, lease: Lease | None = None, **facts: Unpack[Facts]
) -> Night:
    """Write a night's last word; the same word again changes nothing.

    Raises:
        Conflict: it has ended otherwise, or the lease is lost.
        NotFound: the night was never begun.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = _require(connection, key)
        require_outcome(found.outcome, Outcome(outcome), str(key))
        if found.outcome is not None:
            return found
        ended = {"outcome": Outcome(outcome).value, "reason": reason, "ended_at": database_now()}
        return _change(connection, found, {**ended, **facts})


def get(store: Store, task: str, night: str, inputs: str) -> Night | None:
    """One night; None when it was never begun."""
    with store.read() as connection:
        return _find(connection, NightKey(task, night, inputs))


def latest(store: Store, task: str) -> Night | None:
    """The night begun last."""
    return _newest(store, nights.c.task == task)


def last_judged(store: Store, task: str) -> Night | None:
    """The newest night that judged a model."""
    judged = nights.c.outcome.in_([outcome.value for outcome in JUDGED])
    return _newest(store, (nights.c.task == task) & judged)


def list(store: Store, task: str | None = None, *, limit: int | None = None) -> builtins.list[Night]:
    """Nights, the newest first; of all tasks when none is named."""
    query = select(nights).order_by(nights.c.id.desc()).limit(limit)
    if task is not None:
        query = query.where(nights.c.task == task)
    with store.read() as connection:
        return [_night(row) for row in connection.execute(query)]


def _newest(store: Store, condition: ColumnElement[bool]) -> Night | None:
    with store.read() as connection:
        row = connection.execute(select(nights).where(condition).order_by(nights.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _night(row)


def _find(connection: Connection, key: NightKey) -> Night | None:
    row = connection.execute(
        select(nights).where(nights.c.task == key.task, nights.c.night == key.night, nights.c.inputs == key.inputs)
    ).one_or_none()
    return None if row is None else _night(row)


def _require(connection: Connection, key: NightKey) -> Night:
    found = _find(connection, key)
    if found is None:
        raise NotFound(f"there is no {key} with these inputs", hint=f"recognizer nightly {key.task}")
    return found


def _change(connection: Connection, found: Night, values: Mapping[str, Any]) -> Night:
    """Change the row as it was read."""
    unchanged = nights.c.outcome.is_(None) if found.outcome is None else nights.c.outcome == found.outcome.value
    changed = connection.execute(
        update(nights)
        .where(nights.c.id == found.id, nights.c.attempts == found.attempts, unchanged)
        .values(**values, updated_at=database_now())
    ).rowcount
    if changed != 1:
        raise Conflict("another process changed this night", where=str(found.key), hint="run the night again")
    return _require(connection, found.key)


def _night(row: Row[Any]) -> Night:
    plain = Night(**row._mapping)
    return replace(
        plain,
        step=None if plain.step is None else Step(plain.step),
        outcome=None if plain.outcome is None else Outcome(plain.outcome),
    )
