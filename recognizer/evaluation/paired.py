"""How much better or worse one model is than another on the same cases, with bounds.

The estimand is a ratio of expectations: the metric over cases, not over people. Someone with many cases counts for as
much as the cases are; if people with many cases are harder, that belongs to the difference.

The bounds are those of a **studentised bootstrap of whole clusters**: people are drawn, each with all their cases, and
each resample's difference is measured in its own standard errors. By itself that lets a candidate that is worse by the
margin through on up to 16 of 100 simulated nights, where people are few and lost cases rare: a night on which few
losses happen to be seen seems to be known exactly. `benchmarks/promotions.py` counts such nights. So a bound has to
hold by each of these too:

- standard errors are those of the jackknife: a cluster is larger than what it adds by its leverage;
- critical values are no smaller than Student's t for the effective number of clusters, which is less than their
  number if a few of them have most of the cases;
- for metrics that count, the standard error is also taken under the bound itself, by tilted weights, with one cluster
  added in which the models differ (`ADDED`); and for shares, by Tango's score at the effective number of cases.

Sources:
    Efron, Tibshirani 1993, "An Introduction to the Bootstrap", chapter 12 (bootstrap-t).
    Cameron, Gelbach, Miller 2008, "Bootstrap-based improvements for inference with clustered errors" (whole clusters
        are drawn, and the statistic is studentised).
    Bell, McCaffrey 2002, "Bias reduction in standard errors for linear regression with multi-stage samples" (jackknife
        of clusters, CR3).
    Kish 1965, "Survey Sampling" (effective number, design effect); Carter, Schnepel, Steigerwald 2017, "Asymptotic
        behavior of a t-test robust to cluster heterogeneity" (tests go by an effective number of clusters).
    Agresti, Min 2005, "Simple improved confidence intervals for comparing matched proportions" (cases added on which
        the two differ).
    Those of `recognizer.evaluation.rare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from recognizer.errors import InputError
from recognizer.evaluation.rare import EXACT, Tilted, critical_value, exact_worse, score, score_low
from recognizer.evaluation.summands import Floats, Ints, Summands, share

RESAMPLES = 10_000
CONFIDENCE = 0.95
"""Of each side by itself: in at most 5 of 100 repetitions the difference lies below `low`, in as many above `high`."""
FEWEST_CLUSTERS = 10
ADDED = 3
"""In a cluster added, the models differ on the root of a mean cluster's cases over this; on one at least.

Between one case and all of somebody's: the first is too sure where losses come in clusters that were not seen, the
second lets hardly any candidate through. Chosen on simulated nights, of 10 to 40 cases a person.
"""
AT_ONCE = 1_000_000
"""Counts held in memory: of resamples, times units that differ."""
_MOST_LEVERAGE = 0.9


@dataclass(frozen=True)
class PairedDifference:
    """One metric of two models on the same n cases.

    Attributes:
        value: the metric of the first model less that of the second.
        low, high: bounds of it, each one-sided at `CONFIDENCE`; they do not depend on the margin.
        p_worse: of "the true difference is at least -margin" against "it is lower".
        clusters: how many were drawn, as wholes; None where single cases were.
    """

    value: float
    low: float
    high: float
    p_worse: float
    n: int
    clusters: int | None


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

    clusters: (n,) who is seen in each case; a case of nobody known stands for itself. Fewer than `FEWEST_CLUSTERS`
    named ones say too little about how people differ: then single cases are drawn, and the bounds hold for other
    cases of the same people only.

    margin: 0 or more; `p_worse` is the largest of the p-values of all that the bounds have to hold by. For shares of up
    to `rare.EXACT` cases it is no smaller than the exact one for independent cases, and that one itself where single
    cases are drawn.

    Raises:
        InputError: not the same cases, fewer than two, not one cluster a case, or a margin below 0.
    """
    n = len(first.values)
    if n < 2 or len(second.values) != n or (clusters is not None and len(clusters) != n):
        raise InputError(f"{n} and {len(second.values)} cases cannot be paired", hint="judge both on the same cases")
    if not 0 <= margin < 1:
        raise InputError(f"a margin of {margin} is not from 0 up to 1", hint="say by how much the first may be worse")
    units = _Units(first, second, _wholes(clusters))
    ts = units.bootstrap(np.random.default_rng(seed), resamples)
    return PairedDifference(
        value=units.value,
        low=units.value - _reach(units, 1, ts),
        high=units.value + _reach(units, -1, ts),
        p_worse=_p_worse(units, ts, margin),
        n=n,
        clusters=None if clusters is None or units.number == n else units.number,
    )


