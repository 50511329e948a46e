"""Swaps under load: no request fails or mixes two releases, nothing is left in memory, every worker follows at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.home import Shelf
from benchmarks.rollout import allowed, crownings, promote_first, start, until_ended
from benchmarks.service import PATIENCE, Service, capacity, plan, running, wait_for
from benchmarks.table import Row, at_most, told
from recognizer.store import Store, open_store
from recognizer.traffic import Sent, TrafficReport

BAKE_SECONDS = 0.2
LOAD = 0.5
"""Share of the capacity that is asked for while models are swapped."""
SAMPLES = 5


def swap_rows(root: Path, models: Sequence[Path], windows: Sequence[Sent], swaps: int, requests: int) -> list[Row]:
    """Each swap is a whole rollout by the controller: load beside, promote, bake, free the one before."""
    shelf = Shelf(root, models)
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        versions = [shelf.add(store=store) for _ in range(swaps)]
        with running(root, 2) as service:
            rate = LOAD * capacity(service, windows, 1000)
            # a few seconds more than the swaps need: the requests have to last as long as they
            seconds = max(requests / rate, 1.2 * swaps)
            sending = service.send(plan(service, windows, rate=rate, seconds=seconds * 1.02 + 2))
            time.sleep(1)
            memory = _swap(service, shelf, store, versions, seconds)
            report = sending.result()
            follows = _follows(service, store)
        mixed = _mixed(report, store)
    early, late = memory
    grown = max(late[pid] / early[pid] for pid in late)
    load = f"{swaps} swaps under load, 2 workers, {report.requests:,} requests at {rate:.0f}/s"
    return [
        at_most(f"{load}: failed{told(report)}", report.failed, 0, digits=0),
        at_most(f"{load}: with mixed generations", mixed, 0, digits=0),
        at_most(f"{load}: requests that are missing", max(requests - report.requests, 0), 0, digits=0),
        at_most(
            f"resident memory of a worker after {swaps} swaps against after {swaps // 5}", 100 * (grown - 1), 5, " %"
        ),
        at_most(
            f"every worker on a new release, from the commit: worst of {len(follows)} (median "
            f"{sorted(follows)[len(follows) // 2] * 1000:.0f} ms)",
            1000 * max(follows),
            250,
            " ms",
            0,
        ),
    ]


def _swap(
    service: Service, shelf: Shelf, store: Store, versions: Sequence[int], seconds: float
) -> tuple[dict[int, int], dict[int, int]]:
    """Do it, spread over the time; resident bytes of each worker after a fifth of the swaps and after the last.

    Both are medians of the `SAMPLES` swaps that end there: from one swap to the next it goes up and down by 4 %.
    """
    began = time.monotonic()
    resident: list[dict[int, int]] = []
    for number, version in enumerate(versions, start=1):
        rollout = start(shelf, store, version, promote_first(0.0, BAKE_SECONDS))
        until_ended(store, rollout)
        resident.append(_settled(service))
        due = began + seconds * number / len(versions)
        time.sleep(max(due - time.monotonic(), 0))
    fifth = max(len(versions) // 5, 1)
    return _medians(resident[max(fifth - SAMPLES, 0) : fifth]), _medians(resident[-SAMPLES:])


def _medians(samples: Sequence[dict[int, int]]) -> dict[int, int]:
    return {pid: int(statistics.median(sample[pid] for sample in samples)) for pid in samples[-1]}


def _settled(service: Service) -> dict[int, int]:
    """Resident bytes once nothing that was replaced is left."""
    wait_for(
        lambda: all(health["retiring"] == 0 and not health["splits"] for health in service.healths().values()),
        "end of the models that were replaced",
        PATIENCE,
    )
    time.sleep(0.3)
    return service.memory()


def _follows(service: Service, store: Store) -> list[float]:
    """Seconds from each change of the champion to each worker's own publication of it."""
    published = service.published()
    found = []
    for crowned in crownings(store)[1:]:
        for worker in {one.worker for one in published}:
            moments = [one.at for one in published if one.worker == worker and one.generation >= crowned.generation]
            found.append(min(moments) - crowned.at if moments else float("inf"))
    return found


def _mixed(report: TrafficReport, store: Store) -> int:
    """Answers whose version does not belong to their generation."""
    fits = allowed(store)
    seen = {(one.generation, one.arm, one.version) for one in report.answers if one.failure is None}
    wrong = {
        (generation, arm, version)
        for generation, arm, version in seen
        if generation is None or arm is None or version is None or not fits(generation, arm, version)
    }
    return sum((one.generation, one.arm, one.version) in wrong for one in report.answers if one.failure is None)
