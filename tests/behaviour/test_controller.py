"""The controller against a real store: from evidence to the next step, under one leader at a time."""

import pytest
from sqlalchemy import update

from recognizer.home import Home
from recognizer.judge.evidence import ArmCounts, Batch
from recognizer.predictions import Prediction, Retention, new_id
from recognizer.rollout.plan import make_plan
from recognizer.rollout.state import Phase
from recognizer.rollout.steering import Wish
from recognizer.store import (
    audit,
    evidence,
    feedback,
    leases,
    open_store,
    quarantine,
    rollouts,
    tallies,
    workers,
)
from recognizer.store.schema import leases as lease_table
from recognizer.store.served import read_served
from serving.controller import SLOW_SECONDS, Controller

ONE, TWO = "1" * 64, "2" * 64
LIMITS = {"min_answers": 50, "min_compared": 50}


class Bench:
    """A store with a champion, one worker that tells what it likes, and controllers on a clock of their own."""

    def __init__(self, url, home, store):
        self.url, self.home, self.store = url, home, store
        self.now = 0.0
        self.sequence = 0

    def controller(self):
        return Controller(self.url, self.home, Retention(), clock=lambda: self.now)

    def start(self, **plan):
        made = make_plan(judge=LIMITS, **plan)
        return rollouts.start(
            self.store, task="action", version=2, digest=TWO, reason="x", who="x", plan=made, home=self.home
        )

    def beat(self, *digests, name="w"):
        workers.beat(self.store, name, generation=1, loaded=dict.fromkeys(digests, "AVAILABLE"), ready=True)

    def tell(self, **counts):
        self.sequence += 1
        evidence.append(self.store, self.rollout.id, [Batch("w", self.sequence, **counts)])

    def reach_canary(self, controller):
        """Every worker has loaded the challenger, and its shadow has found nothing against it."""
        self.beat(ONE, TWO)
        controller.step()
        self.tell(compared=50)
        controller.step()

    @property
    def rollout(self):
        return rollouts.current(self.store, "action")

    @property
    def standing(self):
        return self.rollout.phase, self.rollout.step_name

    @property
    def champion(self):
        return read_served(self.store).champions["action"].digest


def arms(answers, bad=0, share=0.05):
    good = ArmCounts(answers * 19, {})
    return {"champion": good, "challenger": ArmCounts(answers, {"error": bad} if bad else {}), "share": share}


@pytest.fixture
def bench(store_url, tmp_path, register_two):
    home = Home(tmp_path / "home")
    home.prepare()
    with open_store(store_url) as store:
        register_two(store, ONE, TWO, accuracy=0.95)
        yield Bench(store_url, home, store)


def test_from_the_first_load_to_the_end_of_the_bake(bench):
    bench.start()
    controller = bench.controller()
    controller.step()
    assert controller.leads
    assert bench.standing == (Phase.PROGRESSING, "LOADING")  # nobody has loaded it
    bench.beat(ONE, TWO)
    bench.beat(ONE, name="v")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "LOADING")  # one of two
    bench.beat(ONE, TWO, name="v")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "SHADOW")
    bench.tell(compared=49)
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "SHADOW")
    bench.tell(compared=1)
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "CANARY 5 %")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "CANARY 5 %")  # what was compared in SHADOW is no pass here
    bench.tell(**arms(400))
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "CANARY 9 %")
    bench.tell(**arms(400, share=0.09))
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "BAKE")
    assert bench.champion == TWO
    new = {"champion": ArmCounts(60), "challenger": ArmCounts(1200), "share": 0.95}
    bench.tell(**new)
    controller.step()
    assert bench.standing == (Phase.HEALTHY, "BAKE")
    assert [entry.event for entry in audit.of(bench.store, bench.rollout.id)] == [
        "start", "advance", "advance", "advance", "champion", "promote", "finish",
    ]  # fmt: skip
    assert audit.verify_audit(bench.store, bench.home) == []
    controller.stop()


def test_a_worse_challenger_is_taken_out_and_put_into_quarantine(bench):
    bench.start()
    controller = bench.controller()
    bench.reach_canary(controller)
    bench.tell(**arms(100, bad=10))
    controller.step()
    assert bench.standing == (Phase.ABORTED, "CANARY 5 %")
    assert "10 of 100" in bench.rollout.reason
    assert bench.champion == ONE
    assert "10 of 100" in quarantine.find(bench.store, TWO).reason
    assert read_served(bench.store).splits == {}
    controller.stop()


