"""Rollouts in the store: one transaction per change, with all it takes along, however the process ends."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import pytest
from sqlalchemy import Engine, event, select, update

from recognizer.errors import Conflict, NoChampion, NotFound
from recognizer.home import Home
from recognizer.judge.evidence import Batch
from recognizer.judge.ruling import Ruling
from recognizer.rollout.action import Abort, Advance, Begin, Finish, Pause, Promote, Wait
from recognizer.rollout.next_action import Barrier, Observed, next_action
from recognizer.rollout.plan import make_plan
from recognizer.rollout.split import Mode, Split
from recognizer.rollout.state import Judgement, Phase
from recognizer.rollout.steering import Wish
from recognizer.store import audit, evidence, open_store, outbox, quarantine, rollouts, schema, versions, workers
from recognizer.store.audit import verify_audit
from recognizer.store.clock import database_now
from recognizer.store.freezes import freeze, frozen, unfreeze
from recognizer.store.leases import acquire
from recognizer.store.observation import observe
from recognizer.store.rollout_changes import ROLLOUT_TOPIC
from recognizer.store.schema import metadata
from recognizer.store.served import CHAMPION_TOPIC, promote, read_generation, read_served

DIGESTS = {number: f"{number}" * 64 for number in range(1, 6)}
STRIDE = 2
"""How many statements later each kill comes than the one before."""

fork = multiprocessing.get_context("fork")


@pytest.fixture
def store(store_url):
    with open_store(store_url) as opened:
        prepare(opened)
        yield opened


def prepare(store, task="action") -> None:
    """Five versions, the first of them champion."""
    for number, digest in DIGESTS.items():
        versions.record(
            store, task=task, version=number, digest=digest, snapshot="s", test_digest="t", verdict="PASSED", metrics={}
        )
    promote(store, task=task, version=1, digest=DIGESTS[1], expected=None, reason="the first")


def start(store, version=2, **more):
    words = {"task": "action", "digest": DIGESTS.get(version), "reason": "blessed", "who": "night 2026-11-20", **more}
    return rollouts.start(store, version=version, **words)


def apply(store, rollout, *actions, **more):
    for action in actions:
        rollout = rollouts.apply(store, rollout, action, lease=None, **more)
    return rollout


def ask(store, wish, **more):
    return rollouts.request(store, "action", Wish(wish), who="ann", **more)


TO_BAKE = (Advance("loaded"), Advance("good"), Advance("good"), Promote("good, 70 of 70"))


def events(store, rollout=None):
    return [entry.event for entry in audit.of(store, rollout)]


def champion(store):
    return read_served(store).champion("action").version


# The way of one -------------------------------------------------------------------------------------------------


def test_from_start_to_health(store):
    began = start(store, plan=make_plan(seconds=60))
    assert (began.phase, began.step_name, began.champion_version, began.revision) == (
        Phase.PROGRESSING, "LOADING", 1, 1,
    )  # fmt: skip
    assert rollouts.get(store, began.id) == rollouts.current(store, "action") == began
    generation, seen, rollout = read_generation(store), [], began
    for action in TO_BAKE:
        rollout = apply(store, rollout, action)
        assert rollouts.get(store, rollout.id) == rollout
        served = read_served(store)
        seen.append((served.champion("action").version, served.splits["action"], served.generation - generation))
        generation = served.generation
    salt = began.salt
    assert seen == [
        (1, Split("action", began.id, Mode.SHADOW, 2, DIGESTS[2], 0.0, salt), 1),
        (1, Split("action", began.id, Mode.CANARY, 2, DIGESTS[2], 0.05, salt), 1),
        (1, Split("action", began.id, Mode.CANARY, 2, DIGESTS[2], 0.09, salt), 1),
        (2, Split("action", began.id, Mode.BAKE, 1, DIGESTS[1], 0.05, salt), 1),
    ]
    ended = apply(store, rollout, Finish("good"))
    assert (ended.phase, ended.promoted, ended.reason) == (Phase.HEALTHY, True, "good")
    served = read_served(store)
    assert (served.splits, served.generation) == ({}, generation + 1)
    assert served.champion("action").previous_digest == DIGESTS[1]
    assert served.champion("action").reason == "good, 70 of 70"
    assert events(store, began.id) == ["start", "advance", "advance", "advance", "champion", "promote", "finish"]


def test_every_change_is_told_of(store):
    rollout = apply(store, start(store), *TO_BAKE)
    apply(store, rollout, Abort("worse: 9 of 70", rollback=True, quarantine=True))
    told = []
    outbox.deliver(store, {ROLLOUT_TOPIC: told.append})
    assert [(one["event"], one["phase"], one["step"], one["share"], one["challenger"]) for one in told] == [
        ("start", "PROGRESSING", "LOADING", 0.0, 2),
        ("advance", "PROGRESSING", "SHADOW", 0.0, 2),
        ("advance", "PROGRESSING", "CANARY 5 %", 0.05, 2),
        ("advance", "PROGRESSING", "CANARY 9 %", 0.09, 2),
        ("promote", "PROGRESSING", "BAKE", 0.05, None),
        ("abort", "ABORTED", "BAKE", 0.0, None),
    ]
    assert told[-1]["reason"] == "worse: 9 of 70"
    champions = []
    outbox.deliver(store, {CHAMPION_TOPIC: champions.append})
    assert [one["version"] for one in champions] == [1, 2, 1]


def test_a_rollback_gives_the_champion_before_its_place_back(store):
    before = read_served(store).champion("action")
    rollout = apply(store, start(store), *TO_BAKE)
    aborted = apply(store, rollout, Abort("worse", rollback=True, quarantine=True))
    assert (aborted.phase, aborted.promoted) == (Phase.ABORTED, True)
    served = read_served(store)
    now = served.champion("action")
    assert (now.version, now.digest, now.reason) == (1, before.digest, "worse")
    assert now.previous_digest is None  # never falls back on the one that was taken out
    assert served.splits == {}
    assert quarantine.find(store, DIGESTS[2]).reason == "worse"
    assert [one.digest for one in quarantine.list(store, "action")] == [DIGESTS[2]]
    assert rollouts.due(store) == []


def test_a_rollback_of_the_third_falls_back_on_the_first(store):
    apply(store, start(store, 2), *TO_BAKE, Finish("good"))
    apply(store, start(store, 3), *TO_BAKE, Abort("worse", rollback=True))
    now = read_served(store).champion("action")
    assert (now.version, now.previous_digest) == (2, DIGESTS[1])


def test_an_abort_before_the_promotion_leaves_the_champion_alone(store):
    rollout = apply(store, start(store), *TO_BAKE[:2])
    before, generation = read_served(store).champion("action"), read_generation(store)
    apply(store, rollout, Abort("worse", quarantine=True))
    served = read_served(store)
    assert (served.champion("action"), served.splits, served.generation) == (before, {}, generation + 1)


def test_a_pause_changes_nothing_that_is_served(store):
    rollout = apply(store, start(store), *TO_BAKE[:2])
    before = read_served(store)
    paused = apply(store, rollout, Pause("70 s", Ruling.DISAGREES))
    assert rollouts.get(store, rollout.id).verdict is Ruling.DISAGREES
    assert read_served(store) == before
    assert apply(store, paused, Wait("x")) is paused
    assert events(store)[-1] == "pause"


@pytest.mark.parametrize("action", [Advance("x"), Pause("x"), Abort("x"), Promote("x")])
def test_an_action_is_done_once(store, action):
    rollout = apply(store, start(store), *TO_BAKE[:3])
    rollout = rollout if not isinstance(action, Advance) else apply(store, start_another(store), Advance("loaded"))
    apply(store, rollout, action)
    before = dump(store)
    with pytest.raises(Conflict, match="moved on") as caught:
        apply(store, rollout, action)
    assert caught.value.hint
    assert dump(store) == before


def start_another(store):
    prepare_task(store, "pose")
    return start(store, task="pose", digest="f" * 64, version=2)


def prepare_task(store, task) -> None:
    for number, digest in ((1, "e" * 64), (2, "f" * 64)):
        versions.record(
            store, task=task, version=number, digest=digest, snapshot="s", test_digest="t", verdict="PASSED", metrics={}
        )
    promote(store, task=task, version=1, digest="e" * 64, expected=None, reason="the first")


def test_who_lost_the_lease_changes_nothing(store):
    rollout = start(store)
    lost = acquire(store, rollouts.LEASE, "one", -1)
    kept = acquire(store, rollouts.LEASE, "two", 60)
    before = dump(store)
    with pytest.raises(Conflict, match="is lost"):
        rollouts.apply(store, rollout, Advance("x"), lease=lost)
    with pytest.raises(Conflict, match="is lost"):
        evidence.number(store, rollout.id, lost)
    with pytest.raises(Conflict, match="is lost"):
        start(store, 3, lease=lost)
    assert dump(store) == before
    assert rollouts.apply(store, rollout, Advance("x"), lease=kept).step_name == "SHADOW"


def test_another_champion_in_between_is_never_overwritten(store):
    rollout = apply(store, start(store), *TO_BAKE[:3])
    with pytest.raises(Conflict, match="a rollout of task 'action' is on its way") as caught:
        promote(store, task="action", version=5, digest=DIGESTS[5], expected=DIGESTS[1], reason="by hand")
    assert "recognizer rollout abort action" in caught.value.hint
    with store.write() as connection:  # by somebody who knows no rules
        connection.execute(update(metadata.tables["served"]).values(version=5, digest=DIGESTS[5]))
    with pytest.raises(Conflict, match="the decision was made against"):
        apply(store, rollout, Promote("good"))
    assert champion(store) == 5
    assert rollouts.get(store, rollout.id) == rollout


def test_a_quarantined_challenger_is_not_promoted(store):
    rollout = apply(store, start(store), *TO_BAKE[:3])
    quarantine.put(store, DIGESTS[2], task="action", reason="it crashed", who="ann")
    with pytest.raises(Conflict, match="in quarantine: it crashed"):
        apply(store, rollout, Promote("good"))
    assert champion(store) == 1
    with pytest.raises(Conflict, match="in quarantine"):
        promote(store, task="action", version=2, digest=DIGESTS[2], expected=DIGESTS[1], reason="by hand")


def test_late_feedback_takes_the_rollout_along_that_was_compared_with_the_champion(store):
    healthy = apply(store, start(store, 2), *TO_BAKE, Finish("good"))
    newer = apply(store, start(store, 3), *TO_BAKE[:2])
    assert rollouts.due(store) == [healthy, newer]
    apply(store, healthy, Abort("9 of 70 misread", rollback=True, quarantine=True))
    assert (champion(store), read_served(store).splits) == (1, {})
    ended = rollouts.get(store, newer.id)
    assert (ended.phase, ended.reason) == (
        Phase.ABORTED, "the champion it was compared with was taken back: 9 of 70 misread",
    )  # fmt: skip
    assert quarantine.find(store, DIGESTS[3]) is None


def test_who_became_champion_while_it_waited_does_not_begin(store):
    apply(store, start(store, 2), *TO_BAKE, Finish("good"))
    third = apply(store, start(store, 3), *TO_BAKE)
    waiting = start(store, 2)
    apply(store, third, Abort("worse", rollback=True))
    assert champion(store) == 2
    with pytest.raises(Conflict, match="moved on"):
        apply(store, waiting, Begin("the way is free"))
    seen, now = observe(store, waiting, Judgement(Ruling.WAIT, "-"), answers=0)
    assert apply(store, waiting, next_action(waiting, seen, now)).reason == "it has become champion while it waited"


# Start ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_started(store):
    with pytest.raises(NotFound, match="not registered"):
        start(store, 9, digest="9" * 64)
    with pytest.raises(Conflict, match="version 1 of task 'action' is champion already"):
        start(store, 1)
    quarantine.put(store, DIGESTS[2], task="action", reason="9 of 70 wrong", who="controller")
    with pytest.raises(Conflict, match="in quarantine: 9 of 70 wrong") as caught:
        start(store, 2)
    assert "recognizer rollout explain action" in caught.value.hint
    quarantine.lift(store, DIGESTS[2], who="ann", reason="the camera was broken")
    assert start(store, 2).phase is Phase.PROGRESSING


def test_a_task_without_champion_needs_no_rollout(store_url):
    with open_store(store_url) as store:
        versions.record(
            store, task="pose", version=1, digest="e" * 64, snapshot="s", test_digest="t", verdict="PASSED", metrics={}
        )
        with pytest.raises(NoChampion, match="no champion to compare with"):
            start(store, 1, task="pose", digest="e" * 64)


def test_the_same_challenger_is_started_once(store):
    first = start(store, key="night 1")
    assert start(store, key="night 1") == start(store) == first
    aborted = apply(store, first, Abort("worse"))
    assert start(store, key="night 1") == aborted  # a night that is gone on with
    again = start(store)  # a person tries once more
    assert (again.id, again.phase) == (first.id + 1, Phase.PROGRESSING)
    assert again.salt != first.salt
    assert [one.id for one in rollouts.list(store, "action")] == [again.id, first.id]
    assert start(store, key="night 1") == aborted


def test_a_newer_one_queues_behind_a_progressing_one_and_the_newest_is_kept(store):
    first = start(store, 2)
    second, third = start(store, 3), start(store, 4)
    assert (second.phase, third.phase) == (Phase.QUEUED, Phase.QUEUED)
    assert rollouts.queued(store, "action") == third
    dropped = rollouts.get(store, second.id)
    assert (dropped.phase, dropped.reason) == (
        Phase.ABORTED, "dropped from the queue for version 4, which is newer",
    )  # fmt: skip
    assert rollouts.current(store, "action") == first
    assert rollouts.due(store) == [first]
    assert list(read_served(store).splits) == ["action"]
    with pytest.raises(Conflict, match="moved on"):
        apply(store, third, Begin("x"))
    apply(store, first, *TO_BAKE, Finish("good"))
    assert [one.id for one in rollouts.due(store)] == [first.id, third.id]
    began = apply(store, third, Begin("the way is free"))
    assert (began.champion_version, began.champion_digest) == (2, DIGESTS[2])
    assert read_served(store).splits["action"].mode is Mode.LOAD


def test_a_newer_one_supersedes_a_paused_one(store):
    paused = apply(store, start(store, 2), *TO_BAKE[:2], Pause("nothing to see", Ruling.INCONCLUSIVE))
    generation = read_generation(store)
    newer = start(store, 3)
    assert newer.phase is Phase.PROGRESSING
    old = rollouts.get(store, paused.id)
    assert (old.phase, old.reason) == (Phase.ABORTED, "superseded by version 3 while paused: nothing to see")
    assert read_served(store).splits["action"].version == 3
    assert read_generation(store) > generation
    assert quarantine.find(store, DIGESTS[2]) is None


def test_a_newer_one_ends_a_paused_bake_and_is_compared_with_its_champion(store):
    paused = apply(store, start(store, 2), *TO_BAKE, Pause("3 answers", Ruling.INCONCLUSIVE))
    newer = start(store, 3)
    assert rollouts.get(store, paused.id).phase is Phase.HEALTHY
    assert (newer.champion_version, champion(store)) == (2, 2)


def test_two_tasks_do_not_meet(store):
    start(store)
    other = start_another(store)
    assert other.phase is Phase.PROGRESSING
    assert [one.task for one in rollouts.due(store)] == ["action", "pose"]
    assert set(read_served(store).splits) == {"action", "pose"}
    ask(store, "abort")
    assert set(read_served(store).splits) == {"pose"}
    assert [one.task for one in rollouts.list(store, "pose")] == ["pose"]


def test_of_two_processes_that_start_at_once_one_queues(store, store_url):
    script = """
