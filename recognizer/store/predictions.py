"""The prediction log: every answer that clients got, found again by its id; kept for as long as policy says."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Row, cast, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recognizer.predictions import Prediction
from recognizer.store.database import Store
from recognizer.store.schema import feedback, predictions

BLOCK = 500
"""Names in one statement."""


def append(store: Store, rows: Sequence[Prediction]) -> None:
    """Add answers; those that are there already (a flush whose end nobody saw) stay as they are."""
    if not rows:
        return
    with store.write() as connection:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
        statement = insert(predictions).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(statement, [vars(row) for row in rows])


def find(store: Store, id: str) -> Prediction | None:
    """One answer; None when the log does not hold it."""
    with store.read() as connection:
        row = connection.execute(select(predictions).where(predictions.c.id == id)).one_or_none()
    return None if row is None else _prediction(row)


def list(
    store: Store,
    task: str,
    *,
    since: float = 0.0,
    with_inputs: bool = False,
    limit: int | None = None,
    newest: bool = False,
) -> builtins.list[Prediction]:
    """Answers of a task from `since` on (seconds since 1970), the oldest first.

    Args:
        with_inputs: only those whose input was kept.
        limit: at most so many: the first of them, or the last with `newest`.
    """
    query = select(predictions).where(predictions.c.task == task, predictions.c.at >= since)
    if with_inputs:
        query = query.where(predictions.c.inputs.is_not(None))
    with store.read() as connection:
        order = [column.desc() if newest else column.asc() for column in (predictions.c.at, predictions.c.id)]
        found = [_prediction(row) for row in connection.execute(query.order_by(*order).limit(limit))]
    return found[::-1] if newest else found


def count(store: Store, task: str, *, since: float = 0.0) -> int:
    """How many answers of a task there are from `since` on."""
    query = select(func.count()).where(predictions.c.task == task, predictions.c.at >= since)
    with store.read() as connection:
        return int(connection.execute(query).scalar_one())


def busiest(store: Store, task: str, *, since: float, seconds: int) -> int:
    """How many answers of a task the fullest of the spans of so many seconds holds, from `since` on.

    Spans follow each other without overlap, counted from 1970.
    """
    counted = func.count()
    span = cast(predictions.c.at, BigInteger) // seconds
    query = select(counted).where(predictions.c.task == task, predictions.c.at >= since)
    with store.read() as connection:
        return int(connection.execute(query.group_by(span).order_by(counted.desc()).limit(1)).scalar() or 0)


def expire(store: Store, before: float) -> builtins.list[str]:
    """Delete what was answered before a time (seconds since 1970); returns the files of its inputs, to delete next."""
    return _remove(store, predictions.c.at < before)


def forget_inputs(store: Store, names: Sequence[str]) -> None:
    """Note that these inputs are kept no longer; the answers stay."""
    with store.write() as connection:
        for start in range(0, len(names), BLOCK):
            some = predictions.c.inputs.in_(names[start : start + BLOCK])
            connection.execute(update(predictions).where(some).values(inputs=None))


def erase(store: Store, routing_key: str) -> tuple[int, builtins.list[str]]:
    """Delete every answer of a routing key, and the feedback on it.

    Returns:
        How many answers there were, and the files of their inputs, to delete next.
    """
    with store.write() as connection:
        mine = predictions.c.routing_key == routing_key
        found = connection.execute(select(predictions.c.id, predictions.c.inputs).where(mine)).all()
        ids = select(predictions.c.id).where(mine)
        connection.execute(delete(feedback).where(feedback.c.prediction.in_(ids)))
        connection.execute(delete(predictions).where(mine))
    return len(found), [row.inputs for row in found if row.inputs is not None]


def _remove(store: Store, condition: Any) -> builtins.list[str]:
    with store.write() as connection:
        files = connection.execute(select(predictions.c.inputs).where(condition, predictions.c.inputs.is_not(None)))
        found = [str(row.inputs) for row in files]
        connection.execute(delete(predictions).where(condition))
    return found


def _prediction(row: Row[Any]) -> Prediction:
    return Prediction(**row._mapping)