def test_one_leads_and_another_goes_on_where_it_stopped(bench, monkeypatch):
    monkeypatch.setattr("serving.controller.KEEP_BATCHES", 2)
    monkeypatch.setattr("serving.controller.is_alive", lambda _holder: None)  # as on two hosts
    bench.start()
    bench.beat(ONE, TWO)
    first, second = bench.controller(), bench.controller()
    first.step()
    second.step()
    assert (first.leads, second.leads) == (True, False)
    bench.tell(compared=50)
    first.step()
    for _ in range(3):
        bench.tell(**arms(2, bad=1))
        first.step()
    assert bench.standing == (Phase.PROGRESSING, "CANARY 5 %")
    assert tallies.find(bench.store, bench.rollout.id)["ordinal"] >= 2
    # the first one sleeps for so long that its lease ends
    with bench.store.write() as connection:
        connection.execute(update(lease_table).values(expires=0.0))
    bench.now += 2
    bench.beat(ONE, TWO)
    second.step()
    assert second.leads
    bench.tell(**arms(100, bad=10))
    first.step()  # its lease is lost: it changes nothing
    assert bench.standing == (Phase.PROGRESSING, "CANARY 5 %")
    assert not first.leads
    second.step()
    assert bench.standing == (Phase.ABORTED, "CANARY 5 %")
    assert "13 of 106" in bench.rollout.reason  # what the first one had seen counts too
    second.stop()
    assert leases.held(bench.store, "rollouts").holder is None
    first.stop()


def test_while_the_store_is_away_nothing_is_decided_and_then_it_goes_on(bench, tmp_path):
    bench.start()
    bench.beat(ONE, TWO)
    controller = bench.controller()
    away = Controller(f"sqlite:///{tmp_path}/away.db", bench.home, Retention(), clock=lambda: bench.now)
    for _ in range(3):
        away.step()
        bench.now += 2
    assert not away.leads
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "SHADOW")
    controller.stop()
    away.stop()


def test_what_people_ask_is_done_and_a_frozen_task_stands_still(bench):
    from recognizer.store import freezes

    bench.start()
    bench.beat(ONE, TWO)
    controller = bench.controller()
    controller.step()
    rollouts.request(bench.store, "action", Wish.PAUSE, who="me", home=bench.home)
    bench.tell(compared=50)
    controller.step()
    assert bench.standing == (Phase.PAUSED, "SHADOW")
    rollouts.request(bench.store, "action", Wish.RESUME, who="me", home=bench.home)
    freezes.freeze(bench.store, "action", who="me")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "SHADOW")
    freezes.unfreeze(bench.store, "action", who="me")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "CANARY 5 %")
    rollouts.request(bench.store, "action", Wish.PROMOTE, who="me", home=bench.home)
    controller.step()
    assert (bench.standing, bench.champion) == ((Phase.PROGRESSING, "BAKE"), TWO)
    rollouts.request(bench.store, "action", Wish.UNDO, who="me", home=bench.home)
    assert (bench.rollout.phase, bench.champion) == (Phase.ABORTED, ONE)
    controller.stop()


def test_a_rollout_that_a_person_changed_meanwhile_costs_nobody_the_lease(bench, monkeypatch):
    bench.start()
    bench.beat(ONE, TWO)
    controller = bench.controller()
    stale = rollouts.due(bench.store)
    rollouts.request(bench.store, "action", Wish.PAUSE, who="me", home=bench.home)
    rollouts.request(bench.store, "action", Wish.RESUME, who="me", home=bench.home)
    with monkeypatch.context() as patch:
        patch.setattr("serving.controller.rollouts.due", lambda _store: stale)  # read just before the person asked
        controller.step()
    assert controller.leads
    assert bench.standing == (Phase.PROGRESSING, "LOADING")
    controller.step()
    assert bench.standing == (Phase.PROGRESSING, "SHADOW")
    controller.stop()


def test_a_champion_that_clients_find_wrong_is_taken_back(bench):
    bench.start(strategy="immediate")
    controller = bench.controller()
    controller.step()
    assert (bench.rollout.phase, bench.champion) == (Phase.HEALTHY, TWO)
    controller.step()
    assert bench.champion == TWO
    for number in range(12):
        answer = Prediction(new_id(1e9 + number), "action", 1e9, None, "champion", None, 2, TWO, "walking", 0.9)
        feedback.give(bench.store, answer, "falling")
    bench.now += SLOW_SECONDS
    controller.step()
    assert (bench.rollout.phase, bench.champion) == (Phase.ABORTED, ONE)
    assert "12 of 12 answers" in bench.rollout.reason
    assert quarantine.find(bench.store, TWO) is not None
    controller.stop()


def test_misreads_told_during_a_rollout_are_evidence(bench):
    bench.start()
    controller = bench.controller()
    bench.reach_canary(controller)
    rollout = bench.rollout.id
    for number in range(200):
        new = number % 2 == 0
        arm, digest = ("challenger", TWO) if new else ("champion", ONE)
        answer = Prediction(
            new_id(1e9 + number), "action", 1e9, None, arm, rollout, 2 if new else 1, digest, "walking", 0.9
        )
        feedback.give(bench.store, answer, "falling" if new else "walking")
    controller.step()
    assert bench.standing[0] is Phase.ABORTED
    assert "misread: challenger 100 of 100" in bench.rollout.reason
    controller.stop()