import sys
from recognizer.store import open_store, rollouts
version = int(sys.argv[2])
with open_store(sys.argv[1]) as store:
    sys.stdin.readline()
    words = {"reason": "blessed", "who": "test"}
    print(rollouts.start(store, task="action", version=version, digest=str(version) * 64, **words).phase)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, store_url, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in (2, 3)
    ]  # fmt: skip
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert sorted(child.communicate(timeout=60)[0].strip() for child in children) == ["PROGRESSING", "QUEUED"]


# People ---------------------------------------------------------------------------------------------------------


def test_people_pause_resume_hasten_and_undo(store):
    start(store)
    assert ask(store, "pause", reason="a demo").reason == "pause by ann: a demo"
    assert ask(store, "resume").phase is Phase.PROGRESSING
    hastened = ask(store, "promote")
    assert (hastened.promote_asked, hastened.step_name) == (True, "LOADING")
    apply(store, hastened, Promote("2 of 2 workers have loaded it"))
    assert champion(store) == 2
    assert ask(store, "promote").phase is Phase.HEALTHY
    assert ask(store, "undo", reason="it looks wrong").phase is Phase.ABORTED
    assert champion(store) == 1
    assert quarantine.find(store, DIGESTS[2]) is None
    entry = audit.of(store)[-1]
    assert (entry.who, entry.event, entry.payload["reason"]) == ("ann", "abort", "undo by ann: it looks wrong")
    with pytest.raises(Conflict, match="it is ABORTED"):
        ask(store, "undo")


