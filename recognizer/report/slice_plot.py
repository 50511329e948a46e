"""How good the candidate is in every group of cases, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recognizer.evaluation.record import Evaluation, SliceMeasure
from recognizer.report.plots import CANDIDATE, CHAMPION, INK, LINE, MUTED, NARROW, WRONG, Plot, render, shortened
from recognizer.report.table import slice_interval, slices_of, spoken

MOST_SLICES = 12
"""Of one kind that are drawn: more cannot be read, and the table has them all."""


@dataclass(frozen=True)
class _Line:
    """A slice, or (without a measure) the name of the kind whose slices follow."""

    label: str
    measure: SliceMeasure | None = None
    champion: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        assert self.measure is not None
        return slice_interval(self.measure)


def slice_plot(candidate: Evaluation, champion: Evaluation | None, floor: float | None = None) -> Plot | None:
    """Accuracy of every slice with its interval, by kind and worst first, beside the champion's; None without any.

    Args:
        floor: the accuracy that no slice may be significantly below; None: nothing is marked.
    """
    kinds = {kind: slices for kind, slices in slices_of(candidate).items() if slices}
    if not kinds:
        return None
    others = slices_of(champion) if champion is not None else {}
    lines = [line for kind, slices in kinds.items() for line in _lines(kind, slices, others.get(kind, {}))]
    shown = [(place, line, line.measure) for place, line in enumerate(lines) if line.measure is not None]
    below = [line for _, line, _ in shown if floor is not None and line.ends[1] < floor]

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, line, measure in shown:
            color = WRONG if line in below else CANDIDATE
            axes.plot(line.ends, [place, place], color=color, linewidth=2, solid_capstyle="butt", zorder=2)
            axes.scatter([measure.accuracy], [place], s=26, color=color, zorder=3)
        axes.scatter([], [], s=26, color=CANDIDATE, label="candidate")
        known = [(line.champion, place) for place, line, _ in shown if line.champion is not None]
        if known:
            style = {"marker": "D", "s": 40, "facecolor": "none", "edgecolor": CHAMPION, "linewidth": 1.4}
            axes.scatter(*zip(*known, strict=True), zorder=4, label="champion", **style)
        if floor is not None:
            axes.axvline(floor, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=f"floor {floor:g}", zorder=1)
        lowest = min([line.ends[0] for _, line, _ in shown] + [value for value, _ in known] + [floor or 1.0])
        axes.set(xlim=(max(0.0, np.floor(10 * lowest) / 10), 1.02), ylim=(len(lines) - 0.3, -0.8), xlabel="accuracy")
        axes.set_yticks(range(len(lines)), [line.label for line in lines])
        for text, line in zip(axes.get_yticklabels(), lines, strict=True):
            if line.measure is None:
                text.set(fontweight="bold", color=INK)
        axes.grid(axis="x", color=LINE)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8.5, borderaxespad=0.2)

    count = sum(map(len, kinds.values()))
    worst = min((one.accuracy, name) for slices in kinds.values() for name, one in slices.items())
    behind = sum(line.champion is not None and line.champion > measure.accuracy for _, line, measure in shown)
    compared = sum(line.champion is not None for _, line, _ in shown)
    beside = f" Behind the champion in {behind} of {compared}." if compared else ""
    red = f" Red: surely below the floor ({len(below)})." if below else ""
    return Plot(
        "slices",
        "Accuracy in every slice",
        f"By kind, worst first; cases in brackets; each end of an interval one-sided at 95 %, one slice by itself "
        f"(the gate judges them together).{beside}{red}",
        f"Accuracy in {count} slices of {len(kinds)} kinds: the worst is {worst[1]} with {worst[0]:.3f}.{beside}{red}",
        False,
        render(draw, NARROW, 1.0 + 0.235 * max(len(lines), 6)),
    )


def _lines(kind: str, slices: Mapping[str, SliceMeasure], others: Mapping[str, SliceMeasure]) -> list[_Line]:
    ordered = sorted(slices.items(), key=lambda item: (item[1].accuracy, item[0]))
    cut = f": the {MOST_SLICES} worst of {len(ordered)}" if len(ordered) > MOST_SLICES else ""
    return [
        _Line(f"{spoken(kind)}{cut}"),
        *(
            _Line(f"{shortened(name, 32)} ({one.n})", one, others[name].accuracy if name in others else None)
            for name, one in ordered[:MOST_SLICES]
        ),
    ]
