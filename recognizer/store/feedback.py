"""Feedback: what was true, told by clients later; one truth for each prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from recognizer.errors import Conflict
from recognizer.judge.evidence import ArmCounts, Batch
from recognizer.predictions import Prediction
from recognizer.store import evidence
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.leases import Lease, fence
from recognizer.store.schema import feedback

WORKER = "feedback"
"""Who a batch of evidence is from that counts feedback."""
SHOWN = 100
"""Characters of a truth that a message shows."""
MOST = 1000
"""Feedback that is looked at in one go."""


@dataclass(frozen=True)
class Feedback:
    """The truth about one answer, with what is needed of it when the log has forgotten it.

    Attributes:
        number: in the order in which it was given.
        truth: a label, or JSON of what the task calls a correction.
        misread: whether the answer was wrong.
        batch: number of the batch of evidence that counts it; None: none does.
        given_at: seconds since 1970.
    """

    number: int
    prediction: str
    task: str
    rollout: int | None
    arm: str
    digest: str
    truth: str
    misread: bool
    batch: int | None
    given_at: float


def give(store: Store, prediction: Prediction, truth: str, *, misread: bool | None = None) -> tuple[Feedback, bool]:
    """Note the truth about an answer; the same truth again changes nothing.

    Args:
        misread: whether the answer was wrong; by default that is so when its label is another.

    Returns:
        The feedback, and whether it is new.

    Raises:
        Conflict: another truth was told before.
    """
    with store.write() as connection:
        query = select(feedback).where(feedback.c.prediction == prediction.id)
        known = connection.execute(query).one_or_none()
        if known is not None:
            if known.truth != truth:
                raise Conflict(
                    f"the truth of this prediction was told as {_short(known.truth)} before, now it is {_short(truth)}",
                    where=f"prediction {prediction.id}",
                    hint="the first one stands; correct it in the data of the next night",
                )
            return _feedback(known), False
        connection.execute(
            insert(feedback).values(
                prediction=prediction.id,
                task=prediction.task,
                rollout=prediction.rollout,
                arm=prediction.arm,
                digest=prediction.digest,
                truth=truth,
                misread=prediction.label != truth if misread is None else misread,
                given_at=database_now(),
            )
        )
        return _feedback(connection.execute(query).one()), True


def late(store: Store, rollout: int, challenger: str, *, after: int = 0) -> list[Feedback]:
    """Feedback, given after the one numbered `after`, on answers of a challenger that became champion, in order.

    Of answers outside of any rollout, and of those in its own that its evidence does not count.
    """
    own = (feedback.c.rollout == rollout) & feedback.c.batch.is_(None)
    mine = (feedback.c.digest == challenger) & (feedback.c.rollout.is_(None) | own) & (feedback.c.number > after)
    with store.read() as connection:
        rows = connection.execute(select(feedback).where(mine).order_by(feedback.c.number).limit(MOST))
        return [_feedback(row) for row in rows]


def waits(store: Store, rollout: int) -> bool:
    """Whether there is feedback on a rollout's answers that no batch of its evidence counts yet."""
    with store.read() as connection:
        return connection.execute(_uncounted(rollout).limit(1)).first() is not None


def count(store: Store, rollout: int, challenger: str, lease: Lease | None) -> int:
    """Count the feedback on a rollout's answers in a batch of its evidence; returns how much there was.

    Args:
        challenger: digest of the new model.

    Raises:
        Conflict: the lease is lost.
    """
    with store.write() as connection:
        fence(connection, lease)
        rows = connection.execute(_uncounted(rollout).limit(MOST)).all()
        if not rows:
            return 0
        newest = select(func.coalesce(func.max(feedback.c.batch), 0)).where(feedback.c.rollout == rollout)
        sequence = int(connection.execute(newest).scalar_one()) + 1
        arms = {new: [row for row in rows if (row.digest == challenger) is new] for new in (False, True)}
        batch = Batch(WORKER, sequence, champion=_labelled(arms[False]), challenger=_labelled(arms[True]))
        evidence.append_within(connection, rollout, {(WORKER, sequence): batch})
        numbers = [row.number for row in rows]
        connection.execute(update(feedback).where(feedback.c.number.in_(numbers)).values(batch=sequence))
        return len(rows)


def _uncounted(rollout: int) -> Select[Any]:
    waiting = (feedback.c.rollout == rollout) & feedback.c.batch.is_(None)
    return select(feedback).where(waiting).order_by(feedback.c.number)


def _labelled(rows: Sequence[Row[Any]]) -> ArmCounts:
    return ArmCounts(labelled=len(rows), bad={"misread": sum(row.misread for row in rows)})


def _short(truth: str) -> str:
    return repr(truth if len(truth) <= SHOWN else truth[:SHOWN] + "…")


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(**row._mapping)
