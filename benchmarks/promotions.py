"""The relative gate on simulated nights: how often it lets a candidate through that is worse by the margin, and how
often one that is not: `python -m benchmarks.promotions`.

A candidate is promoted if the lower bound of its difference is no lower than -3 points. Exits with 1 when a row fails.
Nights have 2,000 resamples each instead of 10,000: a bound then wavers by some 3 % of its distance from the difference,
to either side. `--quick` is a sample, with bounds as much wider as a sample is less certain;
`--plots docs` draws gates-power.svg.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.people import FURTHER, RARE, USUAL, Scenario, night
from benchmarks.table import HEAD, Row, at_most
from recognizer.evaluation.paired import CONFIDENCE, paired_difference
from recognizer.evaluation.summands import mean_over_classes, share
from recognizer.report.plots import CANDIDATE, CHAMPION, MUTED, NARROW, WRONG, render

MARGIN = 0.03
RESAMPLES = 2_000
CASES = {6: 40, 20: 12, 100: 10}
"""People, and cases of each on average: 240, 240 and 1,000."""
FEW = {10: 24, 12: 20, 15: 16}
"""The same of people who are hardly enough to be drawn as wholes."""
DIFFERENCES = (-0.02, -0.01, 0.0, 0.01, 0.02)
NIGHTS = 1_000
CLASSES = 8


def promoted(scenario: Scenario, people: int, each: int, difference: float, nights: int) -> float:
    """Per cent of nights on which the candidate is promoted; each: cases a person."""
    rng = np.random.default_rng(people)
    drawn = (night(rng, scenario, people, each, difference) for _ in range(nights))
    passed = [paired_difference(*cases, resamples=RESAMPLES, seed=at).low >= -MARGIN for at, cases in enumerate(drawn)]
    return 100 * sum(passed) / nights


def highest(nights: int, *, certain: bool) -> float:
    """Per cent that may be promoted; with two standard errors of the simulation, where it is a sample."""
    alpha = 1 - CONFIDENCE
    return round(100 * (alpha if certain else alpha + 2 * np.sqrt(alpha * CONFIDENCE / nights)), 1)


def at_the_margin(nights: int, results: dict[tuple[int, float], float]) -> Iterator[Row]:
    for people, each in CASES.items():
        share_promoted = promoted(USUAL, people, each, -MARGIN, nights)
        results[people, -MARGIN] = share_promoted
        name = f"worse by the margin, {people} people of {each} cases: promoted of {nights:,} nights"
        if people == min(CASES):  # single cases are drawn, and the verdict says that it holds for the same people only
            yield Row(name, f"{share_promoted:.1f} %", "none: too few people", passed=True)
        else:
            yield at_most(name, share_promoted, highest(nights, certain=nights >= NIGHTS), " %")
    for people, each in FEW.items():
        name = f"worse by the margin, {people} people of {each} cases: promoted of {nights:,} nights"
        yield at_most(name, promoted(USUAL, people, each, -MARGIN, nights), highest(nights, certain=False), " %")
    few, each = next(iter(FEW.items()))
    worst = max((promoted(scenario, few, each, -MARGIN, nights), scenario.name) for scenario in FURTHER)
    name = f"… {worst[1]}, the worst of those below, {few} people"
    yield Row(name, f"{worst[0]:.1f} %", "none: hardly enough people", passed=True)
    for scenario in FURTHER:
        for people, each in ((20, 12), (100, 10), *(((40, 25),) if scenario is RARE else ())):
            name = f"… {scenario.name}, {people} people of {each} cases"
            percent = promoted(scenario, people, each, -MARGIN, nights)
            yield at_most(name, percent, highest(nights, certain=False), " %")


def power(nights: int, results: dict[tuple[int, float], float]) -> Iterator[Row]:
    for people, each in {**CASES, **FEW}.items():
        for difference in DIFFERENCES:
            results[people, difference] = promoted(USUAL, people, each, difference, nights)
        shares = " / ".join(f"{results[people, difference]:.0f}" for difference in DIFFERENCES)
        points = " / ".join(f"{100 * difference:+.0f}".replace("+0", "0") for difference in DIFFERENCES)
        yield Row(
            f"{people} people, {points} points: promoted of {nights:,} nights", f"{shares} %", "none", passed=True
        )


def speed() -> Iterator[Row]:
    """Seconds of one comparison with all its resamples."""
    rng = np.random.default_rng(0)
    for cases, people, most in ((5_000, None, 2.0), (5_000, 500, 2.0), (240, 20, 0.2)):
        labels = rng.integers(0, CLASSES, cases)
        answers = [np.where(rng.random(cases) < 0.95, labels, rng.integers(0, CLASSES, cases)) for _ in range(2)]
        who = None if people is None else [f"p{index}" for index in rng.integers(0, people, cases)]
        accuracy = [share(each == labels) for each in answers]
        f1 = [mean_over_classes("f1", "macro", labels, each, CLASSES) for each in answers]
        for name, (first, second) in (("accuracy", accuracy), (f"macro F1 of {CLASSES} classes", f1)):
            seconds = min(elapsed(partial(paired_difference, first, second, who)) for _ in range(3))
            whose = "each by itself" if people is None else f"of {people} people"
            yield at_most(f"10,000 resamples of {cases:,} cases {whose}, {name}", seconds, most, " s", digits=3)


def elapsed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def draw_plot(folder: Path, results: dict[tuple[int, float], float]) -> None:
    """gates-power.svg, of what the table was made of."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for (people, each), color in zip(CASES.items(), (MUTED, CHAMPION, CANDIDATE), strict=True):
            points = sorted((100 * difference, value) for (of, difference), value in results.items() if of == people)
            drawn = f"{people} people, {people * each:,} cases" + (" (drawn singly)" if people < 10 else "")
            axes.plot(*zip(*points, strict=True), color=color, marker=".", label=drawn)
        axes.axhline(100 * (1 - CONFIDENCE), color=WRONG, linestyle=":", label="at most, worse by the margin")
        axes.axvline(-100 * MARGIN, ymax=0.5, color=WRONG, linestyle=":")  # the legend stands above it
        axes.set_ylim(0, 102)
        axes.set_xlabel("true difference, candidate less champion, points")
        axes.set_ylabel("promoted, %")
        axes.grid()
        axes.legend(fontsize=8, loc="upper left")

    (folder / "gates-power.svg").write_bytes(render(draw, NARROW, 3.6))
    print(folder / "gates-power.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 nights a row instead of 1,000")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw gates-power.svg there as well")
    arguments = parser.parse_args()
    nights = NIGHTS // 10 if arguments.quick else NIGHTS
    began, rows = time.perf_counter(), []
    results: dict[tuple[int, float], float] = {}
    print(HEAD)
    for make in (lambda: at_the_margin(nights, results), lambda: power(nights // 2, results), speed):
        for row in make():
            print(row, flush=True)
            rows.append(row)
    failed = sum(not row.passed for row in rows)
    print(f"\n{len(rows) - failed} of {len(rows)} rows hold, {time.perf_counter() - began:.0f} s")
    if arguments.plots is not None:
        draw_plot(arguments.plots, results)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
