"""What a model costs in onnxruntime under serving settings, against a limit and against the champion in one run."""

from __future__ import annotations

from collections.abc import Iterator

from recognizer.checks import Check, figure
from recognizer.evaluation.measured import Measured
from recognizer.gates.config import Budget, GateConfig

GATE = "budgets"


def budget_checks(config: GateConfig, measured: Measured) -> Iterator[Check]:
    """Each cost against the smaller of its limit and the champion's cost times the ratio."""
    costs = measured.costs
    for name, budget in (config.gates.budgets or {}).items():
        if costs is None:
            yield Check.unmeasured(GATE, name, f"{name} was not measured", threshold=budget.max, direction="max")
            continue
        if budget.ratio is not None and costs.champion is None and measured.champion is not None:
            reason = f"{name} of the champion was not measured in this run"
            yield Check.unmeasured(GATE, name, reason, threshold=budget.max, direction="max")
            continue
        baseline = costs.champion.metrics[name] if costs.champion is not None else None
        threshold, derivation = threshold_of(budget, baseline)
        yield Check.measured(
            GATE,
            name,
            costs.candidate.metrics[name],
            threshold=threshold,
            direction="max",
            baseline=baseline,
            n=costs.candidate.runs(name),
            derivation=derivation,
            cases="runs",
        )


def threshold_of(budget: Budget, baseline: float | None) -> tuple[float, str]:
    """What it may cost at most, and where that comes from; baseline: the champion's cost in the same run."""
    if baseline is not None and budget.ratio is not None:
        beside = baseline * budget.ratio + budget.slack
        if beside < budget.max:
            return beside, f"champion {figure(baseline)} x {budget.ratio:g} + {budget.slack:g}"
    return budget.max, "limit"
