"""What can be said of two models that hardly differ: bounds whose standard error is that at the bound itself.

Where the candidate happens to have lost few cases, the observed spread is small as well, and a bound made of the two is
wrong too often on just the nights on which it lets a worse model through. So each function here asks of a supposed
difference what the spread *would be if it were true*, and compares what was seen with that.

Sources:
    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design" (score test: the variance under the supposed difference).
    Rao, Scott 1992, "A simple method for the analysis of clustered binary data"; Korn, Graubard 1998, "Confidence
        intervals for proportions with small expected number of positive counts estimated from survey data" (counts and
        n are divided by the design effect, and Student's t stands for the normal).
    Efron 1981, "Nonparametric standard errors and confidence intervals"; DiCiccio, Romano 1990, "Nonparametric
        confidence limits by resampling methods and least favorable families" (weights tilted until the mean is the
        supposed one); Chen, Variyath, Abraham 2008, "Adjusted empirical likelihood" (units added, so that it can be).
    Hsueh, Liu, Chen 2001, "Unconditional exact tests for equivalence or noninferiority for paired binary endpoints".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

EXACT = 100
"""Up to so many cases all outcomes are counted instead of approximated."""
_NUISANCE = 64  # supposed shares of won cases tried for the exact probability
_STEEPEST = 40.0  # a unit that counts exp(-40) as much as another is as good as gone


def score(won: ArrayLike, lost: ArrayLike, n: float, supposed: float) -> Floats:
    """Tango's statistic: the difference of two paired shares less the supposed one, in standard errors under that.

    won, lost: (...) cases that only the first or only the second model has right, of n; all may be broken numbers.
    """
    won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
    slope = -won - lost + (2 * n - won + lost) * supposed
    squared = supposed * (1 - supposed)
    lost_then = (np.sqrt(np.maximum(slope**2 + 8 * n * lost * squared, 0.0)) - slope) / (4 * n)
    variance = np.maximum(n * (2 * lost_then + squared), 1e-12)  # of no difference, where none is supposed: 0 / 0
    return np.asarray((won - lost - n * supposed) / np.sqrt(variance))


def score_low(won: float, lost: float, n: float, critical: float) -> float:
    """The smallest difference that `score` does not contradict by more than `critical` standard errors."""
    value = (won - lost) / n
    lowest = -1 + 1e-9

    def beyond(supposed: float) -> float:
        return float(score(won, lost, n, supposed)) - critical

    if value <= lowest or beyond(lowest) <= 0:
        return -1.0
    return float(optimize.brentq(beyond, lowest, value))


def exact_worse(won: int, lost: int, n: int, margin: float) -> float:
    """Chance of an outcome that speaks as much for a loss above the margin, the loss being the margin; n ≤ `EXACT`.

    The largest chance over all shares of won cases, among independent cases; outcomes are ordered by `score`.
    """
    wins, losses = (part.ravel() for part in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    possible = wins + losses <= n
    wins, losses = wins[possible], losses[possible]
    as_low = score(wins, losses, n, -margin) <= score(won, lost, n, -margin) + 1e-9
    wins, losses = wins[as_low], losses[as_low]
    ways = special.gammaln(n + 1) - special.gammaln(np.stack([wins, losses, n - wins - losses]) + 1).sum(axis=0)
    # evenly in the square root: where few cases are won, the chance changes fastest
    shares = (np.linspace(0, 1, _NUISANCE) ** 2 * (1 - margin) / 2)[:, None]
    logs = ways + special.xlogy(wins, shares) + special.xlogy(losses, shares + margin)
    logs = logs + special.xlogy(n - wins - losses, np.maximum(1 - 2 * shares - margin, 0.0))
    return float(min(np.exp(logs).sum(axis=1).max(), 1.0))


class Tilted:
    """Units weighted so that the mean of their influence is a supposed one, as evenly as possible.

    influence: (k,) how far each unit lies from the value; inflated: (k,) the same, larger by each unit's leverage;
    many: (k,) how often each is there. added: influence of two units added, one on either side.
    """

    def __init__(self, influence: Floats, inflated: Floats, many: Floats, added: float) -> None:
        self._influence = np.concatenate([influence, [-added, added]])
        self._inflated = np.concatenate([inflated, [-added, added]])
        self._many = np.concatenate([many, [1.0, 1.0]])
        self._units = float(many.sum())
        self._scale = float(np.abs(self._influence).max())

    def at(self, tilt: float) -> tuple[float, float]:
        """The mean at a tilt (negative: downwards), and its standard error."""
        exponents = tilt * self._influence / self._scale
        weights = self._many * np.exp(exponents - exponents.max())
        weights = weights / weights.sum()
        mean = float(weights @ self._influence)
        spread = float(weights @ (self._inflated - weights @ self._inflated) ** 2)
        return mean, float(np.sqrt(spread / (self._units - 1)))

    def drop(self, critical: float) -> float:
        """How far down the mean can be supposed before what was seen lies `critical` standard errors above it."""

        def beyond(tilt: float) -> float:
            mean, error = self.at(-tilt)
            return -mean - critical * error

        if beyond(_STEEPEST) <= 0:
            return -self.at(-_STEEPEST)[0]
        return -self.at(-float(optimize.brentq(beyond, 0.0, _STEEPEST)))[0]

    def errors(self, drop: float) -> float:
        """How many standard errors a mean `drop` > 0 below lies below what was seen; infinite where none lies there."""

        def beyond(tilt: float) -> float:
            return -self.at(-tilt)[0] - drop

        if beyond(_STEEPEST) <= 0:
            return float("inf")
        tilt = float(optimize.brentq(beyond, 0.0, _STEEPEST)) if beyond(0.0) < 0 else 0.0
        return drop / self.at(-tilt)[1]


def critical_value(confidence: float, units: float) -> float:
    """Of Student's t, for an effective number of units."""
    return float(special.stdtrit(max(units - 1, 1.0), confidence))
