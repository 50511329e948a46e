"""A challenger in one worker process: it answers its share, and nothing it does costs a client an answer."""

import asyncio
import io
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

from recognizer.rollout.split import Mode, Split
from recognizer.settings import Settings
from recognizer.store.served import Champion, Served
from serving.breaker import IN_A_ROW
from serving.door import Door
from serving.worker import Worker

NPY = {"content-type": "application/x-npy"}
WINDOW = np.random.default_rng(0).uniform(1, 500, (2, 30, 17, 2)).astype(np.float32)
ACTIONS = ("standing", "walking", "falling")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BODY = npy(WINDOW)


class Wanted:
    """The store: what should be served, changed by hand."""

    def __init__(self, digests):
        self.digests = digests
        self.served = Served(0, {})

    def want(self, champion, other=None, mode=Mode.CANARY, share=0.0, rollout=1):
        digest = self.digests[champion]
        splits = {}
        if other is not None:
            splits["action"] = Split("action", rollout, mode, other, self.digests[other], share, f"salt-{rollout}")
        champions = {"action": Champion("action", champion, digest, None, 0.0, "test")}
        self.served = Served(self.served.generation + 1, champions, splits)

    def newer_than(self, generation):
        served = self.served
        return None if served.generation == generation else served

    def previous(self, champion):
        return None

    def close(self):
        pass


class Process:
    """A worker with its door on two packages, of which the first one is champion."""

    def __init__(self, home, wanted, **settings):
        self.wanted = wanted
        given = {"poll_seconds": 0.01, "deadline_ms": 400, "shadow_duty": 1, **settings}
        self.worker = Worker(Settings(home=home, **given), wanted)
        self.transport = httpx.ASGITransport(Door(Starlette(), {"worker": self.worker}))
        self.worker.start()

    def converge(self, *args, **kwargs):
        """Want something else, and wait until it is there."""
        self.wanted.want(*args, **kwargs)
        number = self.wanted.served.generation
        whole = bool(self.wanted.served.splits)
        self.until(lambda: self.worker.releases.newest.generation == number)
        self.until(lambda: bool(self.worker.releases.newest.beside or self.worker.releases.newest.missing) == whole)

    @staticmethod
    def until(condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.005)

    def ask(self, count=1, headers=None, query="", concurrent=1, json=None):
        """The responses to `count` requests, `concurrent` of them at once."""

        async def send():
            turn = asyncio.Semaphore(concurrent)
            async with httpx.AsyncClient(transport=self.transport, base_url="http://here", timeout=30) as client:

                async def one(number):
                    named = {k: v.format(number) for k, v in (headers or {}).items()}
                    async with turn:
                        if json is not None:
                            return await client.post(f"/v1/action{query}", json=json, headers=named)
                        return await client.post(f"/v1/action{query}", content=BODY, headers={**NPY, **named})

                return await asyncio.gather(*(one(number) for number in range(count)))

        return asyncio.run(send())

    def answers(self, *args, **kwargs):
        """The answers, each of them a 200."""
        responses = self.ask(*args, **kwargs)
        assert [r.text for r in responses if r.status_code != 200] == []
        return [response.json() for response in responses]

    def health(self):
        return self.worker.health()

    def split(self):
        return self.health()["splits"]["action"]

    def breaker(self):
        return self.split()["breaker"]["state"]


@pytest.fixture
def start(small_home, request):
    """A function that starts a worker on version 1, with version 2 (or a bad model of some kind) beside it."""

    def start_on(kind=None, make_bad_model=None, **settings):
        for version in (1, 2, 3):
            small_home.package(version, make_bad_model(kind) if kind and version == 2 else None)
            small_home.bless(version)
        wanted = Wanted(small_home.digests)
        wanted.want(1)
        process = Process(small_home.home, wanted, **settings)
        request.addfinalizer(process.worker.stop)
        process.answers(30)  # the champion's times are known
        return process

    return start_on


def arms(answers):
    return Counter((answer["arm"], answer["model"]["version"]) for answer in answers)


def batch_of(process):
    batches = process.worker.trials.flush()
    assert len(batches) == 1
    return batches[0]


def test_the_challenger_answers_its_share_and_both_are_counted(start):
    process = start()
    process.converge(1, 2, share=0.3)
    seen = arms(process.answers(200))
    assert set(seen) == {("champion", 1), ("challenger", 2)}
    assert 30 <= seen["challenger", 2] <= 90
    rollout, batch = batch_of(process)
    assert (rollout, batch.sequence, batch.worker) == (1, 1, process.worker.name)
    assert batch.challenger.answers == seen["challenger", 2]
    assert batch.champion.answers == seen["champion", 1]
    assert process.worker.trials.flush() == []
    process.answers(5)
    assert batch_of(process)[1].sequence == 2


