"""The evidence of a rollout over time, as `recognizer rollout explain --plot` draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from recognizer.explanation import Explanation, Leg, Point
from recognizer.report.plots import CANDIDATE, CHAMPION, INK, LINE, MUTED, WIDE, WRONG, Plot, render
from recognizer.rollout import LOADING
from recognizer.store.clock import moment
from recognizer.tally import DISAGREEMENT

LOWEST = -3.0
"""Decimal logarithm below which a curve is cut: evidence *for* the challenger is no evidence of something new."""
MOST_POINTS = 2_000
"""A curve has at most so many points; more make a file of megabytes and no other picture."""
_COLORS = {
    "error": WRONG,
    "invalid": "#7a4fa3",
    "slow": CHAMPION,
    "misread": "#2f8f6b",
    "success": "#8a6d3b",
    "p95": MUTED,
    DISAGREEMENT: CANDIDATE,
}
_BANDS = ("#eef2f6", "#f8fafb")


def curves(points: Sequence[Point], origin: float) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds since `origin`, and by signal the decimal logarithm of its e-value at these times, cut below `LOWEST`.

    Every curve begins at (0, 0). Of more than `MOST_POINTS` points the highest of each stretch is kept: a curve that
    crossed its threshold is seen to.
    """
    names = list(points[0].against) if points else []
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    seconds = [0.0, *(max(stretch[-1].at - origin, 0.0) for stretch in stretches)]
    return seconds, {
        name: [0.0, *(max(max(one.against[name] for one in stretch) / math.log(10), LOWEST) for stretch in stretches)]
        for name in names
    }


def evidence_curves(explanation: Explanation) -> Plot:
    """One panel per signal that has a threshold; the steps are shaded, every change is a line, the end is marked."""
    origin = explanation.legs[0].began if explanation.legs else explanation.rollout.created_at
    seconds, evidence = curves(explanation.points, origin)
    ends = [leg.ended or leg.began for leg in explanation.legs] + [point.at for point in explanation.points[-1:]]
    last = max(*(end - origin for end in ends), seconds[-1], 1.0) if ends else 1.0
    unit, size = next(
        (name, size) for name, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if last >= 3 * size or size == 1.0
    )
    needed = {name: value / math.log(10) for name, value in explanation.needed.items()}
    shown = list(evidence) or list(needed)
    decision = _telling(explanation)

    def draw(figure: Any) -> None:
        top, *panels = figure.subplots(len(shown) + 1, 1, sharex=True, height_ratios=(0.42, *(1.0 for _ in shown)))
        _steps(top, explanation.legs, origin, last, size)
        for axes, name in zip(panels, shown, strict=True):
            for place, leg in enumerate(explanation.legs):
                axes.axvspan(*_span(leg, origin, last, size), color=_BANDS[place % 2], linewidth=0)
            color = _COLORS.get(name, CANDIDATE)
            high = max([needed[name], *evidence.get(name, [])])
            low = min([0.0, *evidence.get(name, [])])
            axes.axhline(needed[name], color=WRONG, linewidth=1, linestyle=(0, (4, 3)))
            axes.axhline(0, color=LINE, linewidth=1)
            if name in evidence:
                times = [second / size for second in seconds]
                axes.plot(times, evidence[name], color=color, linewidth=1.7, drawstyle="steps-post")
                axes.fill_between(times, evidence[name], 0, step="post", color=color, alpha=0.12, linewidth=0)
            axes.set_ylim(low - 0.15 * (high - low), high + 0.22 * (high - low))
            ticks = [
                power for power in range(math.floor(low), math.ceil(high) + 1) if power % (1 + (high - low) // 6) == 0
            ]
            axes.set_yticks(ticks, [_power(power) for power in ticks])
            axes.set_ylabel(name, rotation=0, ha="right", va="center", color=INK, labelpad=8)
            axes.annotate(
                f"decides at {10 ** needed[name]:,.0f}",
                (1, needed[name]),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7.5,
                color=WRONG,
            )
            if decision is not None:
                axes.axvline((decision[0] - origin) / size, color=INK, linewidth=1.1)
        panels[-1].set_xlim(0, last / size)
        panels[-1].set_xlabel(f"{unit} since {moment(origin):%Y-%m-%d %H:%M:%S} UTC")
        if decision is not None:
            top.axvline((decision[0] - origin) / size, color=INK, linewidth=1.1)

    found = explanation.rollout
    told = (
        "still on its way"
        if decision is None
        else f"{decision[1]} after {timedelta(seconds=round(decision[0] - origin))}"
    )
    return Plot(
        "evidence",
        f"Rollout {found.id} of task {found.task}: version {found.version} against {found.champion_version}",
        "e-value against the challenger; at the dashed line a signal decides.",
        f"Evidence of rollout {found.id} over {len(explanation.points):,} batches: {told}. {found.reason}",
        True,
        render(draw, WIDE, 1.2 + 1.05 * len(shown)),
    )


def _steps(axes: Any, legs: Sequence[Leg], origin: float, last: float, size: float) -> None:
    """The names of the steps, as a strip above the panels."""
    for place, leg in enumerate(legs):
        begin, end = _span(leg, origin, last, size)
        axes.axvspan(begin, end, color=_BANDS[place % 2], linewidth=0)
        wide = (end - begin) * size / last > 0.013 * len(leg.step)
        if wide:
            axes.text((begin + end) / 2, 0.5, leg.step, ha="center", va="center", fontsize=8.5, clip_on=True)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _span(leg: Leg, origin: float, last: float, size: float) -> tuple[float, float]:
    return (leg.began - origin) / size, (last if leg.ended is None else leg.ended - origin) / size


def _telling(explanation: Explanation) -> tuple[float, str] | None:
    """When and how the rollout ended its way; None while it goes on."""
    ended = [leg.decision for leg in explanation.legs if leg.decision is not None]
    if not ended or explanation.rollout.is_open or explanation.rollout.position < LOADING:
        return None
    return ended[-1].at, f"{ended[-1].event} by {ended[-1].who}"


def _power(exponent: int) -> str:
    """A power of ten for an axis: `1`, `100`, `10⁻²`."""
    if 0 <= exponent <= 3:
        return f"{10**exponent:,}"
    return "10" + f"{exponent}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
