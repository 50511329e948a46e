"""Challengers that misbehave, workers that are killed, a store that is gone: what clients notice of it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from benchmarks.home import Shelf, sure_window, unsure_window
from benchmarks.loading import LOAD
from benchmarks.rollout import (
    LOOSE,
    canary_first,
    event_at,
    promote_first,
    slow_shadow,
    start,
    until,
    until_ended,
    until_step,
)
from benchmarks.service import Service, capacity, monotonic, plan, running, wait_for
from benchmarks.table import Row, told
from recognizer.rollout.plan import Plan, Step, make_plan
from recognizer.rollout.state import Phase, Rollout
from recognizer.store import Store, freezes, open_store, quarantine, rollouts
from recognizer.store.served import read_generation
from recognizer.traffic import Sent, TrafficPlan, TrafficReport
from serving.breadcrumb import read_breadcrumb

KINDS = {
    "raises": "always raises",
    "hangs": "hangs in a loop of nodes",
    "nan": "returns NaN",
    "shape": "returns wrong shapes",
    "sum": "returns scores that do not sum",
    "allocates": "asks for more memory than there is",
    "grows": "allocates without end",
}
RATE = 100.0
"""Requests a second where the model is a tiny one; otherwise a share of the capacity (`LOAD`)."""
MEMORY_MB = 128
PAUSE = 4.0
BACK_SECONDS = 15.0
IN_FLIGHT = "only of those in flight"


def bad_rows(root: Path, kinds: Sequence[str]) -> list[Row]:
    """Each kind takes part first in a CANARY, then as the new champion of a BAKE: what SHADOW sees harms nobody."""
    shelf, rows = Shelf(root), []
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        # a champion that fails everything in its bake is known by its breaker, after four pauses
        with running(root, 2, challenger_memory_mb=MEMORY_MB, breaker_seconds=PAUSE) as service:
            for kind in kinds:
                for name, made in (("CANARY", canary_first()), ("BAKE", promote_first())):
                    version = shelf.bad(kind, store)
                    sending = service.send(plan(service, [sure_window()], rate=RATE, seconds=60))
                    time.sleep(1.5)
                    began = time.monotonic()
                    ended = until_ended(store, start(shelf, store, version, made))
                    took = time.monotonic() - began
                    time.sleep(1.5)
                    report = sending.end()
                    stuck = sum(health["stuck"] for health in service.healths().values())
                    rows.append(_bad(f"challenger {KINDS[kind]}, in {name}", store, ended, report, took, stuck))
    return rows


def _bad(name: str, store: Store, rollout: Rollout, report: TrafficReport, took: float, stuck: int) -> Row:
    out = rollout.phase is Phase.ABORTED and quarantine.find(store, rollout.digest) is not None
    failed = f"{report.failed} failed{told(report)}, {report.all.recovered} recovered"
    figure = f"{failed}, out after {took:.1f} s, {stuck} threads stuck"
    return Row(name, figure, "0 failed, ABORTED and quarantined, ≤ 4 stuck", out and not report.failed and stuck <= 4)


def breaker_rows(root: Path, turns: int) -> list[Row]:
    """One worker, a CANARY of 9 %, in a frozen task: nobody but the breaker acts."""
    shelf, rows = Shelf(root), []
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        with running(root, 1, breaker_seconds=PAUSE) as service:  # of one that opened early the judge knows little
            for percent, bound in ((100, 1.0), (20, 5.0)):
                mix = [sure_window() if 100 * i < percent * 10 else unsure_window() for i in range(10)]
                times = [_opening(service, shelf, store, mix) for _ in range(turns)]
                figure = f"median {median(times):.2f} s, worst of {turns} {max(times):.2f} s"
                name = f"breaker opens at {percent} % failures, {RATE:.0f} requests/s, share 9 %"
                rows.append(Row(name, figure, f"median ≤ {bound:g} s", median(times) <= bound))
    return rows


def _opening(service: Service, shelf: Shelf, store: Store, mix: Sequence[Sent]) -> float:
    """Seconds from the publication of the share to the open breaker."""
    version = shelf.bad("raises", store)
    sending = service.send(plan(service, mix, rate=RATE, seconds=60))
    rollout = start(shelf, store, version, canary_first())
    until_step(store, rollout, Step.CANARY)
    with contextlib.suppress(Exception):  # it may have ended before
        freezes.freeze(store, "action", who="benchmark")
    generation = read_generation(store)  # the service may not have come that far
    published = wait_for(
        lambda: [one.at for one in service.published() if one.generation >= generation], "publication of the share"
    )
    began = monotonic(min(published))

    def opened() -> bool:
        splits = service.get("/health")[1]["splits"]
        return not splits or splits["action"]["breaker"]["state"] == "OPEN"

    wait_for(opened, "open breaker", 30, pause=0.01)
    took = time.monotonic() - began
    freezes.unfreeze(store, "action", who="benchmark")
    until_ended(store, rollout)
    sending.end()
    return took


def rollback_rows(root: Path, turns: int) -> list[Row]:
    """A challenger that fails every fifth request is found out; who answered after the verdict?"""
    mix = [sure_window(), *[unsure_window()] * 4]
    shelf, rows = Shelf(root), []
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        # the breaker would take it out before the judge: here it must not
        with running(root, 2, breaker_failures=1000) as service:
            for name, made in (("CANARY", canary_first()), ("BAKE", promote_first())):
                lasts, takes, failed = [], [], 0
                for _ in range(turns):
                    version = shelf.bad("raises", store)
                    sending = service.send(plan(service, mix, rate=2 * RATE, seconds=90))
                    time.sleep(1)
                    rollout = start(shelf, store, version, made)
                    began = time.monotonic()
                    until_ended(store, rollout)
                    takes.append(time.monotonic() - began)
                    time.sleep(1)
                    report = sending.end()
                    failed += report.failed
                    verdict = monotonic(event_at(store, rollout, "abort"))
                    ends = [one.due + one.latency for one in report.answers if one.version == version]
                    lasts.append(1000 * max([end - verdict for end in ends], default=0.0))
                figure = f"worst of {turns} {max(lasts):.0f} ms, {failed} failed; out after {max(takes):.1f} s"
                bound = "< 250 ms, 0 failed, out ≤ 60 s"
                passed = max(lasts) < 250 and not failed and max(takes) <= 60
                rows.append(Row(f"rollback in {name}: from the verdict to its last answer", figure, bound, passed))
    return rows


Reach = Callable[[Store, Rollout], Rollout]
POINTS: dict[str, tuple[Callable[[], Plan], Reach]] = {
    "LOADING": (lambda: make_plan(judge=LOOSE), lambda store, one: one),
    "SHADOW": (slow_shadow, lambda store, one: until_step(store, one, Step.SHADOW)),
    "CANARY": (lambda: canary_first(LOOSE), lambda store, one: until_step(store, one, Step.CANARY)),
    "PROMOTE": (
        lambda: promote_first(judge=LOOSE),
        lambda store, one: until(store, one, lambda it: it.promoted, "promotion", 30),
    ),
    "BAKE": (lambda: promote_first(judge=LOOSE), lambda store, one: _after(until_step(store, one, Step.BAKE))),
}


def _after(rollout: Rollout) -> Rollout:
    """A moment later."""
    time.sleep(0.5)
    return rollout


def kill_rows(root: Path, models: Sequence[Path], windows: Sequence[Sent], points: Sequence[str]) -> list[Row]:
    """`kill -9` of one worker at every point of a rollout, and of all of them at the last one."""
    shelf, rows = Shelf(root, models), []
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        with running(root, 2) as service:
            rate = LOAD * capacity(service, windows, 1000)
            traffic = partial(plan, service, rate=rate, seconds=120, timeout=20.0)
            for point in points:
                rows.append(_kill(service, shelf, store, traffic(windows), point, workers=1))
            rows.append(_kill(service, shelf, store, traffic(windows), points[-1], workers=2))
            rows.append(_fault(service, shelf, store, traffic([sure_window()])))
    return rows


@dataclass(frozen=True)
class Struck:
    """When workers were hit, and when the last of them was gone, by `time.monotonic()`: until then the system takes
    requests for a process that will answer none."""

    hit: float
    gone: float

    @classmethod
    def by(cls, victims: Sequence[psutil.Process], how: signal.Signals) -> Struck:
        hit = time.monotonic()
        for victim in victims:
            victim.send_signal(how)
        wait_for(lambda: all(_gone(victim) for victim in victims), "end of the workers", pause=0.001)
        return cls(hit, time.monotonic())

    def lost(self, report: TrafficReport) -> tuple[str, bool]:
        """How many requests failed of those that were in flight; whether no other failed."""
        flying = [
            one for one in report.answers if one.due + one.late <= self.gone and one.due + one.latency >= self.hit
        ]
        failed = sum(one.failure is not None for one in flying)
        others = report.failed - failed
        return f"{failed} failed of {len(flying)} in flight, {others} others{told(report)}", not others


def _gone(process: psutil.Process) -> bool:
    """Whether its sockets are closed: its last thread does that, and the first one may have ended before."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def _kill(service: Service, shelf: Shelf, store: Store, traffic: TrafficPlan, point: str, workers: int) -> Row:
    version = shelf.add(store=store)
    sending = service.send(traffic)
    time.sleep(1)
    made, reach = POINTS[point]
    rollout = reach(store, start(shelf, store, version, made()))
    victims = service.workers()[:workers]
    struck = Struck.by(victims, signal.SIGKILL)
    back = back_after(service, {victim.pid for victim in victims})
    time.sleep(0.5)
    now = rollouts.get(store, rollout.id)
    if now.ended_at is None and point == "SHADOW":
        rollouts.request(store, "action", rollouts.Wish.ABORT, who="benchmark", home=shelf.home)
    ended = until_ended(store, rollout, 90)
    report = sending.end()
    consistent = ended.phase is (Phase.ABORTED if point == "SHADOW" else Phase.HEALTHY)
    consistent &= quarantine.find(store, ended.digest) is None
    failed, none_else = struck.lost(report)
    figure = f"{failed}, back after {back:.1f} s, rollout {ended.phase}"
    who = "one worker" if workers == 1 else "all workers"
    passed = consistent and back <= BACK_SECONDS and none_else
    return Row(f"kill -9 of {who} in {point}", figure, f"{IN_FLIGHT}, back ≤ 15 s, goes on", passed)


