"""Which checks a configuration asks for, so that a blessing can tell that none of them was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS = frozenset({"min_cases", "digest"})
"""Keys of a gate that are no check."""
ALWAYS = {
    "parity": ("max_abs_diff", "decisions_equal", "repeated"),
    "infra": ("requests", "failed", "same_answer", "max_difference", "latency_p95_ms"),
}


def expected_checks(gates: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """(gate, check) of every check that a candidate has to have passed.

    Others are made only where they apply (against the best version before, in shadow of a champion), and what the data
    contract looks at is said beside its code: of these gates any check will do.

    Args:
        gates: what each configured gate asks for, as `GateConfig.by_gate`.
    """
    return frozenset((gate, name) for gate, asked in gates.items() for name in _names(gate, asked))


def _names(gate: str, asked: Mapping[str, Any]) -> tuple[str, ...]:
    if gate in ALWAYS:
        return ALWAYS[gate]
    if gate == "slices":
        return (*asked.get("required", ()), *asked.get("where_known", ()))
    if gate in ("absolute", "relative", "golden", "budgets"):
        return tuple(name for name, bound in asked.items() if name not in SETTINGS and bound is not None)
    return ()
