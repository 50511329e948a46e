"""Tallies: what the judge made of a rollout's evidence so far, so that a new leader need not fold all of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import tallies


def keep(store: Store, rollout: int, ordinal: int, content: Mapping[str, Any], lease: Lease | None) -> None:
    """Keep a tally in place of the one before, unless that has come further.

    Args:
        ordinal: of the newest batch in it.

    Raises:
        Conflict: the lease is lost, or there is no such rollout.
    """
    values = {"ordinal": ordinal, "content": dict(content)}
    with store.write() as connection:
        fence(connection, lease)
        if connection.execute(select(tallies.c.rollout).where(tallies.c.rollout == rollout)).one_or_none() is None:
            connection.execute(insert(tallies).values(rollout=rollout, **values))
        else:
            older = (tallies.c.rollout == rollout) & (tallies.c.ordinal < ordinal)
            connection.execute(update(tallies).where(older).values(values))


def find(store: Store, rollout: int) -> Mapping[str, Any] | None:
    """The tally of a rollout; None when none was kept."""
    with store.read() as connection:
        content: Mapping[str, Any] | None = connection.execute(
            select(tallies.c.content).where(tallies.c.rollout == rollout)
        ).scalar()
    return content
