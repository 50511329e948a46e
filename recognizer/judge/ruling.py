"""What the judge may say about a challenger."""

from __future__ import annotations

from enum import StrEnum


class Ruling(StrEnum):
    """What a verdict in service says of a challenger against the champion, in the order in which the judge looks."""

    WORSE = "WORSE"
    """It is proven worse than tolerated in one signal, or broke an absolute guard: roll back."""
    DISAGREES = "DISAGREES"
    """It answers otherwise than the champion more often than declared, which better models do too: pause."""
    GOOD = "GOOD"
    """It is proven not to be worse by the margin, on enough answers: the rollout may go on."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """The step's time is over, and the evidence says neither."""
    WAIT = "WAIT"
    """There is not enough evidence yet."""
