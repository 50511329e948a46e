"""The evidence of a rollout over time, as one picture: what `recognizer rollout explain --plot` shows."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from recognizer.judge import Moment
from recognizer.limits import JudgeLimits
from recognizer.report.plots import CANDIDATE, CHAMPION, LINE, MUTED, WIDE, WRONG, Plot, render
from recognizer.tally import DISAGREEMENT

_COLORS = (WRONG, CHAMPION, "#7a4fa3", "#2f8f6b", MUTED, "#8a6d3b", CANDIDATE)


def evidence_plot(moments: Sequence[Moment], limits: JudgeLimits) -> Plot:
    """Evidence against the challenger and for it, each as a share of what its verdict needs (in logarithms): 1 decides.

    So one line at 1 serves all signals, though each has an α of its own.
    """
    needed = {name: -log(part.alpha) for name, part in limits.signals.items()}
    needed |= {name: -log(guard.alpha) for name, guard in limits.guards.items()}
    needed[DISAGREEMENT] = -log(limits.disagreement_alpha)
    names = list(moments[-1].evidence) if moments else []
    requests = [sum(moment.answers) for moment in moments]
    proofs = [name for name, signal in limits.signals.items() if signal.proof]

    def draw(figure: Any) -> None:
        against, proof = figure.subplots(1, 2, sharex=True)
        for name, color in zip(names, _COLORS, strict=False):
            share = [moment.evidence[name] / needed[name] for moment in moments]
            against.plot(requests, share, color=color, label=name, drawstyle="steps-post")
            if name in proofs:
                share = [moment.proof[name] / -log(limits.pass_alpha) for moment in moments]
                proof.plot(requests, share, color=color, label=name, drawstyle="steps-post")
        for axes, title in ((against, "against the challenger"), (proof, "that it is not worse by the margin")):
            axes.axhline(1, color=WRONG, linestyle=":")
            axes.axhline(0, color=LINE)
            axes.set_ylim(bottom=max(axes.get_ylim()[0], -3))
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("answers")
            axes.set_ylabel("log evidence / needed")
            if names:
                axes.legend(fontsize=8)

    last = moments[-1] if moments else None
    told = f"{last.ruling.value}: {last.reason}" if last else "no evidence yet"
    return Plot(
        "evidence",
        "Evidence over time",
        "At the dotted line the evidence suffices.",
        f"Evidence after {len(moments):,} batches. {told}",
        True,
        render(draw, WIDE, 3.4),
    )
