"""Confidence sequences: ranges that hold at every moment at once, for people who watch a rollout. No verdict uses them.

Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970); Howard, Ramdas, McAuliffe,
Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021), the beta-binomial mixture.
"""

from __future__ import annotations

from math import exp, log, log1p

from scipy.optimize import brentq
from scipy.special import betaln

_TINY = 1e-12


def rate_bounds(bad: int, number: int, alpha: float = 0.05) -> tuple[float, float]:
    """Lowest and highest rate that the counts allow: the true one lies between them at all times with 1 − alpha.

    A uniform mixture of likelihood ratios against each rate p is a capital that bets against p; the range holds the
    rates whose capital is below 1/alpha. It supposes one rate; where the rate drifts, read it as a rough picture.
    """
    if number == 0:
        return 0.0, 1.0
    mixture = float(betaln(1 + bad, 1 + number - bad))

    def beyond(rate: float) -> float:
        likelihood = (bad * log(rate) if bad else 0.0) + ((number - bad) * log1p(-rate) if bad < number else 0.0)
        return mixture - likelihood + log(alpha)

    seen = min(max(bad / number, _TINY), 1 - _TINY)
    low = 0.0 if bad == 0 else float(brentq(beyond, _TINY / number, seen)) if beyond(_TINY / number) > 0 else 0.0
    high = 1.0 if bad == number else float(brentq(beyond, seen, 1 - _TINY)) if beyond(1 - _TINY) > 0 else 1.0
    return low, high


def difference_bounds(
    challenger: tuple[int, int], champion: tuple[int, int], alpha: float = 0.05
) -> tuple[float, float]:
    """Range of challenger's rate minus champion's, each as (bad, number): both ranges at alpha/2, put together."""
    low, high = rate_bounds(*challenger, alpha / 2)
    lowest, highest = rate_bounds(*champion, alpha / 2)
    return low - highest, high - lowest


def e_value(log_e: float) -> float:
    """The e-value of its logarithm; at most e^700, so that JSON can hold it."""
    return exp(min(log_e, 700.0))