def test_undo_goes_back_one_champion_each_time(store):
    for version in (2, 3):
        apply(store, start(store, version), *TO_BAKE, Finish("good"))
    apply(store, start(store, 4), *TO_BAKE[:2], Abort("worse"))  # the newest rollout made no champion
    seen = []
    for _ in range(2):
        ask(store, "undo")
        seen.append(champion(store))
    assert seen == [2, 1]
    with pytest.raises(Conflict):
        ask(store, "undo")


def test_undo_never_brings_back_what_is_in_quarantine(store):
    apply(store, start(store), *TO_BAKE)
    quarantine.put(store, DIGESTS[1], task="action", reason="it leaks", who="ann")
    with pytest.raises(Conflict, match="it leaks"):
        ask(store, "undo")
    assert champion(store) == 2


def test_what_people_ask_too_early_names_the_next_step(store):
    with pytest.raises(NotFound, match="has no rollout") as caught:
        ask(store, "pause")
    assert caught.value.hint == "recognizer rollout start action"
    start(store)
    with pytest.raises(Conflict, match="not promoted yet") as caught:
        ask(store, "undo")
    assert caught.value.hint == "recognizer rollout abort action"
    with pytest.raises(NotFound, match="no rollout 77"):
        rollouts.get(store, 77)
    assert rollouts.current(store, "pose") is rollouts.queued(store, "pose") is None