BAD = [("raises", "error"), ("nan", "invalid"), ("shape", "invalid"), ("sum", "invalid"), ("allocates", "error")]


@pytest.mark.parametrize(("kind", "signal"), BAD)
def test_what_a_bad_challenger_fails_the_champion_answers(start, make_bad_model, kind, signal):
    process = start(kind, make_bad_model)
    process.converge(1, 2, share=0.5)
    answers = process.answers(100)
    assert set(arms(answers)) == {("champion", 1)}
    recovered = [answer for answer in answers if "recovered" in answer]
    assert IN_A_ROW <= len(recovered) <= IN_A_ROW + 2  # those already on their way
    assert all(answer["recovered"] is True and answer["action"] == "walking" for answer in recovered)
    assert process.breaker() == "OPEN"
    (_, before), (_, after) = process.worker.trials.flush()
    assert before.challenger.answers == before.challenger.bad[signal] == len(recovered)
    assert (before.share, after.share, after.challenger.answers) == (0.5, 0.0, 0)
    # those that the challenger could not be asked for any more count for nobody
    assert 25 <= before.champion.answers + after.champion.answers <= 75
    assert process.health()["stuck"] == 0


def test_a_challenger_that_hangs_is_given_up_and_its_threads_come_back(start, make_bad_model):
    process = start("hangs", make_bad_model, deadline_ms=300)
    process.converge(1, 2, share=0.9)
    started = time.monotonic()
    answers = []
    while process.breaker() != "OPEN":
        answers += process.answers(20, concurrent=4)
        assert time.monotonic() - started < 10
    assert set(arms(answers)) == {("champion", 1)}
    recovered = sum("recovered" in answer for answer in answers)
    assert IN_A_ROW <= recovered <= IN_A_ROW + 3
    process.until(lambda: process.split()["threads"]["busy"] == 0)
    assert batch_of(process)[1].challenger.bad["slow"] == recovered
    assert process.health()["stuck"] == 0


def test_threads_in_a_kernel_that_nothing_can_stop_are_left_behind(start, make_bad_model):
    process = start("kernel", make_bad_model, deadline_ms=600)
    process.converge(1, 2, share=1.0)
    answers = []
    while not process.health()["stuck"]:
        answers += process.answers(4, concurrent=4)
        assert process.split()["threads"]["busy"] <= 2
    assert set(arms(answers)) == {("champion", 1)}
    assert 1 <= sum("recovered" in answer for answer in answers) <= 2
    process.until(lambda: "do not come back" in process.split()["breaker"]["reason"])
    assert process.breaker() == "OPEN"
    process.until(lambda: process.health()["stuck"] == 0)


def test_a_slow_challenger_leaves_the_champion_its_time(start, make_bad_model):
    process = start("hangs", make_bad_model, deadline_ms=300)
    process.converge(1, 2, share=1.0)
    started = time.monotonic()
    (answer,) = process.answers()
    assert answer["recovered"] is True
    assert time.monotonic() - started < 0.4


