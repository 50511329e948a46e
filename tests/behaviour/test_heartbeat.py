"""What a worker tells the store, and what it does when nobody decides."""

import os

import pytest

from recognizer.rollout.split import Mode, Split
from recognizer.store import evidence, leases, open_store, rollouts, workers
from serving.breaker import RELAPSES
from serving.heartbeat import HOLD_SECONDS, Heartbeat, loaded_by
from serving.latency import Latency
from serving.release import Beside, Problem, Release, Releases
from serving.servable import Opened, Servable
from serving.trial import Trials

ONE, TWO = "1" * 64, "2" * 64


class StandIn:
    """What a heartbeat holds back."""

    held = None


@pytest.fixture
def store(store_url, register_two):
    with open_store(store_url) as opened:
        register_two(opened, ONE, TWO)
        yield opened


class Bench:
    def __init__(self, url):
        self.now = 100.0
        self.trials, self.router = Trials("w", clock=lambda: self.now), StandIn()
        self.releases = Releases()
        self.beat = Heartbeat(
            "w",
            url,
            self.releases,
            self.trials,
            self.router,
            ready=lambda: True,
            problems=lambda: [],
            clock=lambda: self.now,
        )

    def count(self, rollout, bad=frozenset()):
        trial = self.trials.adopt(Split("action", rollout, Mode.CANARY, 2, TWO, 0.05, "salt"), Latency())
        trial.evidence.count(bad, new=True, share=0.05)


@pytest.fixture
def bench(store_url):
    return Bench(store_url)


def test_it_says_that_it_lives_when_something_changed_and_every_second(store, bench):
    bench.beat.step()
    (first,) = workers.list(store)
    assert (first.name, first.generation, first.ready) == ("w", 0, True)
    bench.now += 0.3
    bench.beat.step()
    assert workers.list(store)[0].heartbeat_at == first.heartbeat_at
    bench.releases.publish(Release(7))
    bench.beat.step()
    assert workers.list(store)[0].generation == 7
    before = workers.list(store)[0].heartbeat_at
    bench.now += 1.1
    bench.beat.step()
    assert workers.list(store)[0].heartbeat_at > before
    bench.beat.start()
    bench.beat.stop()
    assert workers.list(store) == []


def test_what_will_never_be_loaded_is_told_and_what_may_come_is_not():
    def refused(kind, digest):
        return Problem("action", digest, {"error": kind, "what": "x"})

    release = Release(1, refused={"a": refused("PackageTampered", ONE)}, missing={"b": refused("NotFound", TWO)})
    assert loaded_by(release) == {ONE: "REFUSED"}


def test_bad_events_are_told_at_once_and_others_every_second(store, bench):
    rollout = rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id
    bench.count(rollout)
    bench.beat.step()
    assert not evidence.waits(store, rollout)
    bench.count(rollout, frozenset({"error"}))
    bench.beat.step()
    assert evidence.waits(store, rollout)
    evidence.number(store, rollout, None)
    (told,) = evidence.of(store, rollout)
    assert (told.batch.challenger.answers, told.batch.challenger.bad, told.batch.share) == (2, {"error": 1}, 0.05)
    bench.count(rollout)
    bench.now += 1.0
    bench.beat.step()
    assert evidence.waits(store, rollout)


def test_a_model_that_goes_on_failing_is_told_at_once(store, bench):
    def call(ok):
        trial.breaker.record(trial.breaker.allow(), ok)

    split = Split("action", 7, Mode.CANARY, 2, TWO, 0.05, "salt")
    trial = bench.trials.adopt(split, Latency())
    champion, challenger = Servable("action", 1, ONE), Servable("action", 2, TWO)
    for servable in (champion, challenger):
        servable.load(lambda: Opened(None, None))
    bench.releases.publish(Release(1, {"action": champion}, beside={"action": Beside(challenger, split, trial)}))
    for _ in range(3):
        call(False)
    bench.beat.step()
    assert workers.relapsed(workers.list(store), 7) == ()
    for _ in range(RELAPSES):
        bench.now += 30
        call(False)
    bench.beat.step()
    (said,) = workers.relapsed(workers.list(store), 7)
    assert said.startswith("w: a probe failed")
    assert workers.relapsed(workers.list(store), 8) == ()
    bench.now += 30
    for _ in range(3):
        call(True)
    bench.beat.step()
    assert workers.relapsed(workers.list(store), 7) == ()


def test_evidence_waits_for_a_store_that_is_away(store, bench, store_url):
    if not store_url.startswith("sqlite"):
        pytest.skip("moves the file of an SQLite store")
    file = store_url.removeprefix("sqlite:///")
    rollout = rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id
    bench.beat.step()
    os.rename(file, file + ".away")
    bench.count(rollout, frozenset({"error"}))
    bench.beat.step()
    bench.count(rollout, frozenset({"error"}))
    bench.beat.step()
    os.rename(file + ".away", file)
    bench.beat.step()
    evidence.number(store, rollout, None)
    assert [told.batch.sequence for told in evidence.of(store, rollout)] == [1, 2]


def test_evidence_of_a_rollout_that_nobody_knows_is_dropped(store, bench):
    bench.count(99, frozenset({"error"}))
    rollout = rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id
    bench.count(rollout, frozenset({"error"}))
    bench.beat.step()
    assert evidence.waits(store, rollout)


def test_shares_are_held_when_nobody_has_decided_for_a_while(store, bench):
    lease = leases.acquire(store, "rollouts", "somebody", 5.0)
    bench.beat.step()
    assert bench.router.held is None
    leases.release(store, lease)
    bench.now += HOLD_SECONDS - 1
    bench.beat.step()
    assert bench.router.held is None
    bench.now += 2
    bench.beat.step()
    assert "no controller for 11 s" in bench.router.held
    leases.acquire(store, "rollouts", "somebody else", 5.0)
    bench.beat.step()
    assert bench.router.held is None
