"""The pure function that judges a candidate by everything that was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from recognizer.checks import Check
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates.budgets import budget_checks
from recognizer.gates.config import GateConfig
from recognizer.gates.golden import golden_checks
from recognizer.gates.infra import infra_checks
from recognizer.gates.parity import parity_checks
from recognizer.gates.relative import relative_checks
from recognizer.gates.slices import slice_checks

MEASURED_BEFORE = "contract"
"""The gate whose checks are made on the data, before there is a candidate."""


def judge(
    config: GateConfig,
    measured: Measured,
    sandbox: SandboxRun | None = None,
    *,
    made: Iterable[Check] = (),
) -> tuple[Check, ...]:
    """Every check of every configured gate, in the order of the gates.

    Args:
        sandbox: what the real service did with the candidate.
        made: checks made elsewhere (the contract's).
    """
    given = tuple(made)
    makers: Mapping[str, Callable[[Evaluation], Iterator[Check]]] = {
        "absolute": lambda candidate: absolute_checks(config, candidate),
        "relative": lambda candidate: relative_checks(config, measured, candidate),
        "slices": lambda candidate: slice_checks(config, measured, candidate),
        "golden": lambda _: golden_checks(config, measured),
        "parity": lambda _: parity_checks(config, measured),
        "budgets": lambda _: budget_checks(config, measured),
        "infra": lambda _: infra_checks(config, measured, sandbox),
    }
    checks: list[Check] = []
    for gate in config.configured():
        found = [check for check in given if check.gate == gate]
        if gate in makers and measured.candidate is not None:
            found += makers[gate](measured.candidate)
        checks += found or [Check.unmeasured(gate, gate, _silence(gate, measured))]
    # A check of a gate that is not configured is still evidence: it may not vanish.
    return (*checks, *(check for check in given if check.gate not in config.configured()))


def _silence(gate: str, measured: Measured) -> str:
    """Why a gate made no check."""
    if gate != MEASURED_BEFORE and measured.candidate is None:
        return measured.problem or "the candidate was not evaluated"
    return f"gate {gate} is configured and made no check"


def absolute_checks(config: GateConfig, candidate: Evaluation) -> Iterator[Check]:
    """Each metric against its threshold."""
    for metric, bound in config.gates.absolute.items():
        direction, threshold = bound.side
        yield Check.measured(
            "absolute",
            metric,
            candidate.metrics.get(metric),
            threshold=threshold,
            direction=direction,
            n=candidate.n,
            min_cases=config.min_cases,
        )