def back_after(service: Service, killed: set[int]) -> float:
    """Seconds until as many workers as before answer again, without those that were just killed."""
    began, seen = time.monotonic(), set[int]()
    while time.monotonic() < began + 60:
        with contextlib.suppress(OSError):
            status, health = service.get("/ready")
            if status == 200 and health["worker"] not in killed:
                seen.add(health["worker"])
        if len(seen) == service.count:
            return time.monotonic() - began
        time.sleep(0.02)
    return float("inf")


def _fault(service: Service, shelf: Shelf, store: Store, traffic: TrafficPlan) -> Row:
    """A worker gets a segmentation fault while the challenger runs: the digest is out at once."""
    version = shelf.bad("hangs", store)
    sending = service.send(traffic)
    time.sleep(1)
    rollout = until_step(store, start(shelf, store, version, slow_shadow()), Step.SHADOW)
    victim = busy_with(service, shelf, rollout.digest)
    struck = Struck.by([psutil.Process(victim)], signal.SIGSEGV)
    ended = until_ended(store, rollout)
    out = time.monotonic() - struck.hit
    back_after(service, {victim})
    report = sending.end()
    quarantined = quarantine.find(store, ended.digest) is not None
    failed, none_else = struck.lost(report)
    figure = f"{failed}, {ended.phase} after {out:.1f} s: {ended.reason}"
    passed = ended.phase is Phase.ABORTED and quarantined and "died of it" in ended.reason and none_else
    return Row("segmentation fault while the challenger runs", figure, f"{IN_FLIGHT}, quarantined", passed)


