"""What a request notices of a model of 100 MB that is loaded beside, and of a challenger in SHADOW."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.home import MEGABYTES, Shelf
from benchmarks.rollout import slow_shadow, start, until_step
from benchmarks.service import Service, capacity, monotonic, plan, running, wait_for
from benchmarks.table import Row, told
from recognizer.rollout.plan import Step
from recognizer.store import Store, open_store, rollouts
from recognizer.store.served import read_generation
from recognizer.traffic import Latency, Sent, TrafficReport

LOAD = 0.4
"""Share of the capacity that is asked for: one worker of two can carry it alone."""
AFTER = 1.0
"""Seconds after the publication that still count as loading."""
MOST = 1.25
REST = 6.0
"""Seconds of steady state between two loads, after what one leaves behind has passed: about as many requests as fall
into a load, for the p99 of a third of them goes up and down by a third."""
Spans = list[tuple[float, float]]


def loading_rows(root: Path, models: Sequence[Path], windows: Sequence[Sent], turns: int) -> list[Row]:
    shelf = Shelf(root, models)
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        # swapped in turn: whichever serves, the other one has left the memory when it is its turn
        large = [shelf.large(store), shelf.large(store)]
        good = shelf.add(store=store)
        with running(root, 2) as service:
            wanted = LOAD * capacity(service, windows, 2000)
            return [
                _loading(service, shelf, store, windows, large, wanted, turns),
                _shadowing(service, shelf, store, windows, good, wanted, max(turns // 2, 2)),
            ]


def _loading(
    service: Service,
    shelf: Shelf,
    store: Store,
    windows: Sequence[Sent],
    large: Sequence[int],
    rate: float,
    turns: int,
) -> Row:
    seconds = turns * (REST + AFTER + 8)
    sending = service.send(plan(service, windows, rate=rate, seconds=seconds))
    time.sleep(REST)
    loads: Spans = []
    workers = {worker.pid for worker in service.workers()}
    for turn in range(turns):
        began = time.monotonic()
        shelf.promote(large[turn % 2], store)
        generation = read_generation(store)

        def published(wanted: int = generation) -> bool:
            # from the log alone: to look for processes takes 10 ms of a core, in no other moments than these
            return workers <= {one.worker for one in service.published() if one.generation >= wanted}

        wait_for(published, "publication", pause=0.2)
        last = max(one.at for one in service.published() if one.generation == generation)
        loads.append((began, monotonic(last) + AFTER))
        time.sleep(AFTER + REST)
    report = sending.end()
    took = sorted(end - begin - AFTER for begin, end in loads)
    what = f"p99 while a model of {MEGABYTES} MB is loaded and 1 s after, {turns} swaps (a load takes "
    return _against(report, loads, f"{what}{took[len(took) // 2]:.1f} s), at {rate:.0f}/s", time.monotonic())


def _shadowing(
    service: Service, shelf: Shelf, store: Store, windows: Sequence[Sent], version: int, rate: float, turns: int
) -> Row:
    sending = service.send(plan(service, windows, rate=rate, seconds=turns * (2 * REST + 8)))
    time.sleep(REST)
    shadows: Spans = []
    for _ in range(turns):
        rollout = start(shelf, store, version, slow_shadow())
        until_step(store, rollout, Step.SHADOW)
        began = time.monotonic()
        time.sleep(REST)
        shadows.append((began, time.monotonic()))
        rollouts.request(store, "action", rollouts.Wish.ABORT, who="benchmark", home=shelf.home)
        time.sleep(REST + 0.5)
    report = sending.end()
    return _against(report, shadows, f"p99 during SHADOW, {turns} times, at {rate:.0f}/s", time.monotonic())


def _against(report: TrafficReport, spans: Spans, name: str, end: float) -> Row:
    """The p99 inside the spans against that of the rest before `end`."""
    during, steady = latencies(report, spans, spans[0][0] - REST + 0.5, end)  # not the first second of a connection
    assert during.p99 is not None
    assert steady.p99 is not None
    ratio = during.p99 / steady.p99
    figure = (
        f"{ratio:.2f} ({1000 * during.p99:.1f} ms of {during.n:,} against {1000 * steady.p99:.1f} ms of {steady.n:,}), "
        f"{report.failed} failed{told(report)}"
    )
    return Row(name, figure, f"≤ {MOST}, 0 failed", ratio <= MOST and not report.failed)


def latencies(report: TrafficReport, spans: Spans, first: float, end: float) -> tuple[Latency, Latency]:
    """Of requests that were due inside the spans, and of the others from `first` to `end`."""

    def inside(due: float) -> bool:
        return any(begin <= due < finish for begin, finish in spans)

    # what a span leaves behind is neither
    during = report.latency(lambda one: inside(one.due))
    steady = report.latency(lambda one: first <= one.due < end and not inside(one.due) and not inside(one.due - 0.3))
    return during, steady
