"""How long answers take, candidate beside champion in one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recognizer.checks import figure as number
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.measured import Costs
from recognizer.gates.budgets import threshold_of
from recognizer.gates.config import Budget
from recognizer.report.plots import CANDIDATE, CHAMPION, LINE, MUTED, NARROW, WRONG, Plot, render

NEAR = 3.0
"""A limit beyond so many times the slowest answer is told in words: it would squeeze everything else."""
WIDE_RANGE = 15.0
"""Slowest over fastest from which on the axis is logarithmic."""
MARKED = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95}


def latency_plot(costs: Costs, budgets: Mapping[str, Budget] | None) -> Plot:
    """The share of the answers that took at most so long; the medians and p95 are marked.

    Args:
        budgets: metric → budget, whose limits are marked when they are near; None: nothing is marked.
    """
    models = [("candidate", costs.candidate, CANDIDATE)]
    if costs.champion is not None:
        models.append(("champion", costs.champion, CHAMPION))
    times = [time for _, one, _ in models for time in one.latencies_ms]
    fastest, slowest = max(min(times), 1e-3), max(times)
    limits = {name: _limit(budgets[name], name, costs) for name in MARKED if budgets is not None and name in budgets}
    near = {name: limit for name, limit in limits.items() if limit <= NEAR * slowest}

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for name, one, color in reversed(models):  # the candidate on top
            ordered = np.sort(one.latencies_ms)
            shares = np.arange(1, len(ordered) + 1) / len(ordered)
            axes.step([ordered[0], *ordered], [0, *shares], where="post", color=color, linewidth=1.8, label=name)
            for metric, share in MARKED.items():
                axes.scatter([one.metrics[metric]], [share], s=34, color=color, zorder=4)
        for name, limit in near.items():
            axes.plot([limit] * 2, [0, MARKED[name]], color=WRONG, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                f"limit of p{100 * MARKED[name]:.0f}",
                (limit, 0.03),
                xytext=(-2, 0),
                textcoords="offset points",
                rotation=90,
                ha="right",
                color=WRONG,
                fontsize=8,
            )
        for share in MARKED.values():
            axes.axhline(share, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.set(ylim=(0, 1.03), xlabel="ms for one case", ylabel="share of answers")
        axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0", "25 %", "50 %", "75 %", "95 %"])
        if slowest / fastest > WIDE_RANGE:
            _logarithmic(axes, fastest, max([slowest, *near.values()]))
        axes.grid(axis="x", color=LINE)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8.5, borderaxespad=0.2)

    told = "; ".join(
        f"{name} p50 {_ms(one, 'latency_p50_ms')}, p95 {_ms(one, 'latency_p95_ms')}" for name, one, _ in models
    )
    far = [f"{number(limit)} ms for p{100 * MARKED[name]:.0f}" for name, limit in limits.items() if name not in near]
    beyond = f" The limits lie far to the right: {', '.join(far)}." if far else ""
    return Plot(
        "latency",
        "Time of an answer",
        f"{told[0].upper()}{told[1:]} (dots); both answered the same cases in turn.{beyond}"
        if costs.champion is not None
        else f"{told[0].upper()}{told[1:]} (dots).{beyond}",
        f"Distribution of the time of an answer: {told}.{beyond}",
        False,
        render(draw, NARROW, 3.4),
    )


def _ms(one: Footprint, metric: str) -> str:
    return f"{number(one.metrics[metric], 2)} ms"


def _logarithmic(axes: Any, low: float, high: float) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    axes.set_xscale("log")
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    shown = [tick for tick in ticks if low / 1.3 <= tick <= high * 1.3]
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])


def _limit(budget: Budget, name: str, costs: Costs) -> float:
    """What the gate asks for: the smaller of the limit and what the champion's cost allows."""
    return threshold_of(budget, None if costs.champion is None else costs.champion.metrics[name])[0]