def test_a_controller_that_decided_before_a_person_did_decides_again(store):
    rollout = apply(store, start(store), *TO_BAKE[:2])
    paused = ask(store, "pause")
    with pytest.raises(Conflict):
        apply(store, rollout, Advance("good"))
    assert rollouts.get(store, rollout.id) == paused


def test_nothing_changes_for_a_frozen_task(store):
    rollout = apply(store, start(store), Advance("loaded"))
    kept = freeze(store, "action", who="ann", reason="a demo")
    assert frozen(store, "action") == kept
    with pytest.raises(Conflict, match="frozen already"):
        freeze(store, "action", who="bob")
    before = read_served(store)
    for action in (Advance("x"), Abort("worse"), Pause("x"), Promote("x")):
        with pytest.raises(Conflict, match=r"frozen by ann \(a demo\)") as caught:
            apply(store, rollout, action)
        assert caught.value.hint == "recognizer rollout unfreeze action"
    for wish in Wish:
        with pytest.raises(Conflict, match="frozen by ann"):
            ask(store, wish)
    with pytest.raises(Conflict, match="frozen by ann"):
        promote(store, task="action", version=5, digest=DIGESTS[5], expected=DIGESTS[1], reason="x")
    assert start(store, 3).phase is Phase.QUEUED
    assert read_served(store) == before
    unfreeze(store, "action", who="ann")
    with pytest.raises(NotFound, match="is not frozen"):
        unfreeze(store, "action", who="ann")
    assert apply(store, rollout, Advance("good")).step_name == "CANARY 5 %"
    assert [one for one in events(store) if "freeze" in one] == ["freeze", "unfreeze"]


