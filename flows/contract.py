"""The data contract of a snapshot: what must hold before a model may be trained on it.

Great Expectations looks at three tables (sequences, frames, classes) and writes Data Docs; each expectation becomes
one check of the gate `contract`. Limits come from `prepare.<task>.contract` of params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.expectations import Expectation, Finding, Suite, Table, validate
from flows.limits import ContractLimits
from recognizer.checks import Check, Direction, Verdict, figure
from recognizer.errors import RecognizerError
from recognizer.home import atomic_folder

GATE = "contract"
SETS = ("train", "validation", "test")
NAMED = 5
"""How many offending rows a reason names; the others are counted, and all are in Data Docs."""


@dataclass(frozen=True)
class _Rule:
    """An expectation about rows or about a whole column, and how its outcome is told.

    Attributes:
        broken: what is said of the rows that break it, such as "have fewer than 5 frames".
        rows: what a row is.
        limit: for rows, the share of them that may break it; else the bound of the observed value.
        names: column that names an offending row.
        offenders: for whole columns, which rows of the table are at fault.
    """

    expectation: Expectation
    broken: str
    limit: float
    rows: str = "sequences"
    names: str = "name"
    direction: Direction = "max"
    offenders: Callable[[Table], NDArray[np.bool_]] | None = None


def check_contract(
    sequence_table: Table,
    frame_table: Table,
    *,
    limits: Mapping[str, Any],
    previous_count: int | None,
    docs_folder: Path,
) -> tuple[Check, ...]:
    """Judge a snapshot by its tables (see `recognizer.tables`); Data Docs replace what is in `docs_folder`.

    Args:
        limits: section `contract` of the stage `prepare`.
        previous_count: sequences of the snapshot before; None when there is none to compare with.

    Raises:
        UsageError: the limits are not usable.
        StorageError: Data Docs could not be written.
    """
    bounds = ContractLimits.read(limits)
    try:
        rules = _rules(bounds, previous_count)
        tables = _tables(sequence_table, frame_table)
        suites = [
            Suite(name, table, INDEX[name], tuple(rule.expectation for rule in rules[name]))
            for name, table in tables.items()
        ]
        with atomic_folder(docs_folder) as folder:
            findings = validate(suites, folder)
        checks = [
            _check(rule, findings[name, rule.expectation.name], tables[name]) for name in rules for rule in rules[name]
        ]
    except RecognizerError:
        raise
    except Exception as error:  # what breaks inside a library must not pass for a verdict about the data
        return (Check.unmeasured(GATE, GATE, f"Great Expectations: {type(error).__name__}: {error}"),)
    if previous_count is None:
        n = len(sequence_table["name"])
        reason = f"volume: {n:,} sequences; no snapshot before to compare with"
        checks.append(Check(GATE, "volume", float(n), None, "min", None, n, Verdict.PASSED, reason))
    return tuple(checks)


INDEX = {
    "sequences": ("set", "name", "subject"),
    "frames": ("set", "name", "person", "frame"),
    "classes": ("class_name",),
}


def _rules(bounds: ContractLimits, previous_count: int | None) -> dict[str, list[_Rule]]:
    def between(
        name: str, column: str, low: float | None, high: float | None, allowed: float, says: str
    ) -> Expectation:
        options = {"column": column, "min_value": low, "max_value": high, "mostly": 1 - allowed}
        return Expectation(name, "ExpectColumnValuesToBeBetween", options, says)

    frames, people, visibility, margin = bounds.frames, bounds.people, bounds.visibility, bounds.coordinates.margin
    sequences = [
        _Rule(
            between("known_classes", "sets_with_class", 1, None, 0.0, "Every class stands in train, too."),
            "have a class that train does not have",
            0.0,
        ),
        _Rule(
            between(
                "frames",
                "frames",
                frames.min,
                frames.max,
                frames.allowed,
                f"Sequences have {frames.min:,} to {frames.max:,} frames.",
            ),
            f"have fewer than {frames.min:,} or more than {frames.max:,} frames",
            frames.allowed,
        ),
        _Rule(
            between(
                "people",
                "people",
                people.min,
                people.max,
                people.allowed,
                f"Sequences show {people.min:,} to {people.max:,} people.",
            ),
            f"show fewer than {people.min:,} or more than {people.max:,} people",
            people.allowed,
        ),
        _Rule(
            between(
                "visibility",
                "visible_share",
                visibility.min,
                1.0,
                visibility.allowed,
                f"Sequences show at least {visibility.min:.0%} of their joints.",
            ),
            f"show less than {visibility.min:.0%} of their joints",
            visibility.allowed,
        ),
        _Rule(
            Expectation(
                "duplicates",
                "ExpectColumnValuesToBeUnique",
                {"column": "content_hash", "mostly": 1 - bounds.duplicates.allowed},
                "A movement is recorded once.",
            ),
            "are the same movement as another",
            bounds.duplicates.allowed,
        ),
        _Rule(
            between("shared_recordings", "sets_with_content", 1, 1, 0.0, "No movement stands in two sets."),
            "are the same movement as one in another set",
            0.0,
        ),
        _Rule(
            between("shared_subjects", "sets_with_subject", 1, 1, 0.0, "No person stands in two sets."),
            "show a person who stands in another set too",
            0.0,
            names="subject",
        ),
    ]
    if previous_count is not None:
        least = ceil(bounds.volume * previous_count)
        sequences.append(
            _Rule(
                Expectation(
                    "volume",
                    "ExpectTableRowCountToBeBetween",
                    {"min_value": least},
                    f"There are at least {least:,} sequences.",
                ),
                f"sequences; at least {least:,} are expected after {previous_count:,} in the snapshot before",
                float(least),
                direction="min",
            )
        )
    seen = [
        _Rule(
            between(
                "coordinates",
                "outside",
                None,
                margin,
                bounds.coordinates.allowed,
                f"Joints lie at most {margin:g} image sizes outside the image.",
            ),
            f"have a joint further outside the image than {margin:g} of its size",
            bounds.coordinates.allowed,
            rows="rows (person and frame)",
        ),
        _Rule(
            between("scores", "score_mean", 0.0, 1.0, 0.0, "Scores lie in 0 to 1."),
            "have a mean score outside 0 to 1",
            0.0,
            rows="rows (person and frame)",
        ),
    ]
    return {"sequences": sequences, "frames": seen, "classes": _class_rules(bounds)}


def _class_rules(bounds: ContractLimits) -> list[_Rule]:
    def fewer(part: str, least: int) -> Callable[[Table], NDArray[np.bool_]]:
        return lambda table: np.asarray(table[part] < least)

    cases = [
        _Rule(
            Expectation(
                f"cases_{part}",
                "ExpectColumnMinToBeBetween",
                {"column": part, "min_value": least},
                f"Every class has at least {least:,} cases in {part}.",
            ),
            f"cases of the smallest class in {part}; at least {least:,} are expected",
            float(least),
            rows="classes",
            names="class_name",
            direction="min",
            offenders=fewer(part, least),
        )
        for part, least in ((part, getattr(bounds.cases, part)) for part in SETS)
    ]
    balance = _Rule(
        Expectation(
            "balance",
            "ExpectColumnMaxToBeBetween",
            {"column": "imbalance", "max_value": bounds.imbalance},
            f"In train, no class has more than {bounds.imbalance:g} times the cases of another.",
        ),
        f"times the cases of the smallest class has the largest in train; {bounds.imbalance:g} is the limit",
        bounds.imbalance,
        rows="classes",
        names="class_name",
        offenders=lambda table: np.asarray(table["imbalance"] > bounds.imbalance),
    )
    return [*cases, balance]


def _tables(sequences: Table, frames: Table) -> dict[str, Table]:
    """The tables with the columns that expectations need beside the given ones."""
    part, labels = sequences["set"], sequences["class_name"]
    in_train = np.isin(labels, labels[part == "train"])
    sequences = {
        **sequences,
        "sets_with_class": in_train.astype(np.int64),
        "sets_with_content": _sets_with(sequences["content_hash"], part),
        # nobody knows whether two unknown people are one
        "sets_with_subject": np.where(sequences["subject"] == "", np.nan, _sets_with(sequences["subject"], part)),
    }
    ends = np.stack([-frames["x_min"], frames["x_max"] - 1, -frames["y_min"], frames["y_max"] - 1])
    frames = {**frames, "outside": np.where(np.isnan(ends).all(axis=0), np.nan, np.max(ends, axis=0))}
    names = np.unique(labels)
    counts = {one: np.array([np.sum((part == one) & (labels == name)) for name in names]) for one in SETS}
    imbalance = counts["train"].max() / np.maximum(counts["train"], 1)
    return {
        "sequences": sequences,
        "frames": frames,
        "classes": {"class_name": names, **counts, "imbalance": imbalance},
    }


def _sets_with(values: NDArray[Any], part: NDArray[Any]) -> NDArray[np.int64]:
    """In how many sets each row's value stands."""
    _, inverse = np.unique(values, return_inverse=True)
    return np.asarray(sum(np.isin(inverse, inverse[part == one]).astype(np.int64) for one in SETS), np.int64)


