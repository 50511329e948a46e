"""What a dead process leaves behind, and on which model its death is blamed."""

import signal
import subprocess
import sys
import time

import pytest

from recognizer.store.processes import this_process
from serving.breadcrumb import Breadcrumb, Left, read_breadcrumb
from serving.losses import MOMENT_SECONDS, SILENT, Death, Graveyard, count_losses, death_of

A, B = "a" * 64, "b" * 64


def death(at, digest=A, cause=None):
    return Death(at, frozenset({digest}), cause)


APART = MOMENT_SECONDS + 1
AT_DIFFERENT_MOMENTS = [death(100 + i * APART) for i in range(2 * SILENT)]


@pytest.mark.parametrize(
    ("deaths", "losses"),
    [
        ([], 0),
        ([death(100, cause="Segmentation fault")], 1),
        ([death(100, B, "Segmentation fault")], 0),  # of another model
        ([death(90, cause="Segmentation fault")], 0),  # before the rollout
        ([death(100, cause="memory"), death(100, cause="memory")], 2),
        ([death(100)], 0),  # killed in silence
        ([death(100 + i) for i in range(8)], 0),  # somebody killed them all
        (AT_DIFFERENT_MOMENTS[: SILENT - 1], 0),
        (AT_DIFFERENT_MOMENTS[:SILENT], 1),
        (AT_DIFFERENT_MOMENTS, 2),
        ([*AT_DIFFERENT_MOMENTS[: SILENT - 1], death(100, cause="memory")], 1),
    ],
)
def test_which_deaths_are_losses(deaths, losses):
    assert count_losses(deaths, A, since=95) == losses


@pytest.mark.parametrize(
    ("left", "kills", "cause"),
    [
        (Left(5.0, 2, {A: 1}, None), 2, None),
        (Left(5.0, 2, {A: 1}, None), 3, "the system has killed 1 process(es) for memory"),
        (Left(5.0, 2, {A: 1}, "Fatal Python error: Aborted"), 2, "Fatal Python error: Aborted"),
        (Left(5.0, -1, {A: 1}, None), 3, None),  # it never looked
        (Left(5.0, 2, {A: 1}, None), -1, None),  # the system does not tell
    ],
)
def test_what_killed_a_process(left, kills, cause):
    assert death_of(left, kills) == Death(5.0, frozenset({A}), cause)


def test_a_breadcrumb_tells_what_is_in_flight(tmp_path):
    crumb = Breadcrumb(tmp_path / "workers" / "w")
    path = tmp_path / "workers" / "w"
    assert read_breadcrumb(path).in_flight == {}
    with crumb.during(A), crumb.during(A), crumb.during(B):
        assert read_breadcrumb(path).in_flight == {A: 2, B: 1}
    assert read_breadcrumb(path).in_flight == {}
    crumb.beat(7)
    left = read_breadcrumb(path)
    assert (left.kills, left.fault) == (7, None)
    assert abs(left.alive_at - time.time()) < 5
    crumb.remove()
    crumb.remove()
    assert read_breadcrumb(path) is None


def test_more_models_than_places(tmp_path):
    crumb = Breadcrumb(tmp_path / "w")
    for number in range(40):  # one after the other: the places of those that are idle are taken
        with crumb.during(f"{number:064x}"), crumb.during(A):
            assert read_breadcrumb(tmp_path / "w").in_flight == {f"{number:064x}": 1, A: 1}


def test_what_is_no_breadcrumb_says_nothing(tmp_path):
    (tmp_path / "short").write_bytes(b"x")
    assert read_breadcrumb(tmp_path / "short") is None
    assert read_breadcrumb(tmp_path / "missing") is None
    assert losses_of_a(Graveyard(tmp_path / "nowhere")) == 0


def losses_of_a(graveyard):
    graveyard.look()
    return graveyard.losses(A, 0.0)


def test_without_a_place_for_it_a_process_serves_all_the_same(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    crumb = Breadcrumb.at(tmp_path / "logs" / "w")
    crumb.report_faults()
    with crumb.during(A):
        crumb.beat(1)
    crumb.remove()
    Breadcrumb.at(tmp_path / "w")
    assert read_breadcrumb(tmp_path / "w").kills == -1


DIES = """
import os, sys, time
from pathlib import Path
from recognizer.store.processes import this_process
from serving.breadcrumb import Breadcrumb
crumb = Breadcrumb(Path(sys.argv[1]) / this_process())
crumb.report_faults()
crumb.beat(0)
with crumb.during(sys.argv[2]):
    os.kill(os.getpid(), int(sys.argv[3]))
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("way", "losses", "said"),
    [(signal.SIGSEGV, 1, "Segmentation fault"), (signal.SIGABRT, 1, "Aborted"), (signal.SIGKILL, 0, None)],
)
def test_a_process_that_dies_with_a_model_in_flight(tmp_path, way, losses, said):
    process = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path), A, str(int(way))], capture_output=True, check=False
    )
    assert process.returncode == -way
    began = time.time() - 30
    graveyard = Graveyard(tmp_path, kills=lambda: 0)
    graveyard.look()
    assert graveyard.losses(A, began) == losses
    assert graveyard.losses(B, began) == 0
    assert graveyard.losses(A, time.time() + 1) == 0
    (path,) = tmp_path.iterdir()
    assert read_breadcrumb(path).in_flight == {A: 1}
    assert said is None or said in read_breadcrumb(path).fault
    graveyard.forget(began)
    assert path.exists()
    graveyard.forget(time.time() + 1)
    assert not path.exists()
    assert losses_of_a(graveyard) == 0


@pytest.mark.parametrize("name", ["elsewhere-12345678:1:1", this_process()], ids=["elsewhere", "lives"])
def test_who_cannot_be_seen_or_lives_is_no_loss(tmp_path, name):
    crumb = Breadcrumb(tmp_path / name)
    with crumb.during(A):
        assert losses_of_a(Graveyard(tmp_path)) == 0
