"""What workers tell of themselves, and the evidence they bring."""

import pytest
from sqlalchemy import update

from recognizer.errors import Conflict
from recognizer.judge.evidence import ArmCounts, Batch, PairCounts
from recognizer.store import evidence, open_store, rollouts, workers
from recognizer.store.schema import workers as table

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def store(store_url, register_two):
    with open_store(store_url) as opened:
        register_two(opened, ONE, TWO)
        yield opened


@pytest.fixture
def rollout(store):
    return rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id


def beat(store, name, **more):
    workers.beat(store, name, **{"generation": 3, "loaded": {ONE: "AVAILABLE"}, "ready": True, **more})


def silence(store, name, seconds):
    with store.write() as connection:
        then = table.c.heartbeat_at - seconds
        connection.execute(update(table).where(table.c.name == name).values(heartbeat_at=then))


def test_a_worker_registers_and_goes_on_living(store):
    beat(store, "w1", ready=False, problems=[{"task": "action", "digest": TWO}])
    first = workers.list(store)[0]
    assert (first.name, first.generation, dict(first.loaded), first.ready) == ("w1", 3, {ONE: "AVAILABLE"}, False)
    assert first.problems == ({"task": "action", "digest": TWO},)
    assert first.lives
    silence(store, "w1", 3)
    beat(store, "w1", generation=4)
    second = workers.list(store)[0]
    assert (second.started_at, second.generation, second.ready, second.problems) == (first.started_at, 4, True, ())
    assert second.age < 2


def test_who_is_silent_is_dead_and_who_leaves_is_missed_by_nobody(store):
    for name in ("w2", "w1", "w3"):
        beat(store, name)
    silence(store, "w1", workers.LIVE_SECONDS + 1)
    workers.leave(store, "w3")
    assert [one.name for one in workers.list(store)] == ["w1", "w2"]
    assert [one.name for one in workers.live(store)] == ["w2"]
    assert workers.forget(store, 60) == 0
    assert workers.forget(store, 5) == 1
    assert [one.name for one in workers.list(store)] == ["w2"]


@pytest.mark.parametrize(
    ("states", "lagging", "holds"),
    [
        ((), (), False),  # nobody lives: nobody has loaded it
        (("AVAILABLE", "AVAILABLE"), (), True),
        (("AVAILABLE", "LOADING"), ("w2",), False),
        ((None, "QUIESCING"), ("w1", "w2"), False),
    ],
)
def test_the_load_barrier(store, states, lagging, holds):
    for number, state in enumerate(states, start=1):
        beat(store, f"w{number}", loaded={ONE: "AVAILABLE", **({TWO: state} if state else {})})
    barrier = workers.barrier(workers.live(store), TWO)
    assert (barrier.live, barrier.lagging, barrier.refused, barrier.holds) == (len(states), lagging, (), holds)


def test_who_refuses_a_package_says_why(store):
    problem = {"digest": TWO, "error": "PackageTampered", "what": "model.onnx differs"}
    beat(store, "w1", loaded={TWO: "REFUSED"}, problems=[{"digest": ONE, "error": "x"}, "odd", problem])
    beat(store, "w2", loaded={TWO: "REFUSED"})
    barrier = workers.barrier(workers.live(store), TWO)
    assert barrier.refused == ("w1: PackageTampered: model.onnx differs", "w2: it says no more")
    assert not barrier.holds


def batch(worker, sequence, **more):
    return Batch(worker, sequence, **more)


def names(store, rollout, after=0):
    return [(one.ordinal, one.batch.worker, one.batch.sequence) for one in evidence.of(store, rollout, after=after)]


def test_a_batch_comes_back_as_it_was_sent(store, rollout):
    sent = batch(
        "w1",
        1,
        champion=ArmCounts(900, {"error": 1, "slow": 2}),
        challenger=ArmCounts(90, {"misread": 3}),
        paired={"error": PairCounts(50, 2, 1)},
        compared=40,
        disagreed=4,
    )
    assert evidence.append(store, rollout, [sent]) == 1
    assert evidence.of(store, rollout) == []  # it has no place yet
    assert evidence.number(store, rollout, None) == 1
    assert [(one.ordinal, one.batch) for one in evidence.of(store, rollout)] == [(1, sent)]


def test_batches_sent_again_count_once(store, rollout):
    assert evidence.append(store, rollout, [batch("w1", 1), batch("w1", 2)]) == 2
    assert evidence.append(store, rollout, [batch("w1", 2), batch("w1", 3), batch("w1", 3)]) == 1
    evidence.number(store, rollout, None)
    assert evidence.append(store, rollout, [batch("w1", 1), batch("w2", 1)]) == 1
    assert evidence.append(store, rollout, []) == 0
    assert evidence.number(store, rollout, None) == 4


def test_an_ordinal_is_given_once_and_in_order_within_a_turn(store, rollout):
    evidence.append(store, rollout, [batch("w2", 1), batch("w1", 3), batch("w1", 1), batch("w10", 1)])
    assert evidence.number(store, rollout, None) == 4
    first = [(1, "w1", 1), (2, "w1", 3), (3, "w10", 1), (4, "w2", 1)]
    assert names(store, rollout) == first
    evidence.append(store, rollout, [batch("w1", 2), batch("w0", 9)])  # late, and from somebody new
    assert evidence.number(store, rollout, None) == evidence.number(store, rollout, None) == 6
    assert names(store, rollout) == [*first, (5, "w0", 9), (6, "w1", 2)]
    assert names(store, rollout, after=4) == [(5, "w0", 9), (6, "w1", 2)]


def test_each_rollout_has_its_own_order(store, rollout):
    other = rollouts.get(store, rollout)
    rollouts.request(store, "action", "abort", who="ann")
    again = rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id
    for number in (rollout, again):
        evidence.append(store, number, [batch("w1", 1)])
        assert evidence.number(store, number, None) == 1
    assert other.id != again


def test_evidence_for_no_rollout_is_refused(store):
    with pytest.raises(Conflict, match=r"(?i)foreign key"):
        evidence.append(store, 99, [batch("w1", 1)])
