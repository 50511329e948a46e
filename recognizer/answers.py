"""What models answer, as arrays by name, each with the cases along its first axis; what they mean, the task knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError

Answers = Mapping[str, NDArray[Any]]
"""Name → (n, …) of n cases."""


@dataclass(frozen=True)
class Agreement:
    """Two models, or one model twice, on the same n cases.

    Attributes:
        same: (n,) whether both answers come to the same; not where one of them is not finite.
        apart: (n,) how far they lie apart, in [0, 1]; NaN where one of them is not finite, or they cannot be compared.
    """

    same: NDArray[np.bool_]
    apart: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.same)

    @property
    def farthest(self) -> float | None:
        """The largest distance; None where one of them is not known."""
        return float(self.apart.max()) if len(self) and np.isfinite(self.apart).all() else None

    def farthest_but(self, ties: float) -> float | None:
        """The largest distance without the `left_out` cases that lie furthest apart; None as with `farthest`, or when
        no case is left.
        """
        rest = np.sort(self.apart)[: len(self) - left_out(ties, len(self))]
        return float(rest[-1]) if self.farthest is not None and len(rest) else None

    @property
    def median(self) -> float | None:
        """The median distance; None where one of them is not known."""
        return float(np.median(self.apart)) if self.farthest is not None else None


def left_out(ties: float, n: int) -> int:
    """How many of n cases the share `ties` of them is: none of nothing, else at least one."""
    return math.ceil(ties * n)


def chosen(answers: Answers, places: Sequence[int]) -> Answers:
    """The answers to some of the cases."""
    return {name: array[list(places)] for name, array in answers.items()}


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers to all cases, in the order of the parts.

    Raises:
        InputError: no parts, or parts of other arrays.
    """
    if not parts or any(set(part) != set(parts[0]) for part in parts):
        raise InputError(
            f"{len(parts)} parts of answers cannot be joined", hint="ask one model for all cases, at least one"
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def require_like(first: Answers, second: Answers) -> None:
    """Raise InputError unless both are answers of one form to as many cases, at least one."""
    shapes = [{name: array.shape for name, array in answers.items()} for answers in (first, second)]
    if shapes[0] != shapes[1] or not all(shape and shape[0] for shape in shapes[0].values()) or not shapes[0]:
        raise InputError(
            f"cannot compare answers of shape {shapes[0]} with {shapes[1]}",
            hint="ask both for the same cases, at least one, with the same class list",
        )