def test_requests_that_wait_for_a_challenger_take_no_turn_of_the_others(start, make_bad_model):
    process = start("hangs", make_bad_model, deadline_ms=5_000)
    process.converge(1, 2, mode=Mode.LOAD)
    beside = process.worker.releases.newest.beside["action"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(process.answers, 2, query="?canary=true", concurrent=2)
        process.until(lambda: beside.trial.crew.busy == 2)
        started = time.monotonic()
        assert set(arms(process.answers(20, concurrent=4))) == {("champion", 1)}
        # nor does a third one wait for a thread
        assert process.answers(query="?canary=true")[0]["recovered"] is True
        assert time.monotonic() - started < 2
        assert beside.trial.crew.busy == 2
        process.wanted.want(1)
        assert len(waiting.result(20)) == 2


def test_at_an_abort_calls_in_flight_are_answered_by_the_champion(start, make_bad_model):
    process = start("hangs", make_bad_model, deadline_ms=60_000)
    process.converge(1, 2, share=1.0)
    beside = process.worker.releases.newest.beside["action"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(process.answers, 2, concurrent=2)
        process.until(lambda: beside.trial.crew.busy == 2)
        started = time.monotonic()
        process.wanted.want(1)
        answers = waiting.result(20)
    assert time.monotonic() - started < 1
    assert [answer["recovered"] for answer in answers] == [True, True]
    assert set(arms(answers)) == {("champion", 1)}
    process.until(lambda: beside.servable.state == "UNLOADED")
    assert beside.trial.evidence.empty  # an abort says nothing about the model
    assert beside.trial.breaker.state == "CLOSED"


def test_forced_arms_and_pinned_versions(start):
    process = start()
    process.converge(1, 2, share=0.05)
    window = {"keypoints": WINDOW[0].tolist()}
    cases = [
        ({"headers": {"X-Recognizer-Arm": "challenger"}}, ("challenger", 2)),
        ({"headers": {"X-Recognizer-Arm": "champion"}}, ("champion", 1)),
        ({"query": "?canary=true"}, ("challenger", 2)),
        ({"json": {**window, "canary": True}}, ("challenger", 2)),
        ({"json": {**window, "canary": True}, "headers": {"X-Recognizer-Arm": "champion"}}, ("champion", 1)),
        ({"headers": {"X-Recognizer-Version": "2"}}, ("challenger", 2)),
        ({"query": "?version=1"}, ("champion", 1)),
    ]
    for given, expected in cases:
        assert set(arms(process.answers(8, **given))) == {expected}, given
    assert process.worker.trials.flush() == []  # forced requests are no evidence
    for headers, status, says in [
        ({"X-Recognizer-Version": "3"}, 404, "loaded: 1, 2"),
        ({"X-Recognizer-Version": "x"}, 400, "no version"),
        ({"X-Recognizer-Arm": "x"}, 400, "no arm"),
        ({"X-Routing-Key": ""}, 400, "characters"),
    ]:
        (response,) = process.ask(headers=headers)
        assert (response.status_code, says in response.json()["what"]) == (status, True), response.text
    process.converge(1)
    assert set(arms(process.answers(8, query="?canary=true"))) == {("champion", 1)}


def test_a_pinned_version_is_answered_by_no_other(start, make_bad_model):
    process = start("raises", make_bad_model)
    process.converge(1, 2, mode=Mode.LOAD)
    (response,) = process.ask(query="?version=2")
    assert (response.status_code, response.json()["error"]) == (500, "PluginError")
    (answer,) = process.answers(query="?canary=true")
    assert (answer["recovered"], answer["model"]["version"]) == (True, 1)


def test_sticky_keys_stay_and_are_counted_in_pairs(start):
    process = start()
    process.converge(1, 2, share=0.5)
    sticky = {"X-Routing-Key": "camera-{}"}
    first = [answer["arm"] for answer in process.answers(60, headers=sticky)]
    assert first == [answer["arm"] for answer in process.answers(60, headers=sticky)]
    process.converge(1, 2, share=0.9)
    later = [answer["arm"] for answer in process.answers(60, headers=sticky)]
    assert all(after == "challenger" for before, after in zip(first, later, strict=True) if before == "challenger")
    asked = 2 * first.count("challenger") + later.count("challenger")
    process.until(lambda: process.split()["evidence"]["pairs"] + process.health()["shadow"]["dropped"] == asked)
    batch = batch_of(process)[1]
    assert batch.champion.answers == batch.challenger.answers == 0
    assert batch.paired["error"].pairs == batch.compared > 0
    assert batch.disagreed == batch.compared  # each version is sure of another class


def test_shadow_answers_everything_twice_and_costs_nobody_an_answer(start):
    process = start()
    process.converge(1, 2, mode=Mode.SHADOW)
    assert set(arms(process.answers(50))) == {("champion", 1)}
    shadow = process.worker.health()["shadow"]
    process.until(lambda: process.split()["evidence"]["pairs"] + process.health()["shadow"]["dropped"] == 50)
    batch = batch_of(process)[1]
    assert batch.compared == batch.disagreed == batch.paired["slow"].pairs
    assert batch.challenger.answers == 0
    assert process.split()["evidence"]["mean_score_shift"] > 0.5
    assert shadow["dropped"] <= 50


@pytest.mark.parametrize(("kind", "signal"), [("raises", "error"), ("nan", "invalid"), ("hangs", "slow")])
def test_a_bad_shadow_is_noted_and_never_seen(start, make_bad_model, kind, signal):
    process = start(kind, make_bad_model, deadline_ms=200)
    process.converge(1, 2, mode=Mode.SHADOW)
    answers = process.answers(20)
    assert set(arms(answers)) == {("champion", 1)}
    assert not any("recovered" in answer for answer in answers)
    process.until(lambda: process.split()["evidence"]["pairs"] >= 2)
    batch = batch_of(process)[1]
    assert batch.paired[signal].challenger_only == batch.paired[signal].pairs
    assert batch.compared == 0


def test_promotion_loads_nothing_and_the_hold_back_answers(start):
    process = start()
    process.converge(1, 2, share=0.3)
    before = process.worker.releases.newest
    process.answers(20)
    process.converge(2, 1, mode=Mode.BAKE, share=0.3)
    after = process.worker.releases.newest
    assert after.champions["action"] is before.beside["action"].servable
    assert after.beside["action"].servable is before.champions["action"]
    assert after.beside["action"].trial is before.beside["action"].trial
    process.worker.trials.flush()
    seen = arms(process.answers(100))
    assert set(seen) == {("champion", 2), ("holdback", 1)}
    batch = batch_of(process)[1]
    assert batch.challenger.answers == seen["champion", 2]  # the new model, whatever it is called now
    assert batch.champion.answers == seen["holdback", 1]
    process.converge(2)
    process.until(lambda: before.champions["action"].state == "UNLOADED")


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_a_new_champion_that_fails_is_answered_for_by_the_old_one(start, make_bad_model, kind):
    process = start(kind, make_bad_model, deadline_ms=300)
    process.converge(1, 2, mode=Mode.LOAD)
    process.converge(2, 1, mode=Mode.BAKE, share=0.05)
    answers = process.answers(40)
    assert set(arms(answers)) == {("holdback", 1)}
    assert IN_A_ROW <= sum("recovered" in answer for answer in answers) <= IN_A_ROW + 2
    assert process.breaker() == "OPEN"


def test_at_a_rollback_after_the_promotion_the_old_model_answers_what_is_in_flight(start, make_bad_model):
    process = start("hangs", make_bad_model, deadline_ms=60_000)
    process.converge(1, 2, mode=Mode.LOAD)
    process.converge(2, 1, mode=Mode.BAKE)
    new = process.worker.releases.newest.champions["action"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(process.answers, 3, concurrent=3)
        process.until(lambda: new.in_flight >= 3)
        started = time.monotonic()
        process.wanted.want(1)
        answers = waiting.result(20)
    assert time.monotonic() - started < 1
    assert [answer["recovered"] for answer in answers] == [True] * 3
    assert set(arms(answers)) == {("holdback", 1)}
    process.until(lambda: new.state == "UNLOADED")


def test_a_split_that_cannot_be_loaded_touches_nothing(start, small_home):
    process = start()
    with (small_home.folder(2) / "model.onnx").open("ab") as file:
        file.write(b"x")
    process.converge(1, 2, share=1.0)
    assert set(arms(process.answers(20))) == {("champion", 1)}
    health = process.health()
    assert health["status"] == "degraded"
    assert [(p["error"], p["digest"]) for p in health["problems"]] == [("PackageTampered", small_home.digests[2])]
    assert health["splits"] == {}
    assert process.worker.ready()


def test_no_request_mixes_two_generations(start):
    process = start()
    expected = {}
    seen = Counter()
    for i in range(12):
        champion, other = (1, 2) if i % 2 else (2, 3)
        process.converge(champion, other, share=0.5, rollout=i + 1)
        expected[process.wanted.served.generation] = (champion, other)
        for response in process.ask(20, concurrent=4):
            content = response.json()
            generation = int(response.headers["x-recognizer-generation"])
            version = content["model"]["version"]
            assert version == expected[generation][content["arm"] == "challenger"]
            assert content["action"] == ACTIONS[version % 3]
            seen[content["arm"]] += 1
    assert min(seen["champion"], seen["challenger"]) > 50


def test_held_shares_answer_nothing_and_come_back(start):
    process = start()
    process.converge(1, 2, share=1.0)
    process.worker.router.held = "no controller for 10 s"
    assert set(arms(process.answers(20))) == {("champion", 1)}
    assert process.worker.trials.flush() == []
    assert process.health()["held"] == "no controller for 10 s"
    process.worker.router.held = None
    assert set(arms(process.answers(5))) == {("challenger", 2)}


def test_the_breaker_probes_and_closes_again(start):
    process = start(breaker_seconds=0.1)
    process.converge(1, 2, share=1.0)
    breaker = process.worker.releases.newest.beside["action"].trial.breaker
    breaker.trip("by hand")
    assert set(arms(process.answers(5))) == {("champion", 1)}
    process.until(lambda: process.breaker() == "HALF_OPEN")
    assert set(arms(process.answers(3))) == {("challenger", 2)}
    assert process.breaker() == "CLOSED"


def test_a_rollout_that_comes_back_goes_on_with_its_sequence(start):
    process = start()
    process.converge(1, 2, share=1.0)
    process.answers(3)
    assert batch_of(process)[1].sequence == 1
    process.converge(1)
    process.converge(1, 2, share=1.0)
    process.answers(3)
    assert batch_of(process)[1].sequence == 2
