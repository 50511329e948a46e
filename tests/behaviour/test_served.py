"""What should be served, and the events that tell of it."""

import subprocess
import sys

import pytest

from recognizer.errors import Conflict, NoChampion, NotFound
from recognizer.store import open_store, outbox, versions
from recognizer.store.leases import acquire
from recognizer.store.served import CHAMPION_TOPIC, promote, read_generation, read_served

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def url(store_url):
    return store_url


@pytest.fixture
def store(url):
    with open_store(url) as opened:
        for number, digest in enumerate((ONE, TWO, THREE), start=1):
            register(opened, number, digest)
        yield opened


def register(store, number: int, digest: str, task: str = "action") -> None:
    versions.record(
        store, task=task, version=number, digest=digest, snapshot="s", test_digest="t", verdict="PASSED", metrics={}
    )


def crown(store, number: int, digest: str, expected: str | None, task: str = "action", **more):
    return promote(store, task=task, version=number, digest=digest, expected=expected, reason="better", **more)


def test_nothing_is_served_at_first(store):
    served = read_served(store)
    assert (served.generation, dict(served.champions)) == (0, {})
    assert read_generation(store) == 0
    with pytest.raises(NoChampion, match="no champion yet") as caught:
        served.champion("action")
    assert "recognizer nightly action" in caught.value.hint


def test_champions_follow_one_another(store):
    first = crown(store, 1, ONE, None)
    assert (first.version, first.digest, first.previous_digest, first.reason) == (1, ONE, None, "better")
    second = crown(store, 2, TWO, ONE)
    assert second.previous_digest == ONE
    assert second.since >= first.since
    served = read_served(store)
    assert served.generation == read_generation(store) == 2
    assert served.champion("action") == second


def test_promoting_the_champion_again_changes_nothing(store):
    first = crown(store, 1, ONE, None)
    for expected in (None, ONE, TWO):
        assert crown(store, 1, ONE, expected) == first
    assert read_generation(store) == 1
    assert len(outbox.waiting(store)) == 1


@pytest.mark.parametrize(("expected", "named"), [(None, "no champion"), (TWO, TWO[:12])])
def test_a_decision_against_another_champion_is_refused(store, expected, named):
    crown(store, 1, ONE, None)
    with pytest.raises(Conflict, match=f"served by {ONE[:12]}, the decision was made against {named}"):
        crown(store, 3, THREE, expected)
    assert read_served(store).champion("action").digest == ONE
    assert read_generation(store) == 1


def test_the_first_champion_must_be_expected_to_be_the_first(store):
    with pytest.raises(Conflict, match="served by no champion"):
        crown(store, 2, TWO, ONE)


@pytest.mark.parametrize(("number", "digest"), [(4, "4" * 64), (2, ONE), (1, "4" * 64)])
def test_only_a_registered_version_is_promoted(store, number, digest):
    with pytest.raises(NotFound, match="not registered"):
        crown(store, number, digest, None)
    assert read_generation(store) == 0
    assert outbox.waiting(store) == []


def test_who_lost_the_lease_promotes_nothing(store):
    lost = acquire(store, "night:action", "me", -1)
    acquire(store, "night:action", "other", 60)
    with pytest.raises(Conflict, match="is lost"):
        crown(store, 1, ONE, None, lease=lost)
    assert read_generation(store) == 0


def test_tasks_share_one_generation(store):
    register(store, 1, "a" * 64, task="pose")
    crown(store, 1, ONE, None)
    crown(store, 1, "a" * 64, None, task="pose")
    served = read_served(store)
    assert served.generation == 2
    assert {task: champion.digest for task, champion in served.champions.items()} == {"action": ONE, "pose": "a" * 64}


