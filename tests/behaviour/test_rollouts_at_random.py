"""Whatever controllers, nights and people do, in whatever order: what must hold of rollouts and of what is served."""

import contextlib
import random
import subprocess
import sys

import pytest

from recognizer.errors import Conflict, NotFound
from recognizer.home import Home
from recognizer.judge.evidence import Batch
from recognizer.judge.ruling import Ruling
from recognizer.rollout.next_action import next_action
from recognizer.rollout.plan import Strategy
from recognizer.rollout.split import Mode
from recognizer.rollout.state import Judgement, Phase, split_of
from recognizer.rollout.steering import Wish
from recognizer.store import audit, evidence, open_store, outbox, quarantine, rollouts, versions, workers
from recognizer.store.audit import verify_audit
from recognizer.store.freezes import freeze, frozen, unfreeze
from recognizer.store.observation import observe
from recognizer.store.rollout_changes import ROLLOUT_TOPIC
from recognizer.store.served import CHAMPION_TOPIC, promote, read_served

VERSIONS = {number: f"{number:x}" * 64 for number in range(1, 10)}


@pytest.fixture
def store(store_url):
    with open_store(store_url) as opened:
        for number, digest in VERSIONS.items():
            versions.record(
                opened, task="action", version=number, digest=digest, snapshot="s", test_digest="t", verdict="PASSED",
                metrics={},
            )  # fmt: skip
        promote(opened, task="action", version=1, digest=VERSIONS[1], expected=None, reason="the first")
        yield opened


class World:
    """One store, and everybody who changes it."""

    def __init__(self, store, home, seed):
        self.store, self.home, self.dice, self.sent = store, home, random.Random(seed), 0

    def night(self):
        version = self.dice.choice(list(VERSIONS))
        strategy = self.dice.choice([Strategy.CANARY, *Strategy])
        words = {"task": "action", "version": version, "digest": VERSIONS[version], "strategy": strategy}
        rollouts.start(self.store, **words, reason="blessed", who="night", home=self.home)

    def person(self):
        rollouts.request(self.store, "action", self.dice.choice(list(Wish)), who="ann", home=self.home)

    def freezer(self):
        if frozen(self.store, "action"):
            unfreeze(self.store, "action", who="ann")
        elif self.dice.random() < 0.2:
            freeze(self.store, "action", who="ann")

    def worker(self):
        states = {digest: self.dice.choice(["AVAILABLE"] * 60 + ["LOADING", "REFUSED"]) for digest in VERSIONS.values()}
        workers.beat(self.store, self.dice.choice(["w1", "w2"]), generation=1, loaded=states, ready=True)
        for rollout in rollouts.due(self.store):
            self.sent += 1
            evidence.append(self.store, rollout.id, [Batch("w1", self.sent)])

    def controller(self):
        for rollout in rollouts.due(self.store):
            weights = {Ruling.GOOD: 12, Ruling.WAIT: 3, Ruling.INCONCLUSIVE: 3, Ruling.DISAGREES: 1, Ruling.WORSE: 1}
            verdict = self.dice.choices(list(weights), list(weights.values()))[0]
            losses = 1 if self.dice.random() < 0.01 else 0
            seen, now = observe(self.store, rollout, Judgement(verdict, "70"), answers=7, losses=losses)
            action = next_action(rollout, seen, now + self.dice.choice([0, 10**6]))
            rollouts.apply(self.store, rollout, action, lease=None, home=self.home)

    def doctor(self):
        for one in quarantine.list(self.store):
            quarantine.lift(self.store, one.digest, who="ann", reason="looked at")

    def turn(self):
        actors = [self.controller] * 8 + [self.worker] * 4 + [self.night] * 3 + [self.person, self.freezer, self.doctor]
        with contextlib.suppress(Conflict, NotFound):
            self.dice.choice(actors)()


def check(store, before):
    """What holds after every turn."""
    served, everything = read_served(store), rollouts.list(store)
    if (served.champions, served.splits) == (before.champions, before.splits):
        assert served.generation >= before.generation
    else:
        assert served.generation > before.generation
    champion, split = served.champion("action"), served.splits.get("action")
    opened = [one for one in everything if one.is_open]
    assert len(opened) <= 1
    assert len([one for one in everything if one.phase is Phase.QUEUED]) <= 1
    assert split == (split_of(opened[0]) if opened else None)
    if split is not None:
        assert split.digest != champion.digest
        assert split.share < 0.10
        assert opened[0].promoted == (split.mode is Mode.BAKE)
        assert champion.digest == (opened[0].digest if opened[0].promoted else opened[0].champion_digest)
    assert all((one.ended_at is None) == (one.is_open or one.phase is Phase.QUEUED) for one in everything)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens(store, tmp_path, seed):
    home = Home(tmp_path / "home")
    world, before, frozen_before = World(store, home, seed), read_served(store), False
    for _ in range(150):
        world.turn()
        check(store, before)
        if frozen(store, "action") and frozen_before:
            assert read_served(store) == before
        before, frozen_before = read_served(store), frozen(store, "action") is not None
    assert verify_audit(store, home) == []
    replay(store)


def replay(store):
    """The outbox and the audit trail tell the same story, and its end is what the store says."""
    champions, changes = [], []
    outbox.deliver(store, {CHAMPION_TOPIC: champions.append, ROLLOUT_TOPIC: changes.append})
    assert champions[-1]["version"] == read_served(store).champion("action").version
    trail = audit.of(store)
    assert [entry.payload for entry in trail if entry.event == "champion"] == champions
    assert [one["event"] for one in changes] == [
        entry.event for entry in trail if entry.rollout and entry.event not in ("champion", "quarantine")
    ]
    last = {one["rollout"]: one for one in changes}
    for rollout in rollouts.list(store):
        told = last[rollout.id]
        assert (told["phase"], told["step"], told["reason"], told["revision"]) == (
            rollout.phase, rollout.step_name, rollout.reason, rollout.revision,
        )  # fmt: skip
        numbers = [one.ordinal for one in evidence.of(store, rollout.id)]
        assert numbers == list(range(1, len(numbers) + 1))
    for task_champion in champions[1:]:
        assert task_champion["previous_digest"] != task_champion["digest"]


def test_controllers_that_do_not_know_of_each_other_do_nothing_twice(store, store_url):
    """No lease keeps them apart here: the revision of the rollout alone does."""
    rollouts.start(store, task="action", version=2, digest=VERSIONS[2], reason="blessed", who="night")
    workers.beat(store, "w1", generation=1, loaded={VERSIONS[2]: "AVAILABLE"}, ready=True)
    script = """
import sys, time
from recognizer.errors import Conflict
from recognizer.rollout.next_action import next_action
from recognizer.judge.ruling import Ruling
from recognizer.rollout.state import Judgement, Phase
from recognizer.store import open_store, rollouts
from recognizer.store.observation import observe
done = 0
with open_store(sys.argv[1]) as store:
    sys.stdin.readline()
    while (rollout := rollouts.current(store, "action")).phase is not Phase.HEALTHY:
        seen, now = observe(store, rollout, Judgement(Ruling.GOOD, "70"), answers=70)
        action = next_action(rollout, seen, now)
        time.sleep(0.005)
        try:
            done += rollouts.apply(store, rollout, action, lease=None) is not rollout
        except Conflict:
            pass
print(done)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert sum(int(child.communicate(timeout=60)[0]) for child in children) == 5
    told = [entry.event for entry in audit.of(store, 1)]
    assert told == ["start", "advance", "advance", "advance", "champion", "promote", "finish"]