def test_a_challenger_of_a_frozen_task_begins_after_it(store):
    freeze(store, "action", who="ann")
    waiting = start(store)
    assert waiting.phase is Phase.QUEUED
    assert rollouts.due(store) == [waiting]
    unfreeze(store, "action", who="bob")
    assert apply(store, waiting, Begin("unfrozen")).phase is Phase.PROGRESSING


def test_a_paused_one_of_a_frozen_task_is_not_superseded(store):
    paused = apply(store, start(store), Pause("x"))
    freeze(store, "action", who="ann")
    assert start(store, 3).phase is Phase.QUEUED
    assert rollouts.get(store, paused.id) == paused


def test_the_controller_sees_one_moment(store):
    rollout = start(store)
    for name, state in (("w1", "AVAILABLE"), ("w2", "LOADING")):
        workers.beat(store, name, generation=2, loaded={DIGESTS[2]: state}, ready=True)
    judgement = Judgement(Ruling.WAIT, "no answers yet")
    seen, now = observe(store, rollout, judgement, answers=3, losses=0)
    assert seen == Observed(Barrier(2, ("w2",)), judgement, DIGESTS[1], answers=3, heard=2)
    assert 0 <= now - rollout.step_since < 60
    freeze(store, "action", who="ann", reason="a demo")
    quarantine.put(store, DIGESTS[2], task="action", reason="9 of 70", who="ann")
    seen, _ = observe(store, rollout, judgement, answers=3, losses=2)
    assert (seen.frozen, seen.quarantined, seen.losses) == ("ann (a demo)", "9 of 70", 2)


