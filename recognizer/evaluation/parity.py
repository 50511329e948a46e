"""Parity: whether the exported model answers as the trained one does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recognizer.answers import Agreement

BATCHES = (1, 8, 32)
"""How many cases at once a model is asked: alone as in service, and in batches."""
AGAIN = "again"
"""Under this name stands the same input a second time."""


@dataclass(frozen=True)
class Parity:
    """Two models on the same n cases.

    Attributes:
        max_abs_diff: largest distance of two answers (of a classifier: of two scores), without those that ties may
            have set apart; None when one is not finite.
        decisions_equal: share of cases with the same answer, in [0, 1]; a case that is not finite counts as different.
        ties_apart: the largest distance of those that may be ties; None where no case may be one.
    """

    max_abs_diff: float | None
    decisions_equal: float
    n: int
    ties_apart: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_parity(agreement: Agreement, ties: float = 0.0) -> Parity:
    """Of the trained model's answers and the exported one's, or of the same model's asked twice.

    Args:
        ties: share of the cases, rounded up, that do not count for the largest distance: where a task chooses between
            candidates and two are equally sure, the last digit decides, and the answers are far apart.
    """
    return Parity(
        agreement.farthest_but(ties),
        int(agreement.same.sum()) / len(agreement),
        len(agreement),
        agreement.farthest if ties else None,
    )
