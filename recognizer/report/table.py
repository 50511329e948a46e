"""Rows for people: terminal, Markdown and HTML show the same words and the same digits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recognizer.checks import Check, distinct, figure
from recognizer.evaluation.comparison import compare
from recognizer.evaluation.measured import Golden, Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.proportion import wilson_interval
from recognizer.evaluation.record import Evaluation, SliceMeasure
from recognizer.evaluation.sandbox import SandboxRun

CHECK_COLUMNS = ("gate", "check", "value", "interval", "threshold", "champion", "n", "verdict", "reason")
METRIC_COLUMNS = ("metric", "candidate", "champion", "change", "")
CONFUSION_COLUMNS = ("is", "was answered as", "cases", "share of the class")
CLASS_COLUMNS = ("class", "n", "precision", "recall", "F1", "champion recall")
ERROR_COLUMNS = ("of", "mean error", "champion")
SLICE_COLUMNS = ("slice", "n", "accuracy", "interval", "champion", "candidate less champion")
DIFFERENCE_COLUMNS = ("metric", "against", "difference", "interval")
RIVAL_COLUMNS = ("against", "only candidate right", "only other right", "p", "other answer")
CHANGE_COLUMNS = ("changed input", "cases", "same answer", "median change", "largest change")
ABBREVIATIONS = {"f1": "F1", "oks": "OKS", "pck": "PCK"}

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
        interval(check.interval),
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


def error_rows(errors: Mapping[str, float], others: Mapping[str, float]) -> list[Row]:
    """Every part of an answer with its error and the champion's, the worst first."""
    ordered = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    return [(spoken(name), figure(error), figure(others.get(name))) for name, error in ordered]


def slices_of(evaluation: Evaluation) -> Mapping[str, Mapping[str, SliceMeasure]]:
    """Kind → slice → measure; classes are slices too, also where nobody asked for them, unless there is only one."""
    measured = {name: one for name, one in evaluation.per_class.items() if one.recall is not None}
    classes = {name: SliceMeasure(one.n, one.recall) for name, one in measured.items() if one.recall is not None}
    return {**({"class": classes} if len(evaluation.classes) > 1 else {}), **evaluation.slices}


def slice_interval(measure: SliceMeasure) -> tuple[float, float]:
    """Bounds of a slice's accuracy."""
    return wilson_interval(round(measure.accuracy * measure.n), measure.n)


def slice_rows(kind: str, candidate: Evaluation, rival: Rival | None) -> list[Row]:
    """Every slice of one kind, the worst first."""
    others = slices_of(rival.evaluation).get(kind, {}) if rival is not None else {}
    differences = rival.slices.get(kind, {}) if rival is not None else {}
    ordered = sorted(slices_of(candidate).get(kind, {}).items(), key=lambda item: (item[1].accuracy, item[0]))
    return [
        (
            name,
            f"{part.n:,}",
            figure(part.accuracy),
            interval(slice_interval(part)),
            figure(others[name].accuracy if name in others else None),
            difference_text(differences[name]) if name in differences else "-",
        )
        for name, part in ordered
    ]


def rivals_of(measured: Measured) -> list[tuple[str, Rival]]:
    """What the candidate is compared with, by how people call it: the champion first."""
    several = len({digest for digest in measured.best.values() if digest not in (None, measured.champion)}) > 1
    found = []
    for digest, rival in measured.rivals.items():
        version = "" if rival.version is None else f", version {rival.version}"
        if digest == measured.champion:
            found.append((0, f"champion{version}", rival))
        else:
            metrics = [spoken(metric) for metric, one in measured.best.items() if one == digest] if several else []
            found.append((1, f"best before{' by ' + ', '.join(metrics) if metrics else ''}{version}", rival))
    return [(name, rival) for _, name, rival in sorted(found, key=lambda one: one[:2])]


def difference_rows(measured: Measured) -> list[Row]:
    """Every paired difference, in the order of `DIFFERENCE_COLUMNS`."""
    return [
        (spoken(metric), name, signed(one.value), interval((one.low, one.high), signs=True))
        for name, rival in rivals_of(measured)
        for metric, one in rival.differences.items()
    ]


