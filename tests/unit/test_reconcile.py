"""What a worker does when the store changes, is refused, or is gone."""

import pytest
from structlog.testing import capture_logs

from recognizer.errors import PackageTampered, PackageUnblessed, StoreUnavailable
from recognizer.split import Mode, Split
from recognizer.store.served import Champion, Served
from serving.reconcile import LAST_RETRY, Reconciler
from serving.release import Releases
from serving.servable import Opened, Servable, State
from serving.trial import Trials


def champion(version, task="action", previous=None):
    return Champion(task, version, f"digest-{version}", previous, 0.0, "test")


class Wanted:
    """The store as a list of promotions."""

    def __init__(self):
        self.served = Served(0, {})
        self.known = {}
        self.problem = None
        self.reads = 0

    def promote(self, *champions):
        self.known |= {one.digest: one for one in champions}
        self.want(champions={**self.served.champions, **{one.task: one for one in champions}})

    def split(self, version, mode=Mode.CANARY, share=0.05, rollout=1):
        split = Split("action", rollout, mode, version, f"digest-{version}", share, "salt")
        self.want(splits={"action": split})

    def want(self, champions=None, splits=None):
        served = self.served
        champions = served.champions if champions is None else champions
        self.served = Served(served.generation + 1, champions, served.splits if splits is None else splits)

    def newer_than(self, generation):
        if self.problem:
            raise self.problem
        if generation == self.served.generation:
            return None
        self.reads += 1
        return self.served

    def previous(self, champion):
        return self.known.get(champion.previous_digest)


class Packages:
    """Loads everything but the digests in `bad`, and those in `slow` not yet."""

    def __init__(self):
        self.bad = {}
        self.slow = set()
        self.loads = []
        self.kept = set()

    def load(self, champion):
        if champion.digest in self.slow:
            return None
        self.loads.append(champion.version)
        if champion.digest in self.bad:
            raise self.bad[champion.digest]
        servable = Servable(champion.task, champion.version, champion.digest)
        servable.load(lambda: Opened(predictor=None, card=None))
        return servable

    def keep(self, digests):
        self.kept = digests


class Bench:
    """A reconciler with its surroundings and a clock that is turned by hand."""

    def __init__(self):
        self.wanted, self.packages, self.releases, self.now = Wanted(), Packages(), Releases(), 0.0
        self.trials = Trials("w", clock=lambda: self.now)
        self.reconciler = Reconciler(self.wanted, self.packages, self.releases, self.trials, clock=lambda: self.now)

    def step(self, seconds=0.1):
        self.now += seconds
        self.reconciler.step()
        return {task: servable.version for task, servable in self.releases.newest.champions.items()}


@pytest.fixture
def bench():
    return Bench()


def test_an_empty_store_is_a_release_too(bench):
    assert bench.step() == {}
    assert bench.reconciler.store_problem is None
    assert bench.releases.newest.whole


def test_converges_and_then_rests(bench):
    bench.wanted.promote(champion(1))
    assert bench.step() == {"action": 1}
    first = bench.releases.newest
    assert bench.step() == {"action": 1}
    assert bench.releases.newest is first
    assert bench.packages.loads == [1]
    bench.wanted.promote(champion(2))
    assert bench.step() == {"action": 2}
    assert bench.releases.newest.generation == 2
    old = first.champions["action"]
    assert old.state is State.QUIESCING
    bench.step()
    assert old.state is State.UNLOADED


def test_a_task_that_did_not_change_keeps_its_servable(bench):
    bench.wanted.promote(champion(1), champion(5, "pose"))
    bench.step()
    pose = bench.releases.newest.champions["pose"]
    bench.wanted.promote(champion(2))
    assert bench.step() == {"action": 2, "pose": 5}
    assert bench.releases.newest.champions["pose"] is pose