def test_the_controller_sees_in_whom_it_goes_on_failing(store):
    rollout = start(store)
    for name, number in (("w1", rollout.id), ("w2", rollout.id + 1)):
        problem = {"error": workers.RELAPSED, "what": "a probe failed", "rollout": number}
        workers.beat(store, name, generation=2, loaded={}, ready=True, problems=[problem, {"error": "NotFound"}])
    seen, _ = observe(store, rollout, Judgement(Ruling.WAIT, "no answers yet"), answers=0)
    assert (seen.relapsed, seen.heard) == (("w1: a probe failed",), 2)
    for age, live, heard in ((workers.LIVE_SECONDS + 1, 1, 2), (workers.HEARD_SECONDS + 1, 1, 1)):
        with store.write() as connection:
            moved = update(schema.workers).where(schema.workers.c.name == "w2")
            connection.execute(moved.values(heartbeat_at=database_now() - age))
        seen, _ = observe(store, rollout, Judgement(Ruling.WAIT, "no answers yet"), answers=0)
        assert (seen.barrier.live, seen.heard) == (live, heard)


# Evidence and steps ---------------------------------------------------------------------------------------------


def test_a_step_begins_behind_all_evidence_that_has_arrived(store):
    rollout = apply(store, start(store), Advance("loaded"))
    evidence.append(store, rollout.id, [Batch("w1", 1), Batch("w1", 2), Batch("w2", 1)])
    rollout = apply(store, rollout, Advance("good"), judged=0)
    assert rollout.evidence_from == 3
    evidence.append(store, rollout.id, [Batch("w1", 3)])
    assert evidence.number(store, rollout.id, None) == 4
    assert [one.ordinal for one in evidence.of(store, rollout.id, after=rollout.evidence_from)] == [4]
    assert audit.of(store, rollout.id)[-1].payload["judged"] == 0


# Kills ----------------------------------------------------------------------------------------------------------

VOLATILE = {"at", "since", "salt", "hash", "previous_hash", "created_at", "step_since", "promoted_at", "ended_at"}
VOLATILE |= {"registered_at"}


