"""How much better or worse one model is than another on the same cases, with an interval.

A metric is a function of sums over cases (how many there are, how many were right, …), so that a resample is a
weighting of the cases' summands, and the metric's spread in it follows from the gradient.

Sources: Efron, Tibshirani 1993, "An Introduction to the Bootstrap", chapter 12 (bootstrap-t); Cameron, Gelbach, Miller
2008, "Bootstrap-Based Improvements for Inference with Clustered Errors" (whole clusters are drawn, and the statistic is
studentised); Agresti, Min 2005, "Simple improved confidence intervals for comparing matched proportions" (pseudo-cases
on which the two differ).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recognizer.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Metric = Callable[[Floats], tuple[Floats, Floats]]
"""Sums over cases (r, f) to the metric (r,) and its gradient (r, f); r resamples, f summands."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
"""Of each side by itself: in at most 5 of 100 repetitions the difference lies below `low`, in as many above `high`."""
FEWEST_CLUSTERS = 10
AT_ONCE = 2_000_000
"""Draws held in memory."""


@dataclass(frozen=True)
class Summands:
    """What each case adds to a metric of one model.

    Attributes:
        values: (n, f), one row a case.
        metric: what their sums come to.
        grain: how far one case of n can move the metric, for a metric that counts; 0 for one that measures.
    """

    values: Floats
    metric: Metric
    grain: float


@dataclass(frozen=True)
class PairedDifference:
    """One metric of two models on the same n cases.

    Attributes:
        value: the metric of the first model less that of the second.
        low, high: bounds of it, each one-sided at `CONFIDENCE`.
        clusters: how many were drawn, as wholes; None where single cases were.
    """

    value: float
    low: float
    high: float
    p_worse: float
    n: int
    clusters: int | None


RATIOS = {"precision": (1.0, 1.0, 0.0), "recall": (1.0, 0.0, 1.0), "f1": (2.0, 1.0, 1.0)}


@dataclass(frozen=True)
class McNemar:
    only_first: int
    only_second: int
    p_value: float


def mcnemar(first, second):
    a, b = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(a, b, float(stats.binomtest(a, a + b).pvalue) if a + b else 1.0)


def mean(values: NDArray[np.float64], *, grain: float = 0.0) -> Summands:
    """The mean of one number a case; values: (n,)."""

    def metric(sums: Floats) -> tuple[Floats, Floats]:
        total, n = sums[:, 0], sums[:, 1]
        return total / n, np.stack([1 / n, -total / n**2], axis=1)

    return Summands(np.stack([values, np.ones(len(values))], axis=1).astype(np.float64), metric, grain)


def share(hits: NDArray[np.bool_]) -> Summands:
    """The share of cases that are hits; hits: (n,)."""
    return mean(hits.astype(np.float64), grain=1 / len(hits))


def mean_over_classes(kind: str, averaged: str, labels: Ints, answers: Ints, classes: int) -> Summands:
    """`macro` or `weighted` mean of `precision`, `recall` or `f1`, as `evaluate_classification` has them.

    labels, answers: (n,) indices of classes. Summands of a case: right, answered and labelled, by class.
    """
    n = len(labels)
    values = np.zeros((n, 3, classes))
    rows = np.arange(n)
    values[rows, 0, labels] = labels == answers
    values[rows, 1, answers] = 1
    values[rows, 2, labels] = 1
    of = {"precision": (1.0, 1.0, 0.0), "recall": (1.0, 0.0, 1.0), "f1": (2.0, 1.0, 1.0)}[kind]

    def metric(sums: Floats) -> tuple[Floats, Floats]:
        right, answered, labelled = np.moveaxis(sums.reshape(len(sums), 3, classes), 1, 0)
        below = of[1] * answered + of[2] * labelled
        safe = np.where(below > 0, below, 1.0)
        ratios = np.where(below > 0, of[0] * right / safe, 0.0)
        present = labelled > 0  # a class without cases says nothing about the model
        total = labelled.sum(axis=1, keepdims=True)
        weights = labelled / total if averaged == "weighted" else present / present.sum(axis=1, keepdims=True)
        value = (weights * ratios).sum(axis=1)
        slope = weights * np.where(below > 0, 1 / safe, 0.0)
        towards = [slope * of[0], -slope * of[1] * ratios, -slope * of[2] * ratios]
        if averaged == "weighted":
            towards[2] = towards[2] + (ratios - value[:, None]) / total
        return value, np.concatenate(towards, axis=1)

    return Summands(values.reshape(n, 3 * classes), metric, 1 / n)


