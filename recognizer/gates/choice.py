"""Which form of a candidate goes on: the 8-bit one when it is faster and passes every gate, else the float one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from recognizer.checks import Check, Verdict
from recognizer.evaluation.measured import FLOAT, INT8, Measured
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates.config import GateConfig
from recognizer.gates.infra import GATE as INFRA
from recognizer.gates.judge import judge


@dataclass(frozen=True)
class Choice:
    """The form that was chosen, what the gates said of it, and what the real service did with it."""

    form: str
    checks: tuple[Check, ...]
    sandbox: SandboxRun | None


def choose_form(
    config: GateConfig,
    forms: Mapping[str, Measured],
    try_out: Callable[[str], SandboxRun | None],
    *,
    made: Iterable[Check] = (),
) -> Choice:
    """Judge the forms; the real service is asked only about one that nothing else speaks against.

    Args:
        forms: what was measured of each; an 8-bit form is among them only if it is faster.
        try_out: what the real service does with a form.
        made: checks made elsewhere.
    """
    given = tuple(made)
    told: tuple[Check, ...] = ()
    if INT8 in forms:
        measured, tried = forms[INT8], None
        refusals = [check for check in _refusals(judge(config, measured, made=given)) if check.gate != INFRA]
        if not refusals:
            tried = try_out(INT8) if config.gates.infra is not None else None
            checks = judge(config, measured, tried, made=given)
            refusals = _refusals(checks)
            if not refusals:
                return Choice(INT8, (*checks, _tell(measured, ())), tried)
        told = (_tell(measured, refusals),)
    elif (quantized := forms[FLOAT].quantized) is not None:
        told = (Check("budgets", INT8, None, None, "min", None, 0, Verdict.PASSED, f"{quantized}: not chosen"),)
    tried = try_out(FLOAT) if forms[FLOAT].candidate is not None and config.gates.infra is not None else None
    return Choice(FLOAT, (*judge(config, forms[FLOAT], tried, made=given), *told), tried)


def _refusals(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.verdict is not Verdict.PASSED]


def _tell(measured: Measured, refusals: Iterable[Check]) -> Check:
    """What became of the 8-bit form. It is never a refusal: the float form can still pass."""
    faster = measured.costs.faster if measured.costs is not None else None
    speed = "8 bits" if faster is None else f"8 bits are {faster:.2f} times as fast"
    against = "; ".join(f"{check.gate}/{check.name} {check.verdict}: {check.reason}" for check in refusals)
    reason = f"{speed}, and not chosen: {against}" if against else f"{speed} and pass every gate: chosen"
    n = 0 if measured.costs is None else measured.costs.candidate.runs("latency_p50_ms")
    return Check("budgets", INT8, faster, None, "min", None, n, Verdict.PASSED, reason)
