"""The exported model answers as the trained one, however many cases it is asked at once, and the same each time."""

from __future__ import annotations

from collections.abc import Iterator

from recognizer.answers import left_out
from recognizer.checks import Check, figure
from recognizer.evaluation.measured import FLOAT, Measured
from recognizer.evaluation.parity import AGAIN, BATCHES, Parity
from recognizer.gates.config import GateConfig

GATE = "parity"


def parity_checks(config: GateConfig, measured: Measured) -> Iterator[Check]:
    """The largest difference of a score and the share of equal answers, each at its worst number of cases at once."""
    gate = config.gates.parity
    if gate is None:
        return
    bound = gate if measured.form == FLOAT else gate.int8
    if bound is None:
        yield Check.unmeasured(GATE, "max_abs_diff", f"no bound is configured for {measured.form}")
        return
    batches = [str(size) for size in BATCHES]
    absent = [name for name in (*batches, AGAIN) if name not in measured.parity]
    if absent:
        reason = f"parity was not measured{'' if len(absent) > len(BATCHES) else ' for ' + ', '.join(absent)}"
        yield Check.unmeasured(GATE, "max_abs_diff", reason, threshold=bound.tolerance, direction="max")
        return
    found = {name: measured.parity[name] for name in batches}
    name, far = max(found.items(), key=lambda item: (item[1].max_abs_diff is None, item[1].max_abs_diff))
    yield Check.measured(
        GATE,
        "max_abs_diff",
        far.max_abs_diff,
        threshold=bound.tolerance,
        direction="max",
        n=far.n,
        min_cases=config.min_cases,
        derivation=f"worst of {', '.join(batches)} at once: {name}{_without(gate.ties, far)}",
    )
    name, few = min(found.items(), key=lambda item: item[1].decisions_equal)
    yield Check.measured(
        GATE,
        "decisions_equal",
        few.decisions_equal,
        threshold=bound.decisions_equal,
        n=few.n,
        min_cases=config.min_cases,
        derivation=f"worst of {', '.join(batches)} at once: {name}",
    )
    again = measured.parity[AGAIN]
    yield Check.measured(
        GATE, "repeated", again.max_abs_diff, threshold=0.0, direction="max", n=again.n, min_cases=config.min_cases
    )


def _without(ties: float, parity: Parity) -> str:
    if parity.ties_apart is None:
        return ""
    return f", without the {left_out(ties, parity.n):,} furthest apart, {figure(parity.ties_apart)} at most"
