"""A request takes one release and keeps it to its end, whatever is published meanwhile."""

import threading

import pytest

from recognizer.errors import NoChampion
from serving.release import Problem, Release, Releases
from serving.servable import Opened, Servable, State


def loaded(version, task="action"):
    servable = Servable(task, version, f"{version:064d}")
    servable.load(lambda: Opened(predictor=None, card=None))
    return servable


def publish(releases, generation, *servables):
    releases.publish(Release(generation, {servable.task: servable for servable in servables}))


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
