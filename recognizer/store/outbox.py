"""Events, written in the transaction of the change they tell of and delivered at least once, in order.

A handler may be called again with an event it has handled (its process was killed before that was noted), so it has to
bring about a state, such as "the alias points at 7", rather than add to one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select, update

from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import outbox

Handler = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Event:
    """An event that waits.

    Attributes:
        attempts: how often it was tried.
        error: what the last try failed with.
    """

    id: int
    topic: str
    payload: Mapping[str, Any]
    created_at: float
    attempts: int
    error: str | None


def append(connection: Connection, topic: str, payload: Mapping[str, Any]) -> None:
    """Add an event to the transaction that makes the change."""
    connection.execute(insert(outbox).values(topic=topic, payload=dict(payload), created_at=database_now(), attempts=0))


def deliver(store: Store, handlers: Mapping[str, Handler]) -> int:
    """Hand every waiting event of the named topics to its handler; returns how many were delivered.

    An event whose handler raises stays, with the error, and holds back the later ones of its topic; other
    topics go on. No transaction is open while a handler runs.
    """
    delivered = 0
    for topic, handler in handlers.items():
        while (event := _next(store, topic)) is not None:
            try:
                handler(event.payload)
            except Exception as error:  # whatever a handler raises, the event has to survive it
                _note_failure(store, event, error)
                break
            delivered += _note_delivery(store, event)
    return delivered


def waiting(store: Store) -> list[Event]:
    """Events that were not delivered, the oldest first."""
    with store.read() as connection:
        rows = connection.execute(_WAITING)
        return [_event(row) for row in rows]


_WAITING = (
    select(outbox.c.id, outbox.c.topic, outbox.c.payload, outbox.c.created_at, outbox.c.attempts, outbox.c.error)
    .where(outbox.c.delivered_at.is_(None))
    .order_by(outbox.c.id)
)


def _next(store: Store, topic: str) -> Event | None:
    with store.read() as connection:
        row = connection.execute(_WAITING.where(outbox.c.topic == topic).limit(1)).one_or_none()
    return None if row is None else _event(row)


def _note_delivery(store: Store, event: Event) -> int:
    with store.write() as connection:
        # of two processes that delivered the same event, one counts it
        return connection.execute(
            update(outbox)
            .where(outbox.c.id == event.id, outbox.c.delivered_at.is_(None))
            .values(delivered_at=database_now(), attempts=outbox.c.attempts + 1, error=None)
        ).rowcount


def _note_failure(store: Store, event: Event, error: Exception) -> None:
    said = f"{type(error).__name__}: {error}"
    with store.write() as connection:
        connection.execute(
            update(outbox)
            .where(outbox.c.id == event.id, outbox.c.delivered_at.is_(None))
            .values(attempts=outbox.c.attempts + 1, error=said)
        )
    structlog.get_logger("recognizer.outbox").warning(
        "an event could not be delivered, it waits", topic=event.topic, number=event.id, error=said
    )


def _event(row: Any) -> Event:
    return Event(row.id, row.topic, row.payload, row.created_at, row.attempts, row.error)
