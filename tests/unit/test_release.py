"""A request takes one release and keeps it to its end, whatever is published meanwhile."""

import threading

import pytest
from structlog.testing import capture_logs

from recognizer.errors import NoChampion
from recognizer.rollout.split import Mode, Split
from serving.latency import Latency
from serving.release import Beside, Problem, Release, Releases
from serving.servable import Opened, Servable, State
from serving.trial import Trials


def loaded(version, task="action"):
    servable = Servable(task, version, f"{version:064d}")
    servable.load(lambda: Opened(predictor=None, card=None))
    return servable


def publish(releases, generation, *servables):
    releases.publish(Release(generation, {servable.task: servable for servable in servables}))


def beside(servable, rollout=1):
    split = Split(servable.task, rollout, Mode.CANARY, servable.version, servable.digest, 0.05, "salt")
    return Beside(servable, split, Trials("w").adopt(split, Latency()))


def test_a_release_cannot_be_changed():
    given = {"action": loaded(1)}
    release = Release(1, given)
    given.clear()
    assert set(release.champions) == {"action"}
    with pytest.raises(TypeError):
        release.champions["action"] = loaded(2)
    with pytest.raises(AttributeError):
        release.generation = 2


def test_only_available_servables_are_published():
    releases = Releases()
    with pytest.raises(ValueError, match="not AVAILABLE"):
        publish(releases, 1, Servable("action", 1, "a"))
    assert releases.newest.generation == 0


def test_a_request_keeps_its_release():
    releases, first, second = Releases(), loaded(1), loaded(2)
    publish(releases, 1, first)
    with releases.take("action") as (release, servable, _):
        publish(releases, 2, second)
        assert (release.generation, servable) == (1, first)
        assert first.state is State.QUIESCING
        releases.sweep()
        assert first.state is State.QUIESCING
        with releases.take("action") as (newer, other, _):
            assert (newer.generation, other) == (2, second)
    assert releases.retiring == 1
    releases.sweep()
    assert first.state is State.UNLOADED
    assert releases.retiring == 0


def test_a_failing_request_leaves_too():
    releases, servable = Releases(), loaded(1)
    publish(releases, 1, servable)
    with pytest.raises(RuntimeError), releases.take("action"):
        raise RuntimeError
    assert servable.in_flight == 0


def test_what_stays_is_not_touched():
    releases, action, pose = Releases(), loaded(1), loaded(1, "pose")
    publish(releases, 1, action, pose)
    publish(releases, 2, loaded(2), pose)
    assert action.state is State.QUIESCING
    assert pose.state is State.AVAILABLE


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ({}, "nothing has been promoted yet"),
        (
            {"action": Problem("action", "d", {"what": "a file was changed", "next": "restore it"})},
            "a file was changed",
        ),
    ],
)
def test_without_a_champion(refused, says):
    releases = Releases()
    releases.publish(Release(1, {}, refused))
    with pytest.raises(NoChampion, match=says) as caught, releases.take("action"):
        pass
    assert caught.value.http_status == 503
    assert caught.value.hint


def test_swapping_under_load_loses_no_request():
    releases = Releases()
    publish(releases, 1, loaded(1))
    stop, failures = threading.Event(), []

    def work():
        while not stop.is_set():
            try:
                with releases.take("action") as (release, servable, _):
                    if servable.version != release.generation or servable.opened is None:
                        failures.append((release.generation, servable.version))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 200):
        publish(releases, version, loaded(version))
        releases.sweep()
    stop.set()
    for thread in threads:
        thread.join()
    releases.sweep()
    assert not failures
    assert releases.retiring == 0


def test_roles_change_without_touching_the_models():
    releases, old, new = Releases(), loaded(1), loaded(2)
    releases.publish(Release(1, {"action": old}, beside={"action": beside(new)}))
    with releases.take("action") as (release, champion, other):
        assert (champion, other.servable) == (old, new)
        releases.publish(Release(2, {"action": new}, beside={"action": beside(old)}))
        assert (release.champions["action"], old.in_flight, new.in_flight) == (old, 1, 1)
    assert {old.state, new.state} == {State.AVAILABLE}
    assert releases.retiring == 0
    releases.publish(Release(3, {"action": new}))
    releases.sweep()
    assert (old.state, new.state) == (State.UNLOADED, State.AVAILABLE)


def test_the_other_model_must_be_available_too():
    releases = Releases()
    with pytest.raises(ValueError, match="not AVAILABLE"):
        releases.publish(Release(1, {"action": loaded(1)}, beside={"action": beside(Servable("action", 2, "b"))}))


def test_a_request_that_does_not_leave_is_reported_once():
    now = [0.0]
    releases, old = Releases(quiesce_seconds=30, clock=lambda: now[0]), loaded(1)
    publish(releases, 1, old)
    with releases.take("action"), capture_logs() as logs:
        publish(releases, 2, loaded(2))
        for now[0], leaks in [(29.9, 0), (30.0, 1), (45.04, 1)]:
            releases.sweep()
            assert len(releases.leaks) == leaks
        assert releases.leaks == [
            {"task": "action", "version": 1, "digest": old.digest, "in_flight": 1, "seconds": 45.0}
        ]
        assert [(log["log_level"], log["version"], log["in_flight"]) for log in logs] == [("error", 1, 1)]
        assert old.state is State.QUIESCING
    releases.sweep()
    assert (releases.leaks, old.state) == ([], State.UNLOADED)
