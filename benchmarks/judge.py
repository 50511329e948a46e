"""The judge on simulated rollouts: how often it is wrong, and how soon it is right: `make bench-judge`.

Exits with 1 when a row fails. `--plots docs` draws the power curves of docs/judge.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rollouts import (
    NEVER,
    USUAL,
    Watch,
    World,
    alike,
    breaker,
    bursts,
    cameras,
    empty,
    independent,
    lost,
    rolled_back,
    routed,
)
from recognizer.judge.limits import JudgeLimits
from recognizer.report.plots import CANDIDATE, CHAMPION, MUTED, NARROW, WRONG, render

LIMITS = JudgeLimits()
WORLDS: dict[str, World] = {
    "independent requests": independent,
    "20 sticky cameras, paired": cameras(20),
    "100 sticky cameras, paired": cameras(100),
    "bursts that hit both": bursts,
    "bursts, and a breaker that opens on them": breaker,
    "empty and tiny batches": empty,
    "lost batches": lost,
}
BATCH = 25  # 100 requests/s over 1 worker, flushed 4 times a second


@dataclass(frozen=True)
class Line:
    """A row of the table: what was measured, the bound, and whether it holds."""

    what: str
    value: float
    most: float | None
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        number = f"{self.value:,.0f}" if self.unit == "requests" else f"{self.value:.2f}"
        bound = "" if self.most is None else f"≤ {self.most:,g}"
        return f"{self.what:76s} {number:>7s} {self.unit:9s} {bound:8s} {'' if self.holds else 'FAILS'}".rstrip()


def errors(rate: float, *, champion: float = USUAL["error"]) -> dict[str, Any]:
    """Usual rates, but for the challenger's errors."""
    return {**alike(), "error": (champion, rate)}


