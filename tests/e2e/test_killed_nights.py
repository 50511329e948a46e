"""kill -9 in each step of one night, then the night again: one version, one training, the same model."""

import contextlib
import multiprocessing
import sqlite3
import time
from multiprocessing.process import BaseProcess

import pytest

from recognizer.night import Outcome, Step
from recognizer.store import nights, versions
from recognizer.store.served import read_served

NIGHT = """
import os, sys
sys.stdout = sys.stderr = open(told, "w")
os.environ.update(environment)
from flows import steps
from flows.night import NightRequest, NightResult
from flows.nightly import go_through
from flows.opening import open_night
from recognizer.settings import load_settings
with open_night(load_settings(), NightRequest("action", night=date)) as night:
    night if isinstance(night, NightResult) else go_through(night, steps.WORK)
"""
"""The night as the flow runs it, without Prefect around it, which would cost seconds at each start."""
IMPORTED = ["flows.nightly", "flows.contract", "flows.registry", "training.action.trainer", "training.action.fit"]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def forks():
    """Processes forked from one that has imported what a night needs: each would take longer for that than to work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


@pytest.fixture
def start(place, forks):
    """Starts a night of a date in a process of its own; none outlives the test."""
    started: list[BaseProcess] = []

    def begin(date: str = "2026-11-20") -> BaseProcess:
        said = {"told": place.root.parent / "told", "environment": place.environment, "date": date}
        process = forks.Process(target=exec, args=(NIGHT, said))
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


def end(place, process: BaseProcess) -> None:
    """Wait for the end of a night that nobody kills."""
    process.join(PATIENCE)
    assert process.exitcode == 0, (place.root.parent / "told").read_text()


def kill_in(place, start, step: Step) -> None:
    """Run the night until the store says that it is in the step, and kill it then."""
    with place.store() as store:  # made, if it is not there
        attempts = getattr(nights.latest(store, "action"), "attempts", 0)
    wanted = (attempts + 1, step.value)
    process = start()
    with contextlib.closing(sqlite3.connect(place.home.store)) as database:
        deadline = time.monotonic() + PATIENCE
        while database.execute("SELECT attempts, step FROM nights ORDER BY id DESC LIMIT 1").fetchone() != wanted:
            assert process.is_alive(), (place.root.parent / "told").read_text()
            assert time.monotonic() < deadline, f"never came to step {step}"
            time.sleep(0.001)  # between two looks: some steps are short, and the night needs the cores
        process.kill()
        process.join()


def test_killed_in_every_step_it_ends_as_one_night(place, start):
    for step in Step:
        kill_in(place, start, step)
        with place.store() as store:
            assert nights.latest(store, "action").outcome is None
            assert len(versions.list(store, "action")) <= 1
    end(place, start())
    with place.store() as store:
        row = nights.latest(store, "action")
        assert (row.outcome, row.version) == (Outcome.PROMOTED, 1)
        assert row.attempts in (len(Step), len(Step) + 1)  # the last kill may have come after the promotion
        assert [version.version for version in versions.list(store, "action")] == [1]
        assert read_served(store).generation == 1
        assert len(nights.list(store, "action")) == 1
    assert place.trainings() == 1
    left = [path for path in place.root.rglob("*") if path.name.endswith(".partial") or ".incoming-" in path.name]
    assert left == []


def test_killed_late_and_gone_on_with_on_the_next_date_it_is_promoted(place, start):
    kill_in(place, start, Step.REPORT)
    end(place, start("2026-11-21"))
    with place.store() as store:
        row = nights.latest(store, "action")
        assert (row.night, row.outcome, row.version) == ("2026-11-21", Outcome.PROMOTED, 1)
        assert read_served(store).champions["action"].version == 1
        assert [version.version for version in versions.list(store, "action")] == [1]
    assert place.trainings() == 1
