"""The checks of everything that was judged, with their numbers, as `recognizer.checks.Check.as_dict` gives them.

Their subject is the digest of a package, or of the training identity when the night ended before there was one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import checks

FIELDS = tuple(column.name for column in checks.columns if column.name not in ("subject", "position"))


def record(store: Store, subject: str, rows: Sequence[Mapping[str, Any]], *, lease: Lease | None = None) -> None:
    """Keep the checks of a subject in place of those it had: judging again replaces the judgement as a whole.

    Raises:
        Conflict: the lease is lost.
    """
    numbered = [
        {"subject": subject, "position": position, **{name: row[name] for name in FIELDS}}
        for position, row in enumerate(rows)
    ]
    with store.write() as connection:
        fence(connection, lease)
        connection.execute(delete(checks).where(checks.c.subject == subject))
        if numbered:
            connection.execute(insert(checks), numbered)


def of(store: Store, subject: str) -> list[dict[str, Any]]:
    """The checks of a subject in the order they were recorded; empty when it was not judged."""
    query = select(*(checks.c[name] for name in FIELDS)).where(checks.c.subject == subject).order_by(checks.c.position)
    with store.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]