def until_worse(
    rates: dict[str, Any], share: float, runs: int, requests: int, seed: int, workers: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Requests until WORSE, and until the likelihood-ratio test that knows both rates of errors says so; all tests
    running.

    That test (Wald's SPRT, one-sided) is given what nobody has: that the champion's rate is constant and what it is,
    and what the challenger's is if it is worse. It decides after the same batches, at the α of the signal `error`.
    """
    rng = np.random.default_rng(seed)
    watch = Watch(LIMITS, runs, workers=workers)
    old, new = rates["error"]
    ratio, known_at = np.zeros(runs), np.full(runs, NEVER)
    for number in range(requests // BATCH):
        turn = routed(rng, BATCH, share, rates, runs, worker=number % workers)
        watch.add(turn)
        bad = turn.arms["error"][1]
        ratio += bad * np.log(new / old) + (turn.challenger - bad) * np.log((1 - new) / (1 - old))
        known_at[(known_at == NEVER) & (ratio >= -np.log(LIMITS.signals["error"].alpha))] = watch.requests
        if (watch.worse_at < NEVER).all() and (known_at < NEVER).all():
            break
    return watch.worse_at, known_at


def passed(rates: dict[str, Any], runs: int, seed: int, requests: int = 20_000) -> np.ndarray:
    """Requests until a rollout has passed CANARY 5 % and CANARY 9 %, judged after every batch; NEVER if it has not."""
    rng = np.random.default_rng(seed)
    watch = Watch(LIMITS, runs, proofs=True)
    at = np.full(runs, NEVER)
    shares = np.array([0.05, 0.09, 0.09])
    for _ in range(requests // 50):
        watch.add(routed(rng, 50, shares[watch.step], rates, runs))
        good = watch.good() & (at == NEVER)
        at[good & (watch.step == 1)] = watch.requests
        watch.advance(good & (watch.step < 2))
    return at


def quantile(values: np.ndarray, share: float) -> float:
    """Of values that may be NEVER."""
    return float(np.sort(values)[min(int(np.ceil(share * len(values))) - 1, len(values) - 1)])


def false_alarms(runs: int) -> list[Line]:
    lines = []
    for place, (name, world) in enumerate(WORLDS.items()):
        began = time.perf_counter()
        watch = rolled_back(world, runs, LIMITS, seed=place)
        share = 100 * float((watch.worse_at < NEVER).mean())
        lines.append(Line(f"A/A, {name}: rolled back of {runs:,}", share, 100 * LIMITS.alpha, "%"))
        print(f"{lines[-1]}  [{time.perf_counter() - began:.0f} s]", flush=True)
    naive = rolled_back(cameras(20, paired=False), max(runs // 20, 50), LIMITS, seed=99)
    share = 100 * float((naive.worse_at < NEVER).mean())
    lines.append(Line("  for contrast: 20 sticky cameras taken for independent requests", share, None, "%"))
    print(lines[-1], flush=True)
    return lines


def detection(runs: int) -> list[Line]:
    ours, known = until_worse(errors(0.05), 0.09, runs, 12_000, seed=11)
    p95, best = quantile(ours, 0.95), quantile(known, 0.95)
    what = "champion 0.2 % errors, challenger 5 %, share 9 %: requests to WORSE, p50"
    lines = [
        Line(what, quantile(ours, 0.5), None, "requests"),
        Line("  p95", p95, 3000, "requests"),
        Line("  p95 of the likelihood-ratio test that knows both rates", best, None, "requests"),
        Line("  ratio at p95", p95 / best, 1.5, "x"),
    ]
    print(*lines, sep="\n", flush=True)
    return lines


def passing(runs: int) -> list[Line]:
    lines = []
    for place, (name, signal) in enumerate(LIMITS.signals.items()):
        if signal.proof:
            rates = {**alike(), name: (USUAL[name], USUAL[name] + signal.tolerance + 0.02)}
            share = 100 * float((passed(rates, runs, seed=20 + place) < NEVER).mean())
            what = f"{name} 2 points worse than tolerated: passes the CANARY steps of {runs:,}"
            lines.append(Line(what, share, 100 * LIMITS.pass_alpha, "%"))
            print(lines[-1], flush=True)
    equal = passed(alike(), max(runs // 2, 50), seed=30)
    what = "an equal challenger: requests until both CANARY steps are passed, p50"
    lines.append(Line(what, quantile(equal, 0.5), None, "requests"))
    lines.append(Line("  passed within 20,000 requests", 100 * float((equal < NEVER).mean()), None, "%"))
    print(*lines[-2:], sep="\n", flush=True)
    return lines


def draw_plots(folder: Path, runs: int) -> None:
    """judge-delay.svg, judge-power.svg, judge-pass.svg."""
    rates = (0.006, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.15, 0.3, 0.6)
    delays = {
        share: [until_worse(errors(rate), share, runs, 20_000, seed=1) for rate in rates] for share in (0.05, 0.09)
    }

    def delay(figure: Any) -> None:
        axes = figure.add_subplot()
        for share, color in ((0.05, CHAMPION), (0.09, CANDIDATE)):
            for test, style, name in ((0, "-", "judge"), (1, ":", "knows the rates")):
                points = [quantile(pair[test], 0.95) for pair in delays[share]]
                axes.plot(
                    [100 * rate for rate, point in zip(rates, points, strict=True) if point < NEVER],
                    [point for point in points if point < NEVER],
                    style, color=color, label=f"{name}, share {100 * share:.0f} %", marker="." if not test else None,
                )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_yticks([100, 1_000, 10_000], ["100", "1,000", "10,000"])
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.minorticks_off()
        axes.set_xlabel("challenger's errors, % (champion 0.2 %)")
        axes.set_ylabel("requests to WORSE, p95")
        axes.grid()
        axes.legend(fontsize=8)

    def power(figure: Any) -> None:
        axes = figure.add_subplot()
        for within, color in ((2_000, MUTED), (5_000, CHAMPION), (20_000, CANDIDATE)):
            shares = [100 * float((pair[0] <= within).mean()) for pair in delays[0.09]]
            axes.plot([100 * r for r in rates], shares, color=color, marker=".", label=f"within {within:,} requests")
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.minorticks_off()
        axes.set_xlabel("challenger's errors, % (champion 0.2 %), share 9 %")
        axes.set_ylabel("rolled back, %")
        axes.grid()
        axes.legend(fontsize=8)

    more = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03)
    passes = [passed(errors(USUAL["error"] + extra), runs, seed=2) for extra in more]

    def passing_curve(figure: Any) -> None:
        axes = figure.add_subplot()
        for within, color in ((5_000, MUTED), (10_000, CHAMPION), (20_000, CANDIDATE)):
            shares = [100 * float((at <= within).mean()) for at in passes]
            axes.plot([100 * e for e in more], shares, color=color, marker=".", label=f"within {within:,} requests")
        axes.axhline(100 * LIMITS.pass_alpha, color=WRONG, linestyle=":", label="at most, from 2 points on")
        axes.set_xlabel("points by which the challenger's errors lie above the champion's 0.2 %")
        axes.set_ylabel("passed both CANARY steps, %")
        axes.grid()
        axes.legend(fontsize=8)

    for name, draw in (("delay", delay), ("power", power), ("pass", passing_curve)):
        (folder / f"judge-{name}.svg").write_bytes(render(draw, NARROW, 3.6))
        print(folder / f"judge-{name}.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="rollouts of each A/A row")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the power curves there instead")
    arguments = parser.parse_args()
    if arguments.plots is not None:
        draw_plots(arguments.plots, max(arguments.runs // 10, 50))
        return 0
    began = time.perf_counter()
    runs = arguments.runs
    lines = [*false_alarms(runs), *detection(max(runs // 2, 50)), *passing(max(runs // 5, 50))]
    failed = [line for line in lines if not line.holds]
    print(f"{len(lines) - len(failed)} of {len(lines)} rows hold, {time.perf_counter() - began:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