def bound_of_equals(n: int, people: int | None) -> float:
    """The lower bound of two models that answer every one of n cases alike, evenly of so many people, by a share.

    Where this lies below a margin, the cases are too few to tell even that a model is as good as itself.
    """
    if n < 2:
        return -1.0
    alike = share(np.ones(n, dtype=np.bool_))
    return paired_difference(alike, alike, None if not people else [str(case % people) for case in range(n)]).low


class _Units:
    """What a bootstrap draws: cases or clusters of them. Units that add the same are counted instead of kept.

    Attributes:
        number: how many are drawn each time; effective: that many of equal size tell as much.
        many: (kinds,) how often each kind is there; cases: (kinds,) cases of one of it.
        value, error: the difference and its standard error.
        influence, inflated: (kinds,) how far each unit lies from the difference, and that enlarged by its leverage.
        added: cases of a cluster added on which the models differ; grain: how far one case moves the difference.
        differing: of a share, cases that only the first or only the second model has right, and all; independent: the
            same, divided by the design effect.
    """

    def __init__(self, first: Summands, second: Summands, wholes: Ints | None) -> None:
        n = len(first.values)
        both = np.concatenate([np.ones((n, 1)), first.values, second.values], axis=1)
        if wholes is not None:
            summed = np.zeros((int(wholes.max()) + 1, both.shape[1]))
            np.add.at(summed, wholes, both)
            both = summed
        rows, self._kind, many = np.unique(both, axis=0, return_inverse=True, return_counts=True)
        self.number, self.many, self.cases = len(both), many.astype(np.float64), rows[:, 0]
        self.effective = n**2 / float(self.many @ self.cases**2)
        self.grain = max(first.grain, second.grain)
        self.added = max(float(np.sqrt(n / self.number / ADDED)), 1.0)
        width = first.values.shape[1]
        self._metrics = (first.metric, second.metric)
        self._parts = (rows[:, 1 : 1 + width], rows[:, 1 + width :])
        values, errors, influence, leverage = self._statistic(self.many[None])
        self.value, self.error = float(values[0]), float(errors[0])
        self.influence = influence[0] * self.number
        self.inflated = self.influence / (1 - leverage[0])
        self.differing: tuple[int, int, int] | None = None
        self.independent = (0.0, 0.0, 0.0)
        if first.hits is not None and second.hits is not None:
            won, lost = int((first.hits & ~second.hits).sum()), int((second.hits & ~first.hits).sum())
            effect = self._design_effect(won + lost, n)
            self.differing = won, lost, n
            self.independent = won / effect, lost / effect, n / effect

    def tilted(self, sign: int) -> Tilted | None:
        """The units, to be tilted below the difference (sign 1) or above it (-1); None for a metric that measures."""
        if self.grain == 0:
            return None
        added = self.added * self.grain * self.number
        return Tilted(sign * self.influence, sign * self.inflated, self.many, added)

    def bootstrap(self, rng: np.random.Generator, resamples: int) -> Floats:
        """(resamples,) differences of resamples from the value, each in its own standard errors."""
        each = max(AT_ONCE // (len(self.many) if self._alike else self.number), 1)
        ts = []
        for start in range(0, resamples, each):
            size = min(each, resamples - start)
            values, errors, _, _ = self._statistic(self._drawn(rng, size))
            # models of which no case differs have no errors, and no resample differs either
            ts.append(np.divide(values - self.value, errors, out=np.zeros(size), where=errors > 0))
        return np.concatenate(ts)

    @property
    def _alike(self) -> bool:
        """Whether most units are of a few kinds: then to draw how many of a kind is faster than to draw each."""
        return self.number > 8 * len(self.many)

    def _drawn(self, rng: np.random.Generator, size: int) -> Floats:
        """How often each kind is drawn: (size, kinds)."""
        kinds = len(self.many)
        if self._alike:
            return rng.multinomial(self.number, self.many / self.number, size=size).astype(np.float64)
        each = self._kind[rng.integers(0, self.number, size=(size, self.number))] + np.arange(size)[:, None] * kinds
        return np.bincount(each.ravel(), minlength=size * kinds).reshape(size, kinds).astype(np.float64)

    def _statistic(self, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """For how often each kind is there (r, kinds): differences (r,), standard errors (r,), and influence and
        leverage of each kind (r, kinds).
        """
        (one, other) = (metric(weights @ part) for metric, part in zip(self._metrics, self._parts, strict=True))
        influence = one[1] @ self._parts[0].T - other[1] @ self._parts[1].T
        leverage = np.minimum(self.cases / (weights @ self.cases)[:, None], _MOST_LEVERAGE)
        variance = (weights * (influence / (1 - leverage)) ** 2).sum(axis=1) * (self.number - 1) / self.number
        # one case more on which they differ: without it, models that hardly differ would seem to be known exactly
        return one[0] - other[0], np.sqrt(variance + self.grain**2), influence, leverage

    def _design_effect(self, differing: int, n: int) -> float:
        """How many cases tell as much as one independent case; 1 where single cases are drawn.

        With one cluster more, in which `added` cases differ: where few do, how they cluster is hardly known.
        """
        if self.number == n:
            return 1.0
        seen = (self.error**2 - self.grain**2) * n**2
        return max((seen + self.added**2) / (differing - n * self.value**2 + self.added), 1.0)


def _reach(units: _Units, sign: int, ts: Floats) -> float:
    """How far the bound lies from the difference, below it (sign 1) or above it (sign -1): the farthest of all.

    ts: (resamples,) of the bootstrap.
    """
    critical = critical_value(CONFIDENCE, units.effective)
    far = [max(float(np.quantile(sign * ts, CONFIDENCE)), critical) * units.error]
    tilted = units.tilted(sign)
    if tilted is not None:
        far.append(tilted.drop(critical))
    if units.differing is not None:
        won, lost, n = units.independent
        won, lost = (won, lost) if sign > 0 else (lost, won)
        far.append((won - lost) / n - score_low(won, lost, n, critical))
    return max(far)


def _p_worse(units: _Units, ts: Floats, margin: float) -> float:
    """Of "the difference is at least -margin" against "it is lower": the largest of all, or the exact one."""
    found = []
    if units.differing is not None and units.differing[2] <= EXACT:
        found.append(exact_worse(*units.differing, margin))
        if units.number == units.differing[2]:
            return found[0]  # of few independent cases all is known: approximations would only take from it
    degrees = max(units.effective - 1, 1.0)
    if units.error == 0:
        return 1.0 if units.value >= -margin else 0.0
    t = (units.value + margin) / units.error
    found += [(1 + int((ts <= t).sum())) / (1 + len(ts)), float(special.stdtr(degrees, t))]
    tilted = units.tilted(-1)
    if tilted is not None and t < 0:
        found.append(float(special.stdtr(degrees, -tilted.errors(-units.value - margin))))
    if units.differing is not None:
        found.append(float(special.stdtr(degrees, score(*units.independent, -margin))))
    return max(found)


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
    named = len({name for name in clusters if name is not None})
    return wholes if named >= FEWEST_CLUSTERS else None
