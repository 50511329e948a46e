"""Metrics as functions of sums over cases, so that a resample is a weighting of the cases' summands.

How many cases there are, how many were right, how many of a class were answered: from such sums follow the metric and
its gradient, and from the gradient how far each case moves the metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Metric = Callable[[Floats], tuple[Floats, Floats]]
"""Sums over cases (r, f) to the metric (r,) and its gradient (r, f); r resamples, f summands."""

RATIOS = {"precision": (1.0, 1.0, 0.0), "recall": (1.0, 0.0, 1.0), "f1": (2.0, 1.0, 1.0)}
"""Kind → factors: of how many are right, over how many are answered and how many are labelled."""


@dataclass(frozen=True)
class Summands:
    """What each case adds to a metric of one model.

    Attributes:
        values: (n, f), one row a case.
        metric: what their sums come to.
        grain: how far one case of n moves the metric on average, for a metric that counts; 0 for one that measures.
        hits: (n,) for the share of hits, about which more is known than about other metrics; None for those.
    """

    values: Floats
    metric: Metric
    grain: float
    hits: NDArray[np.bool_] | None = None


def mean(values: NDArray[np.float64], *, grain: float = 0.0) -> Summands:
    """The mean of one number a case; values: (n,)."""

    def metric(sums: Floats) -> tuple[Floats, Floats]:
        total, n = sums[:, 0], sums[:, 1]
        return total / n, np.stack([1 / n, -total / n**2], axis=1)

    return Summands(np.stack([values, np.ones(len(values))], axis=1).astype(np.float64), metric, grain)


def share(hits: NDArray[np.bool_]) -> Summands:
    """The share of cases that are hits; hits: (n,)."""
    hits = np.asarray(hits, dtype=np.bool_)
    counted = mean(hits.astype(np.float64), grain=1 / max(len(hits), 1))
    return Summands(counted.values, counted.metric, counted.grain, hits)


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
    of = RATIOS[kind]

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

    # one case of a class of c moves a macro mean by 1 / (classes x c): over all cases that is 1 / n on average
    return Summands(values.reshape(n, 3 * classes), metric, 1 / max(n, 1))
