"""No worse than the champion, and than the best version that was ever blessed on this test set.

One-sided non-inferiority at 5 %: the lower bound of the paired difference has to keep the margin. Comparing with the
best version too keeps margins from adding up: a hundred nights that each lose a little less than the margin lose a
lot.

Source: Piaggio, Elbourne, Pocock, Evans, Altman 2012, "Reporting of noninferiority and equivalence randomized trials:
extension of the CONSORT 2010 statement".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from recognizer.checks import Check, Verdict, figure, in_decimals
from recognizer.evaluation.comparison import same_cases
from recognizer.evaluation.measured import Measured, Rival
from recognizer.evaluation.paired import FEWEST_CLUSTERS, PairedDifference, bound_of_equals
from recognizer.evaluation.record import Evaluation
from recognizer.gates.config import Allowance, GateConfig

GATE = "relative"


def relative_checks(config: GateConfig, measured: Measured, candidate: Evaluation) -> Iterator[Check]:
    """For each metric a check against the champion, and one against the best version where that is another."""
    for metric, allowance in (config.gates.relative or {}).items():
        yield _champion(metric, allowance, config, measured, candidate)
        if (check := _best(metric, allowance, config, measured, candidate)) is not None:
            yield check


def _champion(
    metric: str, allowance: Allowance, config: GateConfig, measured: Measured, candidate: Evaluation
) -> Check:
    known = measured.champion_classes
    if known is None:
        reason = "first version of a lineage: nothing to compare with, the absolute gates alone decide"
        return _not_applicable(metric, allowance, candidate, reason)
    if known != candidate.classes:
        reason = f"the champion knows other classes ({len(known)}, candidate {len(candidate.classes)}): new lineage"
        return _not_applicable(metric, allowance, candidate, f"{reason}, nothing to compare with")
    if measured.opponent is None:
        return Check.unmeasured(GATE, metric, "the champion was not evaluated on this test set")
    return _against(metric, metric, measured.opponent, "champion", allowance, config, candidate)


def _best(
    metric: str, allowance: Allowance, config: GateConfig, measured: Measured, candidate: Evaluation
) -> Check | None:
    """None where the best version is the champion, or there is none."""
    name = f"{metric}_best"
    if metric not in measured.best:
        return Check.unmeasured(GATE, name, f"the best version by {metric} on this test set was not looked for")
    digest = measured.best[metric]
    if digest is None or (digest == measured.champion and measured.opponent is not None):
        return None
    rival = measured.rivals.get(digest)
    if rival is None:
        reason = f"the best version by {metric} ({digest[:12]}) was not evaluated: its package is gone or damaged"
        return Check.unmeasured(GATE, name, f"{reason}; put it back from a backup, or renew the test set")
    who = "best before" if rival.version is None else f"best before, version {rival.version}"
    return _against(name, metric, rival, who, allowance, config, candidate)


def _not_applicable(metric: str, allowance: Allowance, candidate: Evaluation, reason: str) -> Check:
    return Check(GATE, metric, None, None, allowance.direction, None, candidate.n, Verdict.PASSED, reason)


def _against(
    name: str, metric: str, rival: Rival, who: str, allowance: Allowance, config: GateConfig, candidate: Evaluation
) -> Check:
    other = rival.evaluation
    if not same_cases(candidate, other):
        reason = f"{who} judged on other cases ({other.n:,}) than the candidate ({candidate.n:,})"
        return Check.unmeasured(GATE, name, reason, n=candidate.n)
    baseline = other.metrics.get(metric)
    if baseline is None or not math.isfinite(baseline):
        what = "missing" if baseline is None else str(baseline)
        return Check.unmeasured(GATE, name, f"{metric} of {who} is {what}", n=other.n)
    difference = rival.differences.get(metric)
    if difference is None:
        return Check.unmeasured(GATE, name, f"{metric} was not paired with {who} case by case", n=other.n)
    lower = allowance.direction == "min"
    check = Check.measured(
        GATE,
        name,
        candidate.metrics.get(metric),
        threshold=in_decimals(baseline, -allowance.margin if lower else allowance.margin),
        direction=allowance.direction,
        baseline=baseline,
        n=candidate.n,
        min_cases=config.min_cases,
        interval=(in_decimals(baseline, difference.low), in_decimals(baseline, difference.high)),
        derivation=f"{who} {figure(baseline)} {'-' if lower else '+'} margin {figure(allowance.margin)}",
        cases=_cases(difference),
    )
    equals = bound_of_equals(difference.n, difference.clusters) if check.verdict is Verdict.INCONCLUSIVE else 0.0
    if not lower or equals >= -allowance.margin:
        return check
    hint = f"not even an equal would pass, its difference is at least {figure(equals)}: it takes more cases or subjects"
    return replace(check, reason=f"{check.reason} ({hint})")


def _cases(difference: PairedDifference) -> str:
    """For whom the interval speaks."""
    if difference.clusters is not None:
        return f"cases of {difference.clusters:,} subjects"
    return f"cases (fewer than {FEWEST_CLUSTERS} subjects are named: this holds for other cases of the same ones only)"
