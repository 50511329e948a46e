"""Candidate beside champion, metric by metric."""

from __future__ import annotations

from dataclasses import dataclass

from recognizer.evaluation.record import Evaluation

LOWER_IS_BETTER = frozenset({"calibration_error", "log_loss"})
NEITHER_IS_BETTER = frozenset({"mean_confidence"})


@dataclass(frozen=True)
class Difference:
    """One metric of two models; `change` = candidate - champion, `better` is None where nobody can say."""

    metric: str
    candidate: float
    champion: float | None
    change: float | None
    better: bool | None


def compare(candidate: Evaluation, champion: Evaluation | None) -> tuple[Difference, ...]:
    """Every metric of the candidate, with the champion's where there is one."""
    rows = []
    for metric, value in candidate.metrics.items():
        other = champion.metrics.get(metric) if champion is not None else None
        change = None if other is None else value - other
        better = None
        if change and metric not in NEITHER_IS_BETTER:
            better = (change < 0) == (metric in LOWER_IS_BETTER)
        rows.append(Difference(metric, value, other, change, better))
    return tuple(rows)


def same_cases(candidate: Evaluation, champion: Evaluation) -> bool:
    """Whether both were judged on what looks like one set: as many cases of every class and of every subject."""
    return _sizes(candidate) == _sizes(champion)


def _sizes(evaluation: Evaluation) -> object:
    return (
        evaluation.n,
        {name: measure.n for name, measure in evaluation.per_class.items()},
        {kind: {name: part.n for name, part in slices.items()} for kind, slices in evaluation.slices.items()},
    )
