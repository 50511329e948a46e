"""The prediction log, decided purely: names of predictions, what is kept of their inputs, and for how long.

A prediction's id begins with its time, so that an id whose row is gone can be told from one that never was.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_TIME_DIGITS = 12
_ID_DIGITS = 32
_SAMPLE_DIGITS = 8


@dataclass(frozen=True)
class Prediction:
    """One answer as the log keeps it.

    Attributes:
        id: what the client was told, 32 hex digits.
        at: when it was answered, in seconds since 1970 by the worker's clock.
        routing_key: the client's own, None when it gave none.
        arm: which side of a rollout answered.
        rollout: number of the rollout it is evidence for; None when there is none, or the arm was forced.
        label: the answer; confidence: its probability.
        recovered: the challenger failed, and the champion answered in its place.
        inputs: file that holds the input, below the home's `inputs/`; None when it was not kept.
        answer: what feedback is held against, where that is more than the label; as JSON can carry it.
    """

    id: str
    task: str
    at: float
    routing_key: str | None
    arm: str
    rollout: int | None
    version: int
    digest: str
    label: str
    confidence: float
    recovered: bool = False
    inputs: str | None = None
    answer: Any = None


@dataclass(frozen=True)
class Retention:
    """How much of the log is kept.

    Attributes:
        days: rows and inputs older than this go.
        input_share: share of the champion's inputs that is kept.
        unsure_below: inputs answered with less confidence than this are always kept, as are the challenger's.
        input_bytes: of all inputs together; the oldest go first. With 0 none is written in the first place.
    """

    days: float = 30.0
    input_share: float = 0.01
    unsure_below: float = 0.6
    input_bytes: int = 2 * 1024**3

    @property
    def seconds(self) -> float:
        return self.days * 86400.0


class Standing(StrEnum):
    """What can be said of an id whose row is not in the log."""

    EXPIRED = "expired"
    """It may have been a prediction; its row would have been deleted by now."""
    FRESH = "fresh"
    """It is so young that its row may still be on the way."""
    UNKNOWN = "unknown"
    """No prediction has this id."""


def new_id(now: float) -> str:
    """A new prediction id: 12 hex digits of milliseconds since 1970, then 20 random ones."""
    return f"{int(now * 1000):0{_TIME_DIGITS}x}{secrets.token_hex((_ID_DIGITS - _TIME_DIGITS) // 2)}"


def time_of(id: str) -> float | None:
    """When the prediction of this id was answered, in seconds since 1970; None when it is no id of ours."""
    if len(id) != _ID_DIGITS or not set(id) <= set("0123456789abcdef"):
        return None
    return int(id[:_TIME_DIGITS], 16) / 1000


def standing(id: str, now: float, retention: Retention, *, delay: float) -> Standing:
    """What to say of an id that the log does not know.

    Args:
        delay: seconds after an answer in which its row reaches the log.
    """
    at = time_of(id)
    if at is None or at > now + delay:
        return Standing.UNKNOWN
    if at < now - retention.seconds:
        return Standing.EXPIRED
    return Standing.FRESH if at > now - delay else Standing.UNKNOWN


def keeps_input(id: str, arm: str, confidence: float, retention: Retention) -> bool:
    """Whether the input of a prediction is kept; the sample is drawn by the id, so that it is the same everywhere."""
    if not retention.input_bytes:
        return False
    if arm != "champion" or confidence < retention.unsure_below:
        return True
    return bool(int(id[-_SAMPLE_DIGITS:], 16) < retention.input_share * 16**_SAMPLE_DIGITS)


def surplus(sizes: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """Names to delete so that at most `limit` bytes stay.

    Args:
        sizes: (name, bytes), the oldest first.
    """
    total = sum(size for _, size in sizes)
    gone: list[str] = []
    for name, size in sizes:
        if total <= limit:
            break
        gone.append(name)
        total -= size
    return gone
