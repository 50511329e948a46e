"""Evidence: what the workers counted for a rollout, in batches that the controller puts into one order.

A worker may send a batch twice, and it is kept once. Its ordinal is given once and never moves: whoever folds the
batches in their order comes to the same verdicts.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from recognizer.errors import Conflict
from recognizer.evidence import ArmCounts, Batch, PairCounts
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import evidence, rollouts


@dataclass(frozen=True)
class Numbered:
    """A batch in its place.

    Attributes:
        ordinal: from 1, without gaps.
        position: of the step that the rollout was in when it was numbered.
        at: when it arrived, in seconds since 1970.
    """

    ordinal: int
    position: int
    batch: Batch
    at: float


def append(store: Store, rollout: int, batches: Iterable[Batch]) -> int:
    """Keep batches of workers; returns how many of them are new.

    Raises:
        Conflict: there is no such rollout.
    """
    sent = {(batch.worker, batch.sequence): batch for batch in batches}
    if not sent:
        return 0
    with store.write() as connection:
        return append_within(connection, rollout, sent)


def append_within(connection: Connection, rollout: int, sent: Mapping[tuple[str, int], Batch]) -> int:
    """`append`, inside a write transaction; batches by worker and sequence, at least one."""
    workers = {worker for worker, _ in sent}
    first = min(sequence for _, sequence in sent)
    known = connection.execute(
        select(evidence.c.worker, evidence.c.sequence).where(
            evidence.c.rollout == rollout, evidence.c.worker.in_(workers), evidence.c.sequence >= first
        )
    )
    seen = {(row.worker, row.sequence) for row in known}
    fresh = {key: batch for key, batch in sent.items() if key not in seen}
    if fresh:
        rows = [
            {"rollout": rollout, "worker": worker, "sequence": sequence, "counts": _counts(batch)}
            for (worker, sequence), batch in fresh.items()
        ]
        connection.execute(insert(evidence).values(at=database_now()), rows)
    return len(fresh)


def waits(store: Store, rollout: int) -> bool:
    """Whether batches have arrived that have no ordinal yet."""
    unnumbered = select(evidence.c.worker).where(evidence.c.rollout == rollout, evidence.c.ordinal.is_(None)).limit(1)
    with store.read() as connection:
        return connection.execute(unnumbered).one_or_none() is not None


def number(store: Store, rollout: int, lease: Lease | None) -> int:
    """Give the batches that have arrived their ordinals, in (worker, sequence) order; returns the last ordinal of all.

    Raises:
        Conflict: the lease is lost.
    """
    with store.write() as connection:
        fence(connection, lease)
        return number_within(connection, rollout)


def number_within(connection: Connection, rollout: int) -> int:
    """`number`, inside a write transaction."""
    last = int(
        connection.execute(
            select(func.coalesce(func.max(evidence.c.ordinal), 0)).where(evidence.c.rollout == rollout)
        ).scalar_one()
    )
    position = select(rollouts.c.position).where(rollouts.c.id == rollout).scalar_subquery()
    waiting = connection.execute(
        select(evidence.c.worker, evidence.c.sequence)
        .where(evidence.c.rollout == rollout, evidence.c.ordinal.is_(None))
        .order_by(evidence.c.worker, evidence.c.sequence)
    ).all()
    for ordinal, row in enumerate(waiting, start=last + 1):
        changed = connection.execute(
            update(evidence)
            .where(
                evidence.c.rollout == rollout,
                evidence.c.worker == row.worker,
                evidence.c.sequence == row.sequence,
                evidence.c.ordinal.is_(None),
            )
            .values(ordinal=ordinal, position=position)
        ).rowcount
        if changed != 1:
            raise Conflict("somebody else numbered the evidence", where=f"rollout {rollout}", hint="read it again")
    return last + len(waiting)


def of(store: Store, rollout: int, *, after: int = 0) -> builtins.list[Numbered]:
    """Numbered batches whose ordinal is above `after`, in their order."""
    query = (
        select(evidence).where(evidence.c.rollout == rollout, evidence.c.ordinal > after).order_by(evidence.c.ordinal)
    )
    with store.read() as connection:
        return [Numbered(row.ordinal, row.position, _batch(row), row.at) for row in connection.execute(query)]


def _counts(batch: Batch) -> dict[str, Any]:
    """A batch without its name, for the column `counts`; signals without events are left out."""
    plain = asdict(batch)
    del plain["worker"], plain["sequence"]
    return plain


def _batch(row: Any) -> Batch:
    counts: Mapping[str, Any] = row.counts
    paired = {signal: PairCounts(**pairs) for signal, pairs in counts["paired"].items()}
    return Batch(
        row.worker,
        row.sequence,
        champion=ArmCounts(**counts["champion"]),
        challenger=ArmCounts(**counts["challenger"]),
        paired=paired,
        compared=counts["compared"],
        disagreed=counts["disagreed"],
        share=counts["share"],
    )
