"""The plots of a report, each an SVG with a caption and a text for those who cannot see it.

The same numbers give the same bytes. Class and subject names come from the user's data: they are never parsed
as mathematics, and whatever font the reader has may draw them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recognizer.evaluation.calibration import calibration_error
from recognizer.evaluation.record import Evaluation
from recognizer.report.table import percent

NARROW, WIDE = 5.5, 11.25  # inches: one column of the page, or both
INK, MUTED, LINE, PAPER = "#1c2733", "#5d6b7a", "#dfe5ec", "#ffffff"
CANDIDATE, SHADE, CHAMPION, WRONG = "#1f6aa5", "#9cc3e0", "#d97a1d", "#b3372b"
MOST_LABELLED = 60
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recognizer",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """`name` is the file's stem; `alt` says in words what the picture shows."""

    name: str
    title: str
    caption: str
    alt: str
    wide: bool
    svg: bytes


def confusion_plot(evaluation: Evaluation) -> Plot:
    counts = np.array(evaluation.confusion)
    k = len(evaluation.classes)
    sizes = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sizes, out=np.zeros(counts.shape), where=sizes > 0)
    wide = k > 9

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1, aspect="equal" if not wide else "auto")
        axes.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=PAPER, linewidth=1.5 if k <= 30 else 0.3)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_label_position("top")
        axes.xaxis.tick_top()
        axes.set_xlabel("answer")
        axes.set_ylabel("label")
        names = [shortened(name) for name in evaluation.classes] if k <= MOST_LABELLED else [""] * k
        rows = [f"{name} ({size})" for name, size in zip(names, sizes[:, 0], strict=True)] if names[0] else names
        axes.set_xticks(range(k), names, rotation=40, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(k), rows)
        if k > 30:
            return
        for row, column in zip(*np.nonzero(counts), strict=True):
            text = f"{counts[row, column]}" if k > 12 else f"{counts[row, column]}\n{percent(shares[row, column])}"
            color = PAPER if shares[row, column] > 0.55 else INK
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8.5 if k <= 12 else 8)

    height = min(1.5 + 0.47 * k, 5.2) if not wide else min(1.8 + 0.36 * k, 14)
    right = int(np.trace(counts))
    return Plot(
        "confusion",
        "Confusion matrix",
        "Rows are labels, columns answers; shade and per cent are shares of the row, whole numbers are cases."
        if k <= 12
        else "Rows are labels, columns answers; the shade is the share of the row, numbers are cases.",
        f"Confusion matrix of {evaluation.n} cases over {k} classes: {right} right, {evaluation.n - right} wrong.",
        wide,
        render(draw, WIDE if wide else NARROW, height),
    )


def reliability_plot(evaluation: Evaluation) -> Plot | None:
    """None where nothing was answered, or not how sure it is."""
    bins = [part for part in evaluation.reliability if part.accuracy is not None and part.confidence is not None]
    if not bins:
        return None
    gap = f"{calibration_error(evaluation.reliability):.3f}"

    def draw(figure: Any) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
        width = evaluation.reliability[0].high - evaluation.reliability[0].low
        middles = [(part.low + part.high) / 2 for part in bins]
        top.bar(middles, [part.accuracy for part in bins], width=width * 0.92, color=SHADE, label="accuracy")
        said = [part.confidence for part in bins]
        top.hlines(
            said, [part.low for part in bins], [part.high for part in bins], color=WRONG, label="mean confidence"
        )
        top.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated")
        top.set(ylim=(0, 1.02), ylabel="accuracy")
        top.grid(axis="y")
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8.5, borderaxespad=0.2)
        bottom.bar(middles, [part.n for part in bins], width=width * 0.92, color=MUTED)
        bottom.set(xlim=(0, 1), xlabel="confidence", ylabel="cases")
        bottom.grid(axis="y")
        bottom.locator_params(axis="y", nbins=3, integer=True)

    return Plot(
        "reliability",
        "Reliability",
        f"Is it as often right as it says? Calibration error {gap} (0 is best).",
        f"Reliability diagram: calibration error {gap}; {len(bins)} bins of confidence hold cases.",
        False,
        render(draw, NARROW, 4.9),
    )


def shortened(name: str, most: int = 24) -> str:
    """A name that fits beside an axis; its middle goes first, since long names often differ at their end."""
    name = " ".join(name.split())
    tail = most // 2 - 1
    return name if len(name) <= most else f"{name[: most - tail - 1].rstrip()}…{name[-tail:].lstrip()}"


def render(draw: Callable[[Any], None], width: float, height: float) -> bytes:
    """Draw on a figure of its own (no pyplot, no global figures) and give the SVG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # names may be in any script; the reader's fonts draw them, not the one used here for measuring
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
        FigureCanvasSVG(figure)
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue().replace(b"'DejaVu Sans'", FONTS.encode())


def _blues() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shares", ["#f4f7fa", SHADE, CANDIDATE, "#12446e"])
