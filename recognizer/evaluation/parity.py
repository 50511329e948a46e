"""Parity: whether the exported model answers as the trained one does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError

BATCHES = (1, 8, 32)
"""How many cases at once a model is asked: alone as in service, and in batches."""
AGAIN = "again"
"""Under this name stands the same input a second time."""


@dataclass(frozen=True)
class Parity:
    """Two models on the same n cases.

    Attributes:
        max_abs_diff: largest difference between two scores; None when a score is not finite.
        decisions_equal: share of cases with the same answer, in [0, 1]; a case that is not finite counts as different.
    """

    max_abs_diff: float | None
    decisions_equal: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_parity(reference: NDArray[Any], exported: NDArray[Any]) -> Parity:
    """Compare two (n, k) arrays of scores for the same cases.

    Raises:
        InputError: no cases, or shapes that differ.
    """
    if reference.shape != exported.shape or reference.ndim != 2 or len(reference) == 0:
        raise InputError(
            f"cannot compare scores of shape {reference.shape} with {exported.shape}",
            hint="run both models on the same cases, at least one, with the same class list",
        )
    left, right = reference.astype(np.float64), exported.astype(np.float64)
    finite = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    same = (left[finite].argmax(axis=1) == right[finite].argmax(axis=1)).sum()
    return Parity(
        max_abs_diff=float(np.abs(left - right).max()) if finite.all() else None,
        decisions_equal=int(same) / len(left),
        n=len(left),
    )