def _check(rule: _Rule, finding: Finding, table: Table) -> Check:
    """The verdict is Great Expectations'; value and threshold are the numbers it stands on."""
    name = rule.expectation.name
    if finding.trouble is not None:
        reason = f"{name}: Great Expectations could not measure it: {finding.trouble}"
        return Check.unmeasured(GATE, name, reason, threshold=rule.limit, direction=rule.direction)
    if finding.observed is not None:
        value = finding.observed
        reason = f"{name}: {figure(value)} {rule.broken}"
        at_fault = rule.offenders(table) if rule.offenders else np.zeros(0, bool)
        guilty = [str(one) for one in table[rule.names][at_fault]] if at_fault.any() else []
    else:
        value = len(finding.offending) / max(finding.n, 1)
        reason = (
            f"{name}: {len(finding.offending):,} of {finding.n:,} {rule.rows} {rule.broken}; {_percent(rule.limit)} may"
        )
        guilty = list(dict.fromkeys(str(row[rule.names]) for row in finding.offending))
    verdict = Verdict.PASSED if finding.met else Verdict.FAILED
    if guilty and not finding.met:
        more = f" and {len(guilty) - NAMED:,} more" if len(guilty) > NAMED else ""
        reason += f": {', '.join(guilty[:NAMED])}{more}"
    return Check(GATE, name, value, rule.limit, rule.direction, None, finding.n, verdict, reason)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share else "none"
