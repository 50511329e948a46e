"""Feedback: what was true, told by clients later; one truth for each prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select

from recognizer.errors import Conflict
from recognizer.predictions import Prediction
from recognizer.store.clock import database_now
from recognizer.store.database import Store
from recognizer.store.schema import feedback


@dataclass(frozen=True)
class Feedback:
    """The truth about one answer, with what is needed of it when the log has forgotten it.

    Attributes:
        number: in the order in which it was given.
        misread: whether the answer was wrong.
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
    given_at: float


def give(store: Store, prediction: Prediction, truth: str) -> tuple[Feedback, bool]:
    """Note the truth about an answer; the same truth again changes nothing.

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
                    f"the truth of this prediction was told as {known.truth!r} before, now it is {truth!r}",
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
                misread=prediction.label != truth,
                given_at=database_now(),
            )
        )
        return _feedback(connection.execute(query).one()), True


def after(store: Store, number: int, *, limit: int = 10_000) -> list[Feedback]:
    """Feedback given after the one of this number, in order."""
    query = select(feedback).where(feedback.c.number > number).order_by(feedback.c.number).limit(limit)
    with store.read() as connection:
        return [_feedback(row) for row in connection.execute(query)]


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(**row._mapping)