def paired_difference(
    first: Summands,
    second: Summands,
    clusters: Sequence[str | None] | None = None,
    *,
    margin: float = 0.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """The difference of a metric between two models on the same cases, bounded by a studentised bootstrap.

    clusters: (n,) who is seen in each case; a case of nobody known stands for itself. Fewer than `FEWEST_CLUSTERS` of
    them say too little about how people differ: then single cases are drawn, and the bounds hold for other cases of the
    same people only.

    Raises:
        InputError: not the same cases, fewer than two, or not one cluster a case.
    """
    n = len(first.values)
    if n < 2 or len(second.values) != n or (clusters is not None and len(clusters) != n):
        raise InputError(f"{n} and {len(second.values)} cases cannot be paired", hint="judge both on the same cases")
    drawn = _Drawn(first, second, _wholes(clusters))
    value, spread = drawn.statistic(np.ones((1, drawn.kinds)) * drawn.many)
    rng = np.random.default_rng(seed)
    each = max(AT_ONCE // drawn.units, 1)
    ts = []
    for start in range(0, resamples, each):
        moved, wide = drawn.statistic(drawn.resample(rng, min(each, resamples - start)))
        ts.append((moved - value) / wide)
    t = np.concatenate(ts)
    # few units: the drawn ones alone say too little about the tails
    least = float(stats.t.ppf(CONFIDENCE, drawn.units - 1))
    above, below = np.quantile(t, [CONFIDENCE, 1 - CONFIDENCE])
    return PairedDifference(
        value=float(value[0]),
        low=float(value[0] - max(above, least) * spread[0]),
        high=float(value[0] - min(below, -least) * spread[0]),
        p_worse=float((t <= (value[0] + margin) / spread[0]).mean()),
        n=n,
        clusters=None if clusters is None or drawn.units == n else drawn.units,
    )


class _Drawn:
    """The units of a bootstrap; units that add the same are counted instead of kept.

    Attributes:
        units: how many are drawn each time; kinds: how many of them differ; many: (kinds,) how often each is there.
    """

    def __init__(self, first: Summands, second: Summands, wholes: Ints | None) -> None:
        both = np.concatenate([first.values, second.values], axis=1)
        if wholes is not None:
            summed = np.zeros((int(wholes.max()) + 1, both.shape[1]))
            np.add.at(summed, wholes, both)
            both = summed
        self.units = len(both)
        rows, self._kind, self.many = np.unique(both, axis=0, return_inverse=True, return_counts=True)
        self.kinds = len(rows)
        width = first.values.shape[1]
        self._metrics = (first.metric, second.metric)
        self._parts = (rows[:, :width], rows[:, width:])
        self._grain = max(first.grain, second.grain)

    def resample(self, rng: np.random.Generator, size: int) -> Floats:
        """How often each kind is drawn: (size, kinds)."""
        drawn = self._kind[rng.integers(0, self.units, size=(size, self.units), dtype=np.int32)]
        drawn = drawn + np.arange(size)[:, None] * self.kinds
        return np.bincount(drawn.ravel(), minlength=size * self.kinds).reshape(size, self.kinds).astype(np.float64)

    def statistic(self, weights: Floats) -> tuple[Floats, Floats]:
        """The difference (r,) and its standard error (r,), for how often each kind is there (r, kinds)."""
        (one, other) = (metric(weights @ part) for metric, part in zip(self._metrics, self._parts, strict=True))
        influence = one[1] @ self._parts[0].T - other[1] @ self._parts[1].T
        variance = (weights * influence**2).sum(axis=1) * self.units / (self.units - 1)
        # one case more on which they differ: without it, models that hardly differ would seem to be known exactly
        return one[0] - other[0], np.sqrt(variance + self._grain**2)


def _wholes(clusters: Sequence[str | None] | None) -> Ints | None:
    """(n,) number of each case's cluster; None when cases have to stand for themselves."""
    if clusters is None:
        return None
    numbers: dict[object, int] = {}
    wholes = np.array(
        [
            numbers.setdefault(("case", case) if name is None else name, len(numbers))
            for case, name in enumerate(clusters)
        ]
    )
    return wholes if len(numbers) >= FEWEST_CLUSTERS else None