def test_a_refused_champion_leaves_the_one_before(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = PackageTampered("a file was changed", where="model.onnx", hint="restore it")
    bench.wanted.promote(champion(2, previous="digest-1"))
    with capture_logs() as logs:
        for _ in range(5):
            assert bench.step() == {"action": 1}
    problem = bench.releases.newest.refused["action"].as_dict()
    assert problem == {
        "task": "action",
        "digest": "digest-2",
        "error": "PackageTampered",
        "what": "a file was changed",
        "where": "model.onnx",
        "next": "restore it",
    }
    assert [log["log_level"] for log in logs if log["event"] != "published"] == ["error"]
    assert bench.packages.loads == [1, 2]


def test_tries_again_with_growing_pauses_and_logs_once(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = PackageUnblessed("it was never blessed")
    bench.wanted.promote(champion(2))
    with capture_logs() as logs:
        for _ in range(10_000):
            bench.step(0.1)
    tries = bench.packages.loads.count(2)
    assert 1000 / LAST_RETRY <= tries <= 1000 / LAST_RETRY + 8
    assert len([log for log in logs if log["event"] != "published"]) == 1
    bench.packages.bad.clear()
    assert bench.step(LAST_RETRY) == {"action": 2}
    assert not bench.releases.newest.refused


def test_the_next_promotion_does_not_wait_for_the_pause(bench):
    bench.packages.bad["digest-1"] = PackageTampered("a file was changed")
    bench.wanted.promote(champion(1))
    assert bench.step() == {}
    bench.wanted.promote(champion(2))
    assert bench.step(0.01) == {"action": 2}
    assert bench.releases.newest.whole


def test_back_to_the_one_that_serves_needs_no_load(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = PackageTampered("a file was changed")
    bench.wanted.promote(champion(2))
    bench.step()
    bench.wanted.promote(champion(1))
    assert bench.step() == {"action": 1}
    assert bench.releases.newest.whole
    assert bench.packages.loads == [1, 2]


@pytest.mark.parametrize(("bad", "serves"), [({"digest-2"}, {"action": 1}), ({"digest-1", "digest-2"}, {})])
def test_a_new_process_falls_back_to_the_champion_before(bench, bad, serves):
    bench.packages.bad = {digest: PackageTampered("a file was changed") for digest in bad}
    bench.wanted.promote(champion(1))
    bench.wanted.promote(champion(2, previous="digest-1"))
    assert bench.step() == serves
    assert "action" in bench.releases.newest.refused


def test_store_gone_goes_on_and_catches_up(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.wanted.problem = StoreUnavailable("the database does not answer", hint="start it")
    with capture_logs() as logs:
        for _ in range(50):
            assert bench.step() == {"action": 1}
    assert bench.reconciler.store_problem.as_dict()["error"] == "StoreUnavailable"
    assert len([log for log in logs if log["event"] != "published"]) == 1
    bench.wanted.problem = None
    bench.wanted.promote(champion(2))
    assert bench.step() == {"action": 2}
    assert bench.reconciler.store_problem is None


def test_whatever_happens_the_thread_survives(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = RuntimeError("a bug")
    bench.wanted.promote(champion(2))
    with capture_logs() as logs:
        assert bench.step() == {"action": 1}
    assert "a bug" in bench.reconciler.store_problem.as_dict()["what"]
    assert logs[0]["log_level"] == "error"
    bench.packages.bad.clear()
    assert bench.step() == {"action": 2}


def beside(bench):
    return {task: one.servable.version for task, one in bench.releases.newest.beside.items()}


def test_the_way_of_a_challenger_loads_each_model_once(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    trials = []
    for mode, share in [(Mode.LOAD, 0), (Mode.SHADOW, 0), (Mode.CANARY, 0.05), (Mode.CANARY, 0.09)]:
        bench.wanted.split(2, mode, share)
        assert (bench.step(), beside(bench)) == ({"action": 1}, {"action": 2})
        one = bench.releases.newest.beside["action"]
        assert (one.split.mode, one.split.share) == (mode, share)
        trials.append(one.trial)
    bench.wanted.promote(champion(2, previous="digest-1"))
    bench.wanted.split(1, Mode.BAKE, 0.05)
    assert (bench.step(), beside(bench)) == ({"action": 2}, {"action": 1})
    trials.append(bench.releases.newest.beside["action"].trial)
    assert len({id(trial) for trial in trials}) == 1
    assert bench.packages.loads == [1, 2]
    old = bench.releases.newest.beside["action"].servable
    bench.wanted.want(splits={})
    assert (bench.step(), beside(bench)) == ({"action": 2}, {})
    assert trials[0].ended
    bench.step()
    assert old.state is State.UNLOADED


def test_an_abort_after_the_promotion_loads_nothing(bench):
    bench.wanted.promote(champion(1))
    bench.wanted.promote(champion(2, previous="digest-1"))
    bench.wanted.split(1, Mode.BAKE)
    bench.step()
    loads = list(bench.packages.loads)
    bench.wanted.promote(champion(1))
    bench.wanted.want(splits={})
    assert bench.step() == {"action": 1}
    assert bench.packages.loads == loads


def test_a_split_that_is_refused_touches_nothing_and_is_tried_again(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = PackageTampered("a file was changed")
    bench.wanted.split(2)
    with capture_logs() as logs:
        for _ in range(100):
            assert (bench.step(), beside(bench)) == ({"action": 1}, {})
    release = bench.releases.newest
    assert (release.generation, release.refused, release.whole) == (2, {}, False)
    assert release.missing["action"].as_dict()["error"] == "PackageTampered"
    assert [log["log_level"] for log in logs if log["event"] != "published"] == ["error"]
    assert 3 <= bench.packages.loads.count(2) <= 5
    bench.packages.bad.clear()
    bench.step(LAST_RETRY)
    assert beside(bench) == {"action": 2}
    assert bench.releases.newest.whole


def test_a_champion_that_is_loading_leaves_the_one_before_and_its_generation(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.slow.add("digest-2")
    bench.wanted.promote(champion(2))
    for _ in range(3):
        assert bench.step() == {"action": 1}
        assert bench.releases.newest.generation == 1
        assert bench.reconciler.loading
    bench.packages.slow.clear()
    assert bench.step() == {"action": 2}
    assert bench.releases.newest.generation == 2
    assert not bench.reconciler.loading


def test_a_challenger_that_is_loading_delays_nothing(bench):
    bench.wanted.promote(champion(1), champion(5, "pose"))
    bench.step()
    bench.packages.slow.add("digest-2")
    bench.wanted.split(2, Mode.LOAD, 0)
    bench.step()
    assert (beside(bench), bench.releases.newest.generation) == ({}, 2)
    bench.wanted.promote(champion(6, "pose"))
    assert bench.step() == {"action": 1, "pose": 6}
    assert "digest-2" in bench.packages.kept
    before = bench.releases.newest
    bench.step()
    assert bench.releases.newest is before  # nothing new is published while it loads
    bench.wanted.want(splits={})
    bench.step()
    assert "digest-2" not in bench.packages.kept
    assert not bench.reconciler.loading


def test_without_its_champion_a_split_is_worth_nothing(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.packages.bad["digest-2"] = PackageTampered("a file was changed")
    bench.wanted.promote(champion(2, previous="digest-1"))
    bench.wanted.split(3)
    assert (bench.step(), beside(bench)) == ({"action": 1}, {})
    assert 3 not in bench.packages.loads
    bench.wanted.split(1, Mode.BAKE)
    assert (bench.step(), beside(bench)) == ({"action": 1}, {})
    bench.packages.bad.clear()
    assert bench.step(LAST_RETRY) == {"action": 2}
    assert beside(bench) == {"action": 1}


@pytest.mark.parametrize(
    ("found", "serves", "generation", "lost"),
    [
        (Served(0, {}), {"action": 2, "pose": 5}, 2, "action, pose"),
        (Served(1, {}), {"action": 2, "pose": 5}, 2, "action, pose"),
        (Served(1, {"action": champion(1)}), {"action": 1, "pose": 5}, 1, "pose"),
        (Served(1, {"action": champion(1), "pose": champion(4, "pose")}), {"action": 1, "pose": 4}, 1, None),
        (Served(3, {"action": champion(3)}), {"action": 3}, 3, None),
    ],
    ids=["empty", "behind", "behind, one champion", "a backup", "ahead"],
)
def test_a_store_that_has_lost_champions_takes_none_out(bench, found, serves, generation, lost):
    bench.wanted.promote(champion(1), champion(5, "pose"))
    bench.step()
    bench.wanted.promote(champion(2))
    assert bench.step() == {"action": 2, "pose": 5}
    before, bench.wanted.served = bench.wanted.served, found
    for _ in range(3):
        assert bench.step() == serves
    assert bench.releases.newest.generation == generation
    problem = bench.reconciler.store_problem
    assert (problem is None) == (lost is None)
    if problem is not None:
        assert f"no champion of {lost};" in problem.error["what"]
        assert "put the store back" in problem.error["next"]
        bench.wanted.served = before
        assert bench.step() == {"action": 2, "pose": 5}
        assert bench.reconciler.store_problem is None


def test_a_new_store_is_followed_from_its_first_champion_on(bench):
    bench.wanted.promote(champion(1))
    bench.step()
    bench.wanted.promote(champion(2))
    bench.step()
    bench.wanted.served = Served(0, {})
    assert bench.step() == {"action": 2}
    bench.wanted.served = Served(1, {"action": champion(9)})
    assert bench.step() == {"action": 9}
    assert bench.reconciler.store_problem is None
    bench.wanted.promote(champion(10))
    assert bench.step() == {"action": 10}
