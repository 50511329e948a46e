"""How exactly a machine multiplies: asked of the CPU's flags, without loading torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recognizer.errors import UsageError

Precision = Literal["auto", "bf16", "fp32"]
MULTIPLIES = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of CPUs that multiply bf16 in hardware; elsewhere it is slower than fp32."""


def cpu_flags() -> frozenset[str]:
    """What this CPU can do, in Linux's words; empty where that cannot be asked."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(word for line in lines if line.startswith("flags") for word in line.split()[2:])


def settled(precision: Precision, task: str) -> Precision:
    """`auto` made concrete for this CPU.

    Raises:
        UsageError: bf16 is asked for by name and this CPU does not multiply it in hardware.
    """
    fast = bool(MULTIPLIES & cpu_flags())
    if precision == "bf16" and not fast:
        raise UsageError(
            f"train.{task}.precision: bf16 needs a CPU with AMX or AVX512-BF16, and this one has neither",
            where="params.yaml",
            hint="set it to auto, which takes bf16 where the CPU multiplies it, or to fp32",
        )
    if precision == "auto":
        return "bf16" if fast else "fp32"
    return precision
