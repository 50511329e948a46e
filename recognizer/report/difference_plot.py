"""How much better or worse the candidate is than others on the same cases: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recognizer.checks import figure as number
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.paired import PairedDifference
from recognizer.gates.config import Allowance
from recognizer.report.plots import CANDIDATE, INK, LINE, MUTED, NARROW, WRONG, Plot, render, shortened
from recognizer.report.table import interval, rivals_of, signed, spoken

NEAR = 5.0
"""A margin beyond so many times the farthest end of an interval is told in words: it would squeeze everything else."""


@dataclass(frozen=True)
class _Row:
    """One metric against one other model; `allowance` is None where nobody asked for one."""

    metric: str
    rival: str
    difference: PairedDifference
    allowance: Allowance | None

    @property
    def allowed(self) -> float | None:
        """The difference that is just tolerated."""
        if self.allowance is None:
            return None
        return -self.allowance.margin if self.allowance.direction == "min" else self.allowance.margin

    def _keeps(self, value: float) -> bool:
        if self.allowance is None or self.allowed is None:
            return True
        return value >= self.allowed if self.allowance.direction == "min" else value <= self.allowed

    @property
    def color(self) -> str:
        """Proven to keep the margin, not proven, or broken."""
        if not self._keeps(self.difference.value):
            return WRONG
        lower = self.allowance is None or self.allowance.direction == "min"
        return CANDIDATE if self._keeps(self.difference.low if lower else self.difference.high) else MUTED


def difference_plot(measured: Measured, relative: Mapping[str, Allowance] | None) -> Plot | None:
    """One line a metric and other model, with both bounds, zero and the margin; None when nothing was compared.

    Args:
        relative: metric → allowance; None: no margin is drawn.
    """
    rows = [
        _Row(metric, name, one, (relative or {}).get(metric))
        for name, rival in rivals_of(measured)
        for metric, one in rival.differences.items()
    ]
    if not rows:
        return None
    reach = NEAR * max(max(abs(row.difference.low), abs(row.difference.high)) for row in rows)

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=1)
        for place, row in enumerate(rows):
            one = row.difference
            axes.plot([one.low, one.high], [place, place], color=row.color, linewidth=2.4, solid_capstyle="butt")
            axes.scatter([one.value], [place], s=44, color=row.color, zorder=3)
            if row.allowed is not None and abs(row.allowed) <= reach:
                ends = [place - 0.36, place + 0.36]
                axes.plot([row.allowed] * 2, ends, color=WRONG, linewidth=1.4, linestyle=(0, (3, 2)))
        axes.set_yticks(
            range(len(rows)),
            [f"{spoken(row.metric)}\nagainst {shortened(row.rival, 30)}" for row in rows],
            fontsize=8.5,
        )
        said = [f"{signed(row.difference.value)}\n{_bounds(row.difference)}" for row in rows]
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), said, fontsize=8.5)
        right.spines[:].set_visible(False)
        axes.set(ylim=(len(rows) - 0.45, -0.55), xlabel=f"candidate less the other{_better(rows)}")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=LINE)
        axes.locator_params(axis="x", nbins=5)
        axes.margins(x=0.08)

    margins = sorted({row.allowance.margin for row in rows if row.allowance is not None})
    marked = f" Dashed: the margin, {' or '.join(map(number, margins))}; the end towards it decides." if margins else ""
    if any(margin > reach for margin in margins):
        marked = f" The margin, {' or '.join(map(number, margins))}, lies far away; the end towards it decides."
    subjects = {row.difference.clusters for row in rows} - {None}
    whom = "" if subjects else " Too few subjects are named: this holds for other cases of the same ones only."
    told = "; ".join(
        f"{spoken(row.metric)} {signed(row.difference.value)} against {row.rival}, {_bounds(row.difference)}"
        for row in rows
    )
    return Plot(
        "differences",
        "Candidate less the others",
        f"Difference on the same cases, each end one-sided at 95 %.{marked}{whom}",
        f"Paired differences with their intervals: {told}.",
        False,
        render(draw, NARROW, 1.0 + 0.62 * max(len(rows), 2)),
    )


def _bounds(one: PairedDifference) -> str:
    return interval((one.low, one.high), signs=True)


def _better(rows: list[_Row]) -> str:
    """Where better lies, when it lies on one side for all."""
    sides = {"min" if row.allowance is None else row.allowance.direction for row in rows}
    return {"min": ": right is better", "max": ": left is better"}[sides.pop()] if len(sides) == 1 else ""
