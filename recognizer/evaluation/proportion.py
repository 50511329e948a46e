"""How sure a share of cases is.

Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"; recommended for small n by
Brown, Cai, DasGupta 2001, "Interval Estimation for a Binomial Proportion".
"""

from __future__ import annotations

import math

from scipy import special

from recognizer.errors import InputError
from recognizer.evaluation.paired import CONFIDENCE


def wilson_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of the share behind `hits` of n independent cases, each one-sided at `confidence`.

    Raises:
        InputError: no cases, or more hits than cases.
    """
    if n < 1 or not 0 <= hits <= n:
        raise InputError(f"{hits} of {n} cases are no share", hint="give at least one case")
    z = float(special.ndtri(confidence))
    share, weight = hits / n, z**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    low, high = middle - half, middle + half
    return (0.0 if hits == 0 else low), (1.0 if hits == n else high)  # exactly, whatever the rounding
