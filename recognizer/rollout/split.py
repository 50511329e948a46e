"""What stands beside a task's champion while a rollout is on its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """What the other model of a split is there for."""

    LOAD = "load"
    """It is loaded by every worker and answers nothing yet."""
    SHADOW = "shadow"
    """It answers off the request path, for comparison."""
    CANARY = "canary"
    """The challenger answers its share."""
    BAKE = "bake"
    """The champion before answers a hold-back, so that the new champion is still compared."""


@dataclass(frozen=True)
class Split:
    """The other model of a task, and how much of the traffic it answers.

    Attributes:
        rollout: number of the rollout it belongs to.
        version, digest: the other model: the challenger, or in BAKE the champion before.
        share: of the requests, in [0, 1]; 0 in LOAD and SHADOW.
        salt: of the rollout; mixed into the hash of every routing key.
    """

    task: str
    rollout: int
    mode: Mode
    version: int
    digest: str
    share: float
    salt: str

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share lies in [0, 1], not at {self.share}")
        if self.share and self.mode in (Mode.LOAD, Mode.SHADOW):
            raise ValueError(f"mode {self.mode} answers nothing, its share is {self.share}")