def busy_with(service: Service, shelf: Shelf, digest: str) -> int:
    """Process id of a worker that has a run of the model in flight."""

    def busy() -> int:
        running = {worker.pid for worker in service.workers()}
        for path in shelf.home.workers.iterdir():
            left, pid = read_breadcrumb(path), int(path.name.split(":")[1])
            if left is not None and digest in left.in_flight and pid in running:
                return pid
        return 0

    return wait_for(busy, "run of the challenger", pause=0.005)


def store_row(root: Path, models: Sequence[Path], windows: Sequence[Sent], seconds: float) -> Row:
    """The store's files are moved away in a CANARY, and put back."""
    shelf = Shelf(root, models)
    with open_store(shelf.url) as store, contextlib.ExitStack() as stack:
        shelf.promote(shelf.add(store=store), store)
        version = shelf.add(store=store)
        service = stack.enter_context(running(root, 2))
        rate = LOAD * capacity(service, windows, 1000)
        sending = service.send(plan(service, windows, rate=rate, seconds=seconds + 60))
        time.sleep(1)
        rollout = until_step(store, start(shelf, store, version, canary_first(LOOSE)), Step.CANARY)
        hidden = sorted(shelf.home.root.glob("recognizer.db*"))
        for path in hidden:
            path.rename(path.with_name(f"away-{path.name}"))
        time.sleep(min(seconds, 10.0) + 1.5)
        held = all(health["held"] for health in service.healths().values())
        time.sleep(max(seconds - 11.5, 0))
        for path in hidden:
            path.with_name(f"away-{path.name}").rename(path)
        began = time.monotonic()
        wait_for(lambda: not any(h["held"] for h in service.healths().values()), "shares that are given again")
        back = time.monotonic() - began
        ended = until_ended(store, rollout, 60)
        report = sending.end()
    failed = f"{report.failed} failed{told(report)}"
    figure = f"{failed}, shares held: {held}, given again after {back:.1f} s, rollout {ended.phase}"
    passed = held and not report.failed and ended.phase is Phase.HEALTHY
    return Row(f"store gone for {seconds:.0f} s in CANARY", figure, "0 failed, held, goes on", passed)
