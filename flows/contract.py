"""The data contract of a snapshot: what must hold before a model may be trained on it.

Great Expectations looks at the task's tables and writes Data Docs; each expectation becomes one check of the gate
`contract`. Limits come from `prepare.<task>.contract` of params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.expectations import Measurement, Suite, validate
from recognizer.checks import Check, Verdict, figure
from recognizer.contract import Inspection, Rule, Table
from recognizer.errors import RecognizerError
from recognizer.home import atomic_folder
from recognizer.report import Finding

GATE = "contract"
NAMED, SHOWN = 5, 20
"""How many offending rows a reason names and a report shows; the others are counted, and all are in Data Docs."""


@dataclass(frozen=True)
class Contract:
    """What the data contract came to: a check per expectation, and what was found of those that do not hold."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()


def check_contract(inspect: Callable[[], Inspection], *, docs_folder: Path) -> Contract:
    """Judge a snapshot by its tables; Data Docs replace what is in `docs_folder`.

    Args:
        inspect: what is looked at, see `recognizer.evaluator`; what breaks there is an ERROR too.

    Raises:
        UsageError: the limits are not usable.
        StorageError: Data Docs could not be written.
    """
    try:
        inspection = inspect()
        tables, rules = inspection.tables, inspection.rules
        suites = [
            Suite(name, table, inspection.index[name], tuple(rule.expectation for rule in rules[name]))
            for name, table in tables.items()
        ]
        with atomic_folder(docs_folder) as folder:
            measured = validate(suites, folder)
        outcomes = [
            (rule, measured[name, rule.expectation.name], tables[name]) for name in rules for rule in rules[name]
        ]
        checks = [_check(*outcome) for outcome in outcomes]
        findings = [_finding(check, *outcome) for check, outcome in zip(checks, outcomes, strict=True)]
    except RecognizerError:
        raise
    except Exception as error:  # what breaks inside a library must not pass for a verdict about the data
        return Contract((Check.unmeasured(GATE, GATE, f"Great Expectations: {type(error).__name__}: {error}"),))
    if inspection.first:
        n = inspection.count
        reason = f"volume: {n:,} {inspection.cases}; no snapshot before to compare with"
        checks.append(Check(GATE, "volume", float(n), None, "min", None, n, Verdict.PASSED, reason))
    return Contract(tuple(checks), tuple(finding for finding in findings if finding is not None))


def _check(rule: Rule, measured: Measurement, table: Table) -> Check:
    """The verdict is Great Expectations'; value and threshold are the numbers it stands on."""
    name = rule.expectation.name
    if measured.trouble is not None:
        reason = f"{name}: Great Expectations could not measure it: {measured.trouble}"
        return Check.unmeasured(GATE, name, reason, threshold=rule.limit, direction=rule.direction)
    if measured.observed is not None:
        value = measured.observed
        reason = f"{name}: {figure(value)} {rule.broken}"
        at_fault = rule.offenders(table) if rule.offenders else np.zeros(0, bool)
        guilty = [str(one) for one in table[rule.names][at_fault]] if at_fault.any() else []
    else:
        value = len(measured.offending) / max(measured.n, 1)
        share = f"{len(measured.offending):,} of {measured.n:,} {rule.rows}"
        reason = f"{name}: {share} {rule.broken}; {_percent(rule.limit)} may"
        guilty = list(dict.fromkeys(str(row[rule.names]) for row in measured.offending))
    verdict = Verdict.PASSED if measured.met else Verdict.FAILED
    if guilty and not measured.met:
        more = f" and {len(guilty) - NAMED:,} more" if len(guilty) > NAMED else ""
        reason += f": {', '.join(guilty[:NAMED])}{more}"
    return Check(GATE, name, value, rule.limit, rule.direction, None, measured.n, verdict, reason)


def _finding(check: Check, rule: Rule, measured: Measurement, table: Table) -> Finding | None:
    """What a person has to look at; None when the expectation holds."""
    if check.verdict is Verdict.PASSED:
        return None
    if rule.offenders is not None:
        at_fault = np.flatnonzero(rule.offenders(table))
        rows = [{column: values[row] for column, values in table.items()} for row in at_fault]
    else:
        rows = [dict(row) for row in measured.offending]
    shown = tuple({str(column): _plain(value) for column, value in row.items()} for row in rows[:SHOWN])
    return Finding(rule.expectation.says, check.reason, shown, len(rows) if rows else None)


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    return value.item() if isinstance(value, np.generic) else value


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share else "none"
