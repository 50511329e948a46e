"""Is a model as often right as it says? Reliability bins and the expected calibration error.

Sources: Naeini, Cooper, Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning";
Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks" (15 bins of equal width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recognizer.evaluation.record import ReliabilityBin

BINS = 15


def reliability_bins(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over (0, 1], the lower edge excluded, the upper included.

    confidence: (n,) in [0, 1], the score of the answer; right: (n,) whether the answer was right.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    # side="left" on the upper edges puts a confidence that equals an edge into the bin below it
    index = np.clip(np.searchsorted(edges[1:], confidence, side="left"), 0, bins - 1)
    parts = []
    for number in range(bins):
        inside = index == number
        n = int(inside.sum())
        parts.append(
            ReliabilityBin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                n=n,
                confidence=math.fsum(confidence[inside].tolist()) / n if n else None,
                accuracy=int(right[inside].sum()) / n if n else None,
            )
        )
    return tuple(parts)


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: mean over cases of |accuracy - confidence| of their bin; 0 is best."""
    total = sum(part.n for part in bins)
    gaps = (
        part.n * abs(part.accuracy - part.confidence)
        for part in bins
        if part.accuracy is not None and part.confidence is not None
    )
    return math.fsum(gaps) / total
