"""What becomes of rollouts when a model of another class list takes over."""

import pytest

from flows.release import end_rollouts
from recognizer.errors import Conflict
from recognizer.home import Home
from recognizer.rollout.action import Promote
from recognizer.rollout.state import Phase
from recognizer.store import freezes, open_store, quarantine, rollouts, versions
from recognizer.store.served import promote, read_served

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def store(store_url, register_two):
    with open_store(store_url) as opened:
        register_two(opened, ONE, TWO)
        versions.record(
            opened, task="action", version=3, digest=THREE, snapshot="s", test_digest="t", verdict="PASSED", metrics={}
        )
        yield opened


def start(store, version, digest):
    return rollouts.start(store, task="action", version=version, digest=digest, reason="x", who="x")


def end(store, tmp_path):
    end_rollouts(store, Home(tmp_path), "action", who="night", reason="other classes")


def test_without_a_rollout_nothing_happens(store, tmp_path):
    end(store, tmp_path)
    assert read_served(store).champions["action"].digest == ONE


def test_what_is_compared_and_what_waits_is_taken_out_and_the_way_is_free(store, tmp_path):
    first, second = start(store, 2, TWO), start(store, 3, THREE)
    assert second.phase is Phase.QUEUED
    end(store, tmp_path)
    assert [rollouts.get(store, one.id).phase for one in (first, second)] == [Phase.ABORTED, Phase.ABORTED]
    assert "other classes" in rollouts.get(store, first.id).reason
    assert quarantine.list(store) == []
    promote(store, task="action", version=3, digest=THREE, expected=ONE, reason="x")


def test_a_champion_that_bakes_stays_champion(store, tmp_path):
    baking = rollouts.apply(store, start(store, 2, TWO), Promote("good"), lease=None)
    end(store, tmp_path)
    assert rollouts.get(store, baking.id).phase is Phase.HEALTHY
    assert read_served(store).champions["action"].digest == TWO


def test_in_a_frozen_task_nothing_changes(store, tmp_path):
    rollout = start(store, 2, TWO)
    freezes.freeze(store, "action", who="me")
    with pytest.raises(Conflict, match="frozen"):
        end(store, tmp_path)
    assert rollouts.get(store, rollout.id).phase is Phase.PROGRESSING
