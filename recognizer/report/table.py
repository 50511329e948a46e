"""Rows for people: terminal, Markdown and HTML show the same words and the same digits."""

from __future__ import annotations

from collections.abc import Iterable

from recognizer.checks import Check, distinct, figure
from recognizer.evaluation.comparison import compare
from recognizer.evaluation.record import Evaluation

CHECK_COLUMNS = ("gate", "check", "value", "threshold", "champion", "n", "verdict", "reason")
METRIC_COLUMNS = ("metric", "candidate", "champion", "change", "")
CONFUSION_COLUMNS = ("is", "was answered as", "cases", "share of the class")
CLASS_COLUMNS = ("class", "n", "precision", "recall", "F1", "champion recall")
SLICE_COLUMNS = ("subject", "n", "accuracy", "champion accuracy")

Row = tuple[str, ...]


def check_rows(checks: Iterable[Check]) -> list[Row]:
    """One row per check, in the order of `CHECK_COLUMNS`."""
    return [_check_row(check) for check in checks]


def _check_row(check: Check) -> Row:
    value, bound = figure(check.value), figure(check.threshold)
    if check.value is not None and check.threshold is not None:
        value, bound = distinct(check.value, check.threshold)
    if check.threshold is not None:
        bound = f"{'≥' if check.direction == 'min' else '≤'} {bound}"
    return (
        check.gate,
        check.name,
        value,
        bound,
        figure(check.baseline),
        f"{check.n:,}",
        check.verdict.value,
        check.reason,
    )


def metric_rows(candidate: Evaluation, champion: Evaluation | None) -> list[Row]:
    """Every metric of the candidate beside the champion's, and whether that is better."""
    return [
        (
            spoken(row.metric),
            figure(row.candidate),
            figure(row.champion),
            "-" if row.change is None else signed(row.change),
            "" if row.better is None else ("better" if row.better else "worse"),
        )
        for row in compare(candidate, champion)
    ]


def confusion_rows(evaluation: Evaluation, most: int = 8) -> list[Row]:
    """The most frequent confusions, the most frequent first; ties in the order of the classes."""
    pairs = [
        (count, label, answer)
        for label, row in enumerate(evaluation.confusion)
        for answer, count in enumerate(row)
        if count and label != answer
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    classes = evaluation.classes
    return [
        (classes[label], classes[answer], f"{count:,}", percent(count / sum(evaluation.confusion[label])))
        for count, label, answer in pairs[:most]
    ]


def class_rows(candidate: Evaluation, champion: Evaluation | None) -> list[Row]:
    """Every class with its numbers."""
    rows: list[Row] = []
    for name, measure in candidate.per_class.items():
        other = champion.per_class.get(name) if champion is not None else None
        rows.append(
            (
                name,
                f"{measure.n:,}",
                figure(measure.precision),
                figure(measure.recall),
                figure(measure.f1),
                figure(other.recall if other else None),
            )
        )
    return rows


def slice_rows(candidate: Evaluation, champion: Evaluation | None, kind: str = "subject") -> list[Row]:
    """Every slice of one kind, the worst first."""
    others = champion.slices.get(kind, {}) if champion is not None else {}
    ordered = sorted(candidate.slices.get(kind, {}).items(), key=lambda item: (item[1].accuracy, item[0]))
    return [
        (
            name,
            f"{part.n:,}",
            figure(part.accuracy),
            figure(others[name].accuracy if name in others else None),
        )
        for name, part in ordered
    ]


def spoken(metric: str) -> str:
    """`macro_f1` as people write it: `macro F1`."""
    return metric.replace("_", " ").replace("f1", "F1")


def signed(change: float) -> str:
    """`+0.012`, `-0.030`, `0`."""
    text = figure(change)
    return f"+{text}" if change > 0 else text


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