def dump(store):
    """Everything in the store but clocks and what is made of them."""
    with store.read() as connection:
        return {
            table.name: [
                {name: value for name, value in row._mapping.items() if name not in VOLATILE}
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in metadata.sorted_tables
        }


def seen_of(rollout, verdict):
    champion_digest = rollout.digest if rollout.promoted else rollout.champion_digest
    return Observed(Barrier(2), Judgement(verdict, "70 answers"), champion_digest, answers=70)


def tick(verdict):
    """One turn of the controller."""

    def work(store, home):
        for rollout in rollouts.due(store):
            action = next_action(rollout, seen_of(rollout, verdict), rollout.step_since + 1)
            rollouts.apply(store, rollout, action, lease=None, home=home)

    return work


def wish(which):
    return lambda store, home: rollouts.request(store, "action", Wish(which), who="ann", home=home)


def newcomer(store, home):
    start(store, 3, home=home, key="night 3")


SCENES = {
    # name: (what was done before, what is killed)
    "start": ((), newcomer),
    "load": ((start,), tick(Ruling.WAIT)),
    "advance": ((start, TO_BAKE[:1]), tick(Ruling.GOOD)),
    "promote": ((start, TO_BAKE[:3]), tick(Ruling.GOOD)),
    "finish": ((start, TO_BAKE), tick(Ruling.GOOD)),
    "pause": ((start, TO_BAKE[:2]), tick(Ruling.DISAGREES)),
    "abort": ((start, TO_BAKE[:2]), tick(Ruling.WORSE)),
    "roll back": ((start, TO_BAKE), tick(Ruling.WORSE)),
    "late feedback": ((start, (*TO_BAKE, Finish("good"))), tick(Ruling.WORSE)),
    "undo": ((start, (*TO_BAKE, Finish("good"))), wish("undo")),
    "supersede": ((start, (*TO_BAKE[:2], Pause("x"))), newcomer),
}


def set_the_scene(store, first):
    prepare(store)
    if first:
        rollout = start(store, 2)
        evidence.append(store, rollout.id, [Batch("w1", 1), Batch("w2", 1)])
        for actions in first[1:]:
            apply(store, rollout, *actions)


def killed_at(limit, url, home, work):
    """Do it in a process that is killed before its statement number `limit`, or before that commit; its exit code."""

    def run():
        ticks = 0

        def count(*_arguments):
            nonlocal ticks
            ticks += 1
            if ticks == limit:
                os.kill(os.getpid(), signal.SIGKILL)

        with open_store(url) as store:
            event.listen(Engine, "before_cursor_execute", count)
            event.listen(Engine, "commit", count)
            work(store, home)

    child = fork.Process(target=run)
    child.start()
    child.join(60)
    return child.exitcode


@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_anywhere_loses_nothing_and_does_nothing_twice(scene, migrated, tmp_path):
    first, work = SCENES[scene]
    template, file, home = tmp_path / "template.db", tmp_path / "recognizer.db", Home(tmp_path / "home")
    shutil.copyfile(migrated, template)
    with open_store(f"sqlite:///{template}") as store:
        set_the_scene(store, first)
        audit.write_head(store, home)
        before = dump(store)
    head = home.audit_head
    noted = head.read_bytes()
    shutil.copyfile(template, file)
    with open_store(f"sqlite:///{file}") as store:
        work(store, home)
        after = dump(store)
    assert after != before
    kept = 0
    for limit in itertools.count(1, STRIDE):
        for left in tmp_path.glob("recognizer.db*"):
            left.unlink()
        shutil.copyfile(template, file)
        head.write_bytes(noted)
        code = killed_at(limit, f"sqlite:///{file}", home, work)
        with open_store(f"sqlite:///{file}") as store:
            assert verify_audit(store, home) == []
            found = dump(store)
            if found != before:
                assert found == after, limit
                kept += 1
            elif limit % (4 * STRIDE) == 1:  # it was as before: doing it again says the same each time
                work(store, home)
                assert dump(store) == after, limit
            audit.write_head(store, home)
            assert verify_audit(store, home) == []
            assert json.loads(head.read_bytes())["number"] == len(audit.of(store))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert limit > 10
    assert kept > 1  # killed after the commit, too, and before the head was noted


def test_a_row_that_breaks_the_rules_is_refused_by_the_database(store):
    rollout = start(store)
    start(store, 3)
    table = metadata.tables["rollouts"]
    for values in ({"place": "queued"}, {"place": None}):
        with pytest.raises(Conflict), store.write() as connection:
            connection.execute(update(table).where(table.c.id == rollout.id).values(values))