def rival_rows(rivals: Sequence[tuple[str, Rival]]) -> list[Row]:
    """On how many cases only one of the two was right, and what McNemar's test makes of it."""
    return [
        (
            name,
            f"{rival.answers.only_first:,}",
            f"{rival.answers.only_second:,}",
            figure(rival.answers.p_value),
            percent(rival.disagreement),
        )
        for name, rival in rivals
    ]


def change_rows(measured: Measured) -> list[Row]:
    """What changed inputs do to the answers."""
    return [
        (spoken(one.name), f"{one.n:,}", percent(one.same), figure(one.median_change), figure(one.largest_change))
        for one in measured.invariances
        if one.n
    ]


def golden_sentence(golden: Golden) -> str:
    """How the golden cases were answered, in one or two sentences."""
    wrong = [one for one in golden.answers if not one.holds]
    n, left = len(golden.answers), golden.left_out
    beside = f" {left:,} more {'is' if left == 1 else 'are'} of other classes or made-up people." if left else ""
    if not n:
        return f"There is no golden case of these classes.{beside}"
    if not wrong:
        return f"All {n:,} golden cases were answered as they must be.{beside}"
    named = "; ".join(f"{one.name} was answered {one.answered}, must be {one.expected}" for one in wrong[:5])
    more = f"; and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
    return f"{len(wrong):,} of {n:,} golden cases were answered otherwise than they must be: {named}{more}.{beside}"


def sandbox_rows(run: SandboxRun) -> list[tuple[str, str]]:
    """What the real service did with the candidate; what was not measured is left out."""
    failed = ", ".join(f"{kind} {count:,}" for kind, count in run.failed.items())
    shadow = run.shadow
    rows: list[tuple[str, str | None]] = [
        ("requests", f"{run.requests:,}" + (f", {run.rate:,.0f} a second" if run.rate is not None else "")),
        ("taken from", run.source),
        ("failed", failed or ("none" if run.requests else None)),
        ("answered by another model", f"{run.by_another:,}" if run.by_another else None),
        ("same answer as offline", f"{run.agreed:,} of {run.compared:,}" if run.compared else None),
        ("largest difference of a score", None if run.max_difference is None else figure(run.max_difference)),
        (
            "latency",
            None if run.p50_ms is None else f"p50 {figure(run.p50_ms, 1)} ms, p95 {figure(run.p95_ms, 1)} ms",
        ),
        ("ready after", None if run.ready_seconds is None else f"{run.ready_seconds:,.1f} s"),
        (
            "memory of a worker",
            None if run.memory_mb is None else f"{run.memory_mb:,.0f} of {run.memory_limit_mb:,} MB",
        ),
        (
            "agrees with the champion in shadow",
            None
            if shadow is None
            else f"{shadow.agreed:,} of {shadow.compared:,} compared; {shadow.lost:,} of {shadow.requests:,} lost",
        ),
        ("whole run", f"{run.seconds:,.1f} s" if run.seconds else None),
    ]
    return [(name, value) for name, value in rows if value is not None]


def spoken(metric: str) -> str:
    """`macro_f1` as people write it: `macro F1`."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in metric.split("_"))


def signed(change: float) -> str:
    """`+0.012`, `-0.030`, `0`."""
    text = figure(change)
    return f"+{text}" if change > 0 else text


def interval(bounds: tuple[float, float] | None, *, signs: bool = False) -> str:
    """Both bounds with as many digits as it takes to tell them apart: `0.931 to 0.962`, `-` for none."""
    if bounds is None:
        return "-"
    if not signs:
        return " to ".join(distinct(*bounds))
    return " to ".join(f"+{text}" if bound > 0 else text for bound, text in zip(bounds, distinct(*bounds), strict=True))


def difference_text(one: PairedDifference) -> str:
    """`-0.021 (-0.052 to +0.010)`."""
    return f"{signed(one.value)} ({interval((one.low, one.high), signs=True)})"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
