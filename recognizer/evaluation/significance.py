"""Tests beside the paired difference: whether two models differ at all, and what many tests together allow to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recognizer.errors import InputError


@dataclass(frozen=True)
class McNemar:
    """Cases that only one of two models has right, and the p-value of "each of them could as well be the other's"."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_hits: NDArray[np.bool_], second_hits: NDArray[np.bool_]) -> McNemar:
    """Exact two-sided test of equal shares of hits on the same independent cases; hits: (n,) each.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages";
    exact, as a sign test of the cases on which the two differ: Dixon, Mood 1946, "The statistical sign test".

    Raises:
        InputError: not the same cases.
    """
    first, second = np.asarray(first_hits, dtype=np.bool_), np.asarray(second_hits, dtype=np.bool_)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(
            f"hits of shape {first.shape} and {second.shape} cannot be paired", hint="judge both on the same cases"
        )
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    fewer, differing = min(only_first, only_second), only_first + only_second
    return McNemar(only_first, only_second, min(2 * float(stats.binom.cdf(fewer, differing, 0.5)), 1.0))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given: to act on those up to α is wrong with a chance of α at most.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure". It asks nothing of how the tests hang
    together, which slices of one test set do.

    Raises:
        InputError: one of them is no probability.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise InputError(f"p-values {given.tolist()} are not from 0 to 1")
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(steps, 1.0)
    return tuple(adjusted.tolist())