def test_of_two_processes_that_promote_at_once_one_wins(store, url):
    crown(store, 1, ONE, None)
    script = """
import sys
from recognizer.errors import Conflict
from recognizer.store import open_store
from recognizer.store.served import promote
version = int(sys.argv[2])
with open_store(sys.argv[1]) as store:
    sys.stdin.readline()
    try:
        promote(store, task="action", version=version, digest=str(version) * 64, expected="1" * 64, reason="x")
        print("won")
    except Conflict:
        print("lost")
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in (2, 3)
    ]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert sorted(child.communicate(timeout=60)[0].strip() for child in children) == ["lost", "won"]
    assert read_generation(store) == 2
    assert len(outbox.waiting(store)) == 2


def test_a_promotion_tells_of_itself(store):
    crown(store, 1, ONE, None)
    crown(store, 2, TWO, ONE)
    told = []
    assert outbox.deliver(store, {CHAMPION_TOPIC: told.append}) == 2
    assert told == [
        {"task": "action", "version": 1, "digest": ONE, "previous_digest": None, "generation": 1, "reason": "better"},
        {"task": "action", "version": 2, "digest": TWO, "previous_digest": ONE, "generation": 2, "reason": "better"},
    ]
    assert outbox.deliver(store, {CHAMPION_TOPIC: told.append}) == 0
    assert outbox.waiting(store) == []


def fill(store, *events: tuple[str, int]) -> None:
    with store.write() as connection:
        for topic, number in events:
            outbox.append(connection, topic, {"number": number})


def test_a_failed_delivery_is_kept_and_holds_back_its_topic_only(store):
    fill(store, ("a", 1), ("a", 2), ("b", 3), ("a", 4))
    told, away = [], True

    def handle(payload):
        if away and payload["number"] == 2:
            raise ConnectionError("MLflow is away")
        told.append(payload["number"])

    assert outbox.deliver(store, {"a": handle, "b": handle}) == 2
    assert outbox.deliver(store, {"a": handle, "b": handle}) == 0
    assert told == [1, 3]
    event = outbox.waiting(store)[0]
    assert (event.payload, event.attempts, event.error) == ({"number": 2}, 2, "ConnectionError: MLflow is away")
    away = False
    assert outbox.deliver(store, {"a": handle}) == 2
    assert told == [1, 3, 2, 4]
    assert outbox.waiting(store) == []


def test_events_nobody_handles_wait(store):
    fill(store, ("a", 1), ("unknown", 2))
    assert outbox.deliver(store, {"a": lambda _payload: None}) == 1
    assert [event.topic for event in outbox.waiting(store)] == ["unknown"]


def test_an_event_belongs_to_its_transaction(store):
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(store)
    assert outbox.waiting(store) == []


def fill_and_fail(store) -> None:
    with store.write() as connection:
        outbox.append(connection, "a", {})
        raise ZeroDivisionError


def test_a_handler_may_use_the_store(store):
    fill(store, ("a", 1))
    assert outbox.deliver(store, {"a": lambda _payload: fill(store, ("b", 2))}) == 1
    assert [event.topic for event in outbox.waiting(store)] == ["b"]


def test_a_killed_delivery_is_delivered_again(store, url):
    fill(store, ("a", 1))
    script = """
import os, signal, sys
from recognizer.store import open_store, outbox
with open_store(sys.argv[1]) as store:
    outbox.deliver(store, {"a": lambda payload: os.kill(os.getpid(), signal.SIGKILL)})
"""
    assert subprocess.run([sys.executable, "-c", script, url], check=False).returncode == -9
    told = []
    assert outbox.deliver(store, {"a": told.append}) == 1
    assert told == [{"number": 1}]


def test_an_event_delivered_by_two_at_once_counts_once(store):
    fill(store, ("a", 1))
    counts = []

    def handle(_payload):  # before this one is noted, another process comes and delivers it
        counts.append(outbox.deliver(store, {"a": lambda _payload: None}))

    counts.append(outbox.deliver(store, {"a": handle}))
    assert counts == [1, 0]
    assert outbox.waiting(store) == []
