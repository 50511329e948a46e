"""kill -9 in each step of one night, then the night again: one version, one training, the same model."""

import contextlib
import sqlite3
import subprocess
import sys
import time

from recognizer.home import checkout
from recognizer.night import Outcome, Step
from recognizer.store import nights, versions
from recognizer.store.served import read_served

# The night as the flow runs it, without Prefect around it, which would cost seconds at each start.
NIGHT = """
import sys
from flows import steps
from flows.night import NightRequest, NightResult
from flows.nightly import go_through
from flows.opening import open_night
from recognizer.settings import load_settings
with open_night(load_settings(), NightRequest("action", night=sys.argv[1])) as night:
    night if isinstance(night, NightResult) else go_through(night, steps.WORK)
"""
PATIENCE = 120.0


def start(place, night: str = "2026-11-20") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", NIGHT, night],
        env=place.environment,
        cwd=checkout(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_in(place, step: Step) -> None:
    """Run the night until the store says that it is in the step, and kill it then."""
    with place.store() as store:  # made, if it is not there
        attempts = getattr(nights.latest(store, "action"), "attempts", 0)
    wanted = (attempts + 1, step.value)
    with contextlib.closing(sqlite3.connect(place.home.store)) as database, start(place) as process:
        deadline = time.monotonic() + PATIENCE
        while database.execute("SELECT attempts, step FROM nights ORDER BY id DESC LIMIT 1").fetchone() != wanted:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline, f"never came to step {step}"
            time.sleep(0.001)  # between two looks: some steps are short, and the night needs the cores
        process.kill()
        process.wait()


def test_killed_in_every_step_it_ends_as_one_night(place):
    for step in Step:
        kill_in(place, step)
        with place.store() as store:
            assert nights.latest(store, "action").outcome is None
            assert len(versions.list(store, "action")) <= 1
    with start(place) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err.decode()
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


def test_killed_late_and_gone_on_with_on_the_next_date_it_is_promoted(place):
    kill_in(place, Step.REPORT)
    with start(place, "2026-11-21") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err.decode()
    with place.store() as store:
        row = nights.latest(store, "action")
        assert (row.night, row.outcome, row.version) == ("2026-11-21", Outcome.PROMOTED, 1)
        assert read_served(store).champions["action"].version == 1
        assert [version.version for version in versions.list(store, "action")] == [1]
    assert place.trainings() == 1
