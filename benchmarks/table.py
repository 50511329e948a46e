"""Rows of a table of bounds: what was measured, what must hold, whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recognizer.traffic import TrafficReport


@dataclass(frozen=True)
class Row:
    """One figure against its bound.

    Attributes:
        name: what is measured.
        figure: the measurement, as people read it.
        bound: what must hold.
        passed: whether it does.
    """

    name: str
    figure: str
    bound: str
    passed: bool

    def __str__(self) -> str:
        return f"| {self.name} | {self.figure} | {self.bound} | {'PASSED' if self.passed else 'FAILED'} |"


def told(report: TrafficReport) -> str:
    """How requests failed, where some did."""
    return "".join(f" ({kind}: {what})" for kind, what in report.examples.items())


HEAD = "| what | measured | bound | |\n|---|---|---|---|"


def at_most(name: str, value: float, bound: float, unit: str = "", digits: int = 1) -> Row:
    """A figure that must not exceed its bound."""
    return Row(name, f"{value:.{digits}f}{unit}", f"≤ {bound:g}{unit}", value <= bound)


def at_least(name: str, value: float, bound: float, unit: str = "", digits: int = 1) -> Row:
    """A figure that must reach its bound."""
    return Row(name, f"{value:.{digits}f}{unit}", f"≥ {bound:g}{unit}", value >= bound)


def table(rows: Sequence[Row]) -> str:
    return "\n".join([HEAD, *map(str, rows)])
