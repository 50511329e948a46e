"""Measures of a classifier, from its scores and the true labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError, LabelError
from recognizer.evaluation.calibration import calibration_error, reliability_bins
from recognizer.evaluation.record import ClassMeasure, Evaluation, SliceMeasure
from recognizer.evaluation.summands import RATIOS, Summands, mean, mean_over_classes, share

# Scores are float32: a probability below its resolution is as good as 0, and log(0) would be infinite.
SMALLEST = float(np.finfo(np.float32).eps)
SUM_TOLERANCE = 1e-3

_MEANS = {f"{averaged}_{kind}": (kind, averaged) for averaged in ("macro", "weighted") for kind in RATIOS}
PAIRED = ("accuracy", *_MEANS, "mean_confidence", "log_loss")
"""Metrics that are a smooth function of sums over cases, so that two models can be compared case by case."""


def evaluate_classification(
    scores: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str],
    subjects: Sequence[str | None] | None = None,
    slices: Mapping[str, Sequence[str | None]] | None = None,
) -> Evaluation:
    """Judge n answers over k classes.

    scores: (n, k) probabilities, rows sum to 1; the answer is the first highest. labels: (n,) indices into `classes`.
    subjects: (n,) who is seen; cases whose subject nobody knows are in no slice. slices: kind → (n,) further groups.

    Metrics: `accuracy`; `macro_` and `weighted_` `precision`, `recall`, `f1`; `worst_class_recall`;
    `mean_confidence` (score of the answer); `calibration_error` (15 bins); `log_loss` (natural log).
    A class without cases among the labels says nothing about the model: it is left out of the macro means and
    of the worst recall, and weighs 0 in the weighted means. A class that has cases and is never answered has an
    undefined precision (None in `per_class`) and counts as 0 in the means, as scikit-learn's `zero_division=0` does.

    Raises:
        InputError: no cases, shapes that do not agree, scores that are no probabilities.
        LabelError: a label beyond the class list.
    """
    groups = {**({} if subjects is None else {"subject": subjects}), **(slices or {})}
    scores, labels = _checked(np.asarray(scores), np.asarray(labels), classes, groups)
    k = len(classes)
    answers = scores.argmax(axis=1)
    right = answers == labels
    confidence = scores[np.arange(len(scores)), answers]
    confusion = np.zeros((k, k), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    per_class = {name: _class_measure(confusion, index) for index, name in enumerate(classes)}
    bins = reliability_bins(confidence, right)
    truth = np.clip(scores[np.arange(len(scores)), labels], SMALLEST, 1.0)
    return Evaluation(
        n=len(scores),
        classes=tuple(classes),
        metrics={
            "accuracy": int(right.sum()) / len(scores),
            **_means(per_class.values()),
            "mean_confidence": math.fsum(confidence.tolist()) / len(scores),
            "calibration_error": calibration_error(bins),
            "log_loss": -math.fsum(np.log(truth).tolist()) / len(scores),
        },
        per_class=per_class,
        slices={kind: _slices(names, right) for kind, names in groups.items()},
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=bins,
    )


def _class_measure(confusion: NDArray[np.int64], index: int) -> ClassMeasure:
    hits = int(confusion[index, index])
    n, answered = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassMeasure(
        precision=hits / answered if answered else None,
        recall=hits / n if n else None,
        f1=2 * hits / (n + answered) if n + answered else None,
        n=n,
    )


def _means(measures: Iterable[ClassMeasure]) -> dict[str, float]:
    present = [measure for measure in measures if measure.n > 0]
    total = sum(measure.n for measure in present)
    means = {}
    for name in ("precision", "recall", "f1"):
        values = [getattr(measure, name) or 0.0 for measure in present]
        means[f"macro_{name}"] = math.fsum(values) / len(present)
        weighted = math.fsum(value * measure.n for value, measure in zip(values, present, strict=True))
        means[f"weighted_{name}"] = weighted / total
    means["worst_class_recall"] = min(measure.recall or 0.0 for measure in present)
    return means


def summands(metric: str, scores: NDArray[Any], labels: NDArray[Any]) -> Summands:
    """What each case adds to a metric of `PAIRED`; scores: (n, k), labels: (n,), both as evaluated before.

    Raises:
        KeyError: no such metric.
    """
    answers = scores.argmax(axis=1)
    if metric == "accuracy":
        return share(answers == labels)
    rows = np.arange(len(scores))
    if metric == "mean_confidence":
        return mean(scores[rows, answers].astype(np.float64))
    if metric == "log_loss":
        return mean(-np.log(np.clip(scores[rows, labels].astype(np.float64), SMALLEST, 1.0)))
    kind, averaged = _MEANS[metric]
    return mean_over_classes(kind, averaged, labels, answers, scores.shape[1])


def _slices(names: Sequence[str | None], right: NDArray[np.bool_]) -> dict[str, SliceMeasure]:
    hits: dict[str, list[bool]] = {}
    for name, hit in zip(names, right.tolist(), strict=True):
        if name is not None:
            hits.setdefault(name, []).append(hit)
    return {name: SliceMeasure(len(hits[name]), sum(hits[name]) / len(hits[name])) for name in sorted(hits)}


def _checked(
    scores: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str],
    groups: Mapping[str, Sequence[str | None]],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if scores.ndim != 2 or scores.shape[1] != len(classes):
        raise InputError(
            f"scores have shape {scores.shape}, expected (n, {len(classes)}) for the classes {list(classes)}",
            hint="evaluate with the class list of the model",
        )
    n = len(scores)
    if n == 0:
        raise InputError("no cases to evaluate", hint="give a set with at least one labelled case")
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels are {labels.dtype} {labels.shape}, expected {n} whole numbers", hint="give one label per answer"
        )
    for kind, names in groups.items():
        if len(names) != n:
            raise InputError(f"{len(names)} {kind}s for {n} cases", hint=f"give one {kind} (or None) per case")
    outside = (labels < 0) | (labels >= len(classes))
    if outside.any():
        case = int(outside.argmax())
        raise LabelError(
            f"label {labels[case]} is beyond the {len(classes)} classes {list(classes)}",
            where=f"case {case}",
            hint="judge the model on data that has the model's class list",
        )
    scores = scores.astype(np.float64)
    fault = ~np.isfinite(scores).all(axis=1)
    fault |= (np.where(fault[:, None], 0, scores) < 0).any(axis=1)
    fault |= np.abs(np.where(fault[:, None], 1 / len(classes), scores).sum(axis=1) - 1) > SUM_TOLERANCE
    if fault.any():
        case = int(fault.argmax())
        raise InputError(
            f"{int(fault.sum())} of {n} answers are no probabilities, the first: {np.round(scores[case], 4).tolist()}",
            where=f"case {case}",
            hint="scores must be finite, not negative and sum to 1: look at the model's last layer and its weights",
        )
    return scores, labels.astype(np.int64)
