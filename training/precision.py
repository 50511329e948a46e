"""How exactly a machine multiplies: asked of the CPU's flags, without loading torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recognizer.errors import UsageError

Precision = Literal["auto", "bf16", "fp32"]


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
        UsageError: bf16 is asked for by name and this CPU has no AMX.
    """
    amx = "amx_bf16" in cpu_flags()
    if precision == "bf16" and not amx:
        # Slower than fp32 at best; where a CPU has AVX512-BF16 alone (AMD Zen 5), the backward pass of torch 2.13
        # ends the whole process with a segmentation fault.
        raise UsageError(
            f"train.{task}.precision: bf16 needs a CPU with AMX, which this one has not",
            where="params.yaml",
            hint="set it to auto, which takes bf16 where there is AMX, or to fp32",
        )
    if precision == "auto":
        return "bf16" if amx else "fp32"
    return precision
