"""The evidence of a rollout over time, as `recognizer rollout explain --plot` draws it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recognizer.explanation import Decision, Explanation, Leg, Point
from recognizer.report.plots import CANDIDATE, INK, LINE, WIDE, WRONG, Plot, render, shortened
from recognizer.store.clock import moment
from recognizer.tally import DISAGREEMENT

Curves = dict[str, list[float]]

LOWEST = -3.0
"""Decimal logarithm below which every curve is cut: all further down says the same."""
HIGHEST = 3.0
"""Decimal logarithm above which evidence *for* the challenger is cut: it grows for ever, and passes long before."""
MOST_POINTS = 2_000
"""A curve has at most so many points; more make a file of megabytes and no other picture."""
AGAINST, FOR = WRONG, CANDIDATE
_BANDS = ("#e9eff5", "#f7f9fb")
_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
_WIDTH_OF_A_LETTER = 0.008
"""Of the width of the plot."""


def curves(points: Sequence[Point], origin: float) -> tuple[list[float], Curves, Curves]:
    """Seconds since `origin`, and by signal the decimal logarithms of both e-values at these times.

    Every curve begins at (0, 0) and is cut below `LOWEST`; the second ones, for the challenger, above `HIGHEST` too. Of
    more than `MOST_POINTS` points the highest of each stretch is kept: a curve that crossed its threshold is seen to.
    """
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    seconds = [0.0, *(max(stretch[-1].at - origin, 0.0) for stretch in stretches)]

    def drawn(of: Callable[[Point], Mapping[str, float]], most: float) -> Curves:
        return {
            name: [0.0, *(_cut(max(of(one)[name] for one in stretch), most) for stretch in stretches)]
            for name in (of(points[0]) if points else ())
        }

    return seconds, drawn(lambda point: point.against, math.inf), drawn(lambda point: point.proof, HIGHEST)


def evidence_curves(explanation: Explanation) -> Plot:
    """One panel per signal that has a threshold; steps are shaded, and the decision that ended the way is marked."""
    origin = explanation.legs[0].began if explanation.legs else explanation.rollout.created_at
    seconds, against, proof = curves(explanation.points, origin)
    ends = [leg.ended if leg.ended is not None else leg.began for leg in explanation.legs]
    last = max([end - origin for end in ends] + [seconds[-1], 0.001])
    unit, size = next(one for one in _UNITS if last >= 3 * one[1] or one[1] == 1.0)
    times = [second / size for second in (*seconds, last)]
    needed = {name: value / math.log(10) for name, value in explanation.needed.items()}
    passes = -math.log10(explanation.limits.pass_alpha)
    decision, found = _last_word(explanation), explanation.rollout
    title = f"Rollout {found.id} of task {found.task}: version {found.version} against {found.champion_version}"

    def draw(figure: Any) -> None:
        top, *panels = figure.subplots(len(needed) + 1, 1, sharex=True, height_ratios=(0.5, *(1.0 for _ in needed)))
        _strip(top, explanation.legs, origin, last, size)
        for axes, (name, threshold) in zip(panels, needed.items(), strict=True):
            for place, leg in enumerate(explanation.legs):
                axes.axvspan(*_span(leg, origin, last, size), color=_BANDS[place % 2], linewidth=0)
            lines = [_Line(against.get(name, []), threshold, f"{_says(name)} at {10**threshold:,.0f}", AGAINST)]
            if name in proof:
                lines.append(_Line(proof[name], passes, f"passes at {10**passes:,.0f}", FOR))
            _panel(axes, name, times, lines)
        panels[-1].set_xlim(0, 1.01 * last / size)
        top.set_title(title, loc="left", fontsize=10)
        panels[-1].set_xlabel(f"{unit} since {moment(origin):%Y-%m-%d %H:%M:%S} UTC")
        if decision is not None:
            _mark(top, panels, (decision.at - origin) / size, decision, last / size)

    told = "still on its way" if decision is None else f"{decision.event} after {decision.at - origin:,.0f} s"
    return Plot(
        "evidence",
        title,
        "Red: the e-value against the challenger, which rolls back at the dashed line. Blue: the one that it is not "
        "worse by the margin, which a pass needs.",
        f"Evidence of rollout {found.id} over {len(explanation.points):,} batches: {told}. {found.reason}",
        True,
        render(draw, WIDE, 1.2 + 1.05 * len(needed)),
    )


@dataclass(frozen=True)
class _Line:
    """One curve of a panel, in decimal logarithms, and the threshold at which it says something."""

    values: Sequence[float]
    threshold: float
    says: str
    color: str


def _panel(axes: Any, name: str, times: Sequence[float], lines: Sequence[_Line]) -> None:
    """One signal over time."""
    high = max(max([line.threshold, *line.values]) for line in lines)
    low = min(min([0.0, *line.values]) for line in lines)
    axes.axhline(0, color=LINE, linewidth=1)
    for line in lines:
        axes.axhline(line.threshold, color=line.color, linewidth=1, linestyle=(0, (4, 3)))
        if line.values:
            values = [*line.values, line.values[-1]]
            axes.plot(times, values, color=line.color, linewidth=1.6, drawstyle="steps-post")
        axes.annotate(
            line.says,
            (0, line.threshold),
            xycoords=("axes fraction", "data"),
            xytext=(4, 1.5),
            textcoords="offset points",
            va="bottom",
            fontsize=7.5,
            color=line.color,
        )
    axes.set_ylim(low - 0.12 * (high - low), high + 0.28 * (high - low))
    every = 1 + int((high - low) // 4)
    ticks = [power for power in range(math.floor(low), math.ceil(high) + 1) if power % every == 0]
    axes.set_yticks(ticks, [_power(power) for power in ticks], fontsize=8)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
    axes.yaxis.set_label_coords(-0.045, 0.5)


def _says(name: str) -> str:
    """What follows when the evidence against the challenger suffices; better models disagree too."""
    return "pauses" if name == DISAGREEMENT else "rolls back"


def _cut(log_e: float, most: float) -> float:
    return min(max(log_e / math.log(10), LOWEST), most)


def _strip(axes: Any, legs: Sequence[Leg], origin: float, last: float, size: float) -> None:
    """The names of the steps above the panels, where there is room for them."""
    for place, leg in enumerate(legs):
        begin, end = _span(leg, origin, last, size)
        axes.axvspan(begin, end, ymax=0.55, color=_BANDS[place % 2], linewidth=0)
        if (end - begin) * size / last > _WIDTH_OF_A_LETTER * len(leg.step):
            axes.text((begin + end) / 2, 0.27, leg.step, ha="center", va="center", fontsize=8.5, clip_on=True)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False)
    axes.spines[:].set_visible(False)


def _mark(top: Any, panels: Sequence[Any], place: float, decision: Decision, last: float) -> None:
    """The decision that ended the way, as a line through all panels."""
    for axes in panels:
        axes.axvline(place, color=INK, linewidth=1.2)
    top.axvline(place, color=INK, linewidth=1.2)
    right = place > last / 2
    label = f" {decision.event} by {shortened(decision.who)} "
    top.text(place, 0.8, label, ha="right" if right else "left", va="center", fontsize=8.5, fontweight="bold")


def _span(leg: Leg, origin: float, last: float, size: float) -> tuple[float, float]:
    return (leg.began - origin) / size, (last if leg.ended is None else leg.ended - origin) / size


def _last_word(explanation: Explanation) -> Decision | None:
    """The decision that ended its way through the steps; None while it goes on."""
    ended = [leg.decision for leg in explanation.legs if leg.decision is not None]
    return ended[-1] if ended and explanation.rollout.ended_at is not None else None


def _power(exponent: int) -> str:
    """A power of ten for an axis: `1`, `100`, `10⁻²`."""
    if 0 <= exponent <= 3:
        return f"{10**exponent:,}"
    return "10" + f"{exponent}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
