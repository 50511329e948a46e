"""What a rollout survives: killed workers, a killed leader, a challenger that kills workers, a store that is gone.

Every point of a rollout at which a worker may be killed: `make bench-swap`.
"""

import contextlib
import os
import signal
import time

import pytest

from benchmarks.faults import BACK_SECONDS, back_after, busy_with
from benchmarks.home import Shelf, sure_window, unsure_window
from benchmarks.rollout import LOOSE, allowed, canary_first, promote_first, slow_shadow, start, until_ended, until_step
from benchmarks.service import plan, running, wait_for
from recognizer.rollout.plan import Step
from recognizer.rollout.state import Phase
from recognizer.rollout.steering import Wish
from recognizer.store import audit, leases, open_store, quarantine, rollouts, workers
from recognizer.store.served import read_served

RATE = 100.0
BUSY = 2 * BACK_SECONDS
"""When a killed worker is back on a machine that does other things too; `make bench-swap` holds it to the figure."""
MOST_IN_FLIGHT = 10
"""Requests that one worker may have in flight at this rate, on a busy machine."""


class Stand:
    """A home, its store and a service on it."""

    def __init__(self, shelf, store, service):
        self.shelf = shelf
        self.store = store
        self.service = service

    @contextlib.contextmanager
    def traffic(self, most_failed, window=None):
        """Inside, the service is asked; at most so many requests may fail, and those by a broken connection."""
        asked = plan(self.service, [window or unsure_window()], rate=RATE, seconds=120.0, timeout=30.0)
        sending = self.service.send(asked)
        try:
            time.sleep(0.5)
            yield
            time.sleep(0.5)
        finally:
            report = sending.end()
        assert report.failed <= most_failed, dict(report.examples)
        assert set(report.failures) <= {"connection"}
        fits = allowed(self.store)
        seen = {(one.generation, one.arm, one.version) for one in report.answers if one.failure is None}
        assert [one for one in seen if not fits(*one)] == []
        assert audit.verify_audit(self.store, self.shelf.home) == []

    def start(self, steps, kind=None):
        version = self.shelf.add(store=self.store) if kind is None else self.shelf.bad(kind, self.store)
        return start(self.shelf, self.store, version, steps)

    def kill(self, victims, way=signal.SIGKILL):
        """Kill them; seconds until as many workers as before are ready again."""
        for pid in victims:
            os.kill(pid, way)
        return back_after(self.service, set(victims))

    def leader(self):
        held = leases.held(self.store, rollouts.LEASE)
        return int(held.holder.split(":")[1]) if held is not None and held.holder else None


@pytest.fixture(scope="module")
def stand_of_all(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("faults") / "home")
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        with running(shelf.home.root, 2) as service:
            yield Stand(shelf, store, service)


@pytest.fixture
def stand(stand_of_all):
    yield stand_of_all
    left = rollouts.current(stand_of_all.store, "action")
    if left is not None and left.is_open:  # the test failed: the next one shall not wait behind it
        rollouts.request(stand_of_all.store, "action", Wish.ABORT, who="test")


def test_the_leader_is_killed_in_a_canary(stand):
    wait_for(stand.leader, "leader")
    with stand.traffic(MOST_IN_FLIGHT):
        rollout = until_step(stand.store, stand.start(canary_first(LOOSE)), Step.CANARY)
        epoch = leases.held(stand.store, rollouts.LEASE).epoch
        assert stand.kill([stand.leader()]) <= BUSY
        ended = until_ended(stand.store, rollout)
    assert ended.phase is Phase.HEALTHY
    assert leases.held(stand.store, rollouts.LEASE).epoch > epoch
    events = [entry.event for entry in audit.of(stand.store, rollout.id) if entry.event != "champion"]
    assert events == ["start", "advance", "promote", "finish"]  # none lost, none twice
    assert len(workers.live(stand.store)) == 2


def test_all_workers_are_killed_in_a_bake(stand):
    with stand.traffic(2 * MOST_IN_FLIGHT):
        rollout = until_step(stand.store, stand.start(promote_first(judge=LOOSE)), Step.BAKE)
        assert stand.kill([worker.pid for worker in stand.service.workers()]) <= BUSY
        ended = until_ended(stand.store, rollout)
    assert ended.phase is Phase.HEALTHY  # whoever kills in silence says nothing about the model


def test_a_fault_while_the_challenger_runs_takes_it_out(stand):
    before = read_served(stand.store).champion("action").version
    with stand.traffic(MOST_IN_FLIGHT, sure_window()):
        rollout = until_step(stand.store, stand.start(slow_shadow(), "hangs"), Step.SHADOW)
        victim = busy_with(stand.service, stand.shelf, rollout.digest)
        back = stand.kill([victim], signal.SIGSEGV)
        ended = until_ended(stand.store, rollout, 20)
    assert back <= BUSY
    assert ended.phase is Phase.ABORTED
    assert "1 worker process(es) died of it in SHADOW" in ended.reason
    assert quarantine.find(stand.store, rollout.digest) is not None
    assert read_served(stand.store).champion("action").version == before


def test_the_store_is_away_for_some_seconds(stand):
    with stand.traffic(0):
        rollout = until_step(stand.store, stand.start(canary_first(LOOSE)), Step.CANARY)
        hidden = sorted(stand.shelf.home.root.glob("recognizer.db*"))
        for path in hidden:
            path.rename(path.with_name(f"away-{path.name}"))
        gone = time.monotonic()
        wait_for(lambda: all(health["held"] for health in stand.service.healths().values()), "shares that are held")
        held_after = time.monotonic() - gone
        for path in hidden:
            path.with_name(f"away-{path.name}").rename(path)
        wait_for(lambda: not any(h["held"] for h in stand.service.healths().values()), "shares given again", 20)
        ended = until_ended(stand.store, rollout)
    assert 8 < held_after < 20
    assert ended.phase is Phase.HEALTHY
