"""Rows of nights, versions, snapshots and checks: written once, resumed, ended, fenced."""

import dataclasses

import pytest

from recognizer.checks import Check, Verdict
from recognizer.errors import Conflict, NotFound
from recognizer.night import Outcome, Step
from recognizer.store import checks, nights, open_store, snapshots, versions
from recognizer.store.leases import Lease, acquire

START = {
    "task": "action",
    "night": "2026-11-20",
    "inputs": "i" * 64,
    "identity": "d" * 64,
    "snapshot": "s",
    "parent": None,
    "champion_version": None,
    "champion_digest": None,
    "seed": 7,
}


@pytest.fixture
def store(store_url):
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def lease(store) -> Lease:
    return acquire(store, "night:action", "me", 60)


@pytest.fixture
def lost(store) -> Lease:
    """A lease that somebody else has by now."""
    first = acquire(store, "night:action", "me", -1)
    acquire(store, "night:action", "other", 60)
    return first


def record_version(store, **changes) -> versions.Version:
    row = {
        "task": "action",
        "version": 1,
        "digest": "a" * 64,
        "snapshot": "s",
        "test_digest": "t",
        "verdict": "PASSED",
        "metrics": {"accuracy": 0.9},
    }
    return versions.record(store, **{**row, **changes})


def test_a_night_is_begun_goes_on_and_ends(store, lease):
    night = nights.begin(store, **START, lease=lease)
    assert (night.attempts, night.step, night.outcome, night.seed) == (1, None, None, 7)
    assert nights.get(store, *key_of(night)) == night == nights.latest(store, "action")
    night = nights.advance(store, night.key, "train", lease=lease)
    assert night.step is Step.TRAIN
    night = nights.advance(store, night.key, Step.TRAIN, lease=lease)  # a retry of the step
    night = nights.advance(store, night.key, "register", version=3, digest="a" * 64, mlflow_run="r", metrics={"x": 1.5})
    night = nights.end(store, night.key, "promoted", "0.95 ≥ 0.90", lease=lease, report="reports/1")
    assert (night.outcome, night.reason, night.report) == (Outcome.PROMOTED, "0.95 ≥ 0.90", "reports/1")
    assert (night.version, night.digest, night.mlflow_run, night.metrics) == (3, "a" * 64, "r", {"x": 1.5})
    assert night.started_at <= night.updated_at <= night.ended_at + 0.1
    assert night.as_dict()["outcome"] == "promoted"


def test_a_killed_night_goes_on_in_the_same_row_from_what_it_started_from(store):
    first = nights.begin(store, **START)
    nights.advance(store, first.key, "export")
    again = nights.begin(store, **{**START, "identity": "e" * 64, "parent": "p" * 64, "champion_version": 2})
    assert (again.id, again.attempts, again.step) == (first.id, 2, None)
    assert (again.identity, again.parent) == (first.identity, None)
    assert again.champion_version == 2  # whoever serves now is the one to beat
    # its marks let it skip what is done: any step may come next
    assert nights.advance(store, again.key, "contract").step is Step.CONTRACT


def test_a_failed_night_is_tried_again_and_an_ended_one_is_not(store):
    night = nights.begin(store, **START)
    nights.end(store, night.key, "failed", "disk full")
    again = nights.begin(store, **START)
    assert (again.attempts, again.outcome, again.reason, again.ended_at) == (2, None, None, None)
    nights.end(store, night.key, "rejected", "0.7 < 0.9")
    last = nights.begin(store, **START)
    assert (last.attempts, last.outcome, last.reason) == (2, Outcome.REJECTED, "0.7 < 0.9")


@pytest.mark.parametrize("outcome", ["promoted", "released", "rejected", "unchanged", "failed"])
def test_the_last_word_stays(store, outcome):
    night = nights.begin(store, **START)
    ended = nights.end(store, night.key, outcome, "because")
    assert nights.end(store, night.key, outcome, "another reason") == ended
    for other in set(Outcome) - {Outcome(outcome)}:
        with pytest.raises(Conflict, match=f"ended as {outcome}"):
            nights.end(store, night.key, other, "because")
    with pytest.raises(Conflict, match="ended as"):
        nights.advance(store, night.key, "train")


def test_steps_do_not_go_back(store):
    night = nights.begin(store, **START)
    nights.advance(store, night.key, "evaluate")
    with pytest.raises(Conflict, match="from step evaluate to train"):
        nights.advance(store, night.key, "train")


def test_a_night_that_was_never_begun_is_not_found(store):
    key = nights.NightKey("action", "2026-11-20", "i")
    assert nights.get(store, "action", "2026-11-20", "i") is None
    assert nights.latest(store, "action") is None
    for change in (lambda: nights.advance(store, key, "train"), lambda: nights.end(store, key, "failed", "x")):
        with pytest.raises(NotFound, match="night 2026-11-20 of task 'action'"):
            change()


@pytest.mark.parametrize("part", ["task", "night", "inputs"])
def test_another_key_is_another_night(store, part):
    first = nights.begin(store, **START)
    second = nights.begin(store, **{**START, part: "other"})
    assert second.id > first.id
    assert [night.id for night in nights.list(store)] == [second.id, first.id]
    assert [night.id for night in nights.list(store, limit=1)] == [second.id]


def test_the_newest_night_that_judged_is_found(store):
    for day, outcome in [(1, "rejected"), (2, "promoted"), (3, "failed"), (4, "unchanged"), (5, None)]:
        night = nights.begin(store, **{**START, "night": f"2026-11-{day:02}"})
        if outcome:
            nights.end(store, night.key, outcome, "because")
    assert nights.last_judged(store, "action").night == "2026-11-02"
    assert nights.last_judged(store, "pose") is None
    assert nights.latest(store, "action").night == "2026-11-05"
    assert nights.list(store, "pose") == []


def test_who_lost_the_lease_changes_nothing(store, lost):
    night = nights.begin(store, **START)
    changes = [
        lambda: nights.begin(store, **{**START, "night": "2026-11-21"}, lease=lost),
        lambda: nights.advance(store, night.key, "train", lease=lost),
        lambda: nights.end(store, night.key, "failed", "x", lease=lost),
        lambda: record_version(store, lease=lost),
        lambda: checks.record(store, "a", [], lease=lost),
    ]
    for change in changes:
        with pytest.raises(Conflict, match="is lost, other"):
            change()
    assert nights.list(store) == [night]
    assert versions.list(store) == []


def test_a_version_is_recorded_once_and_keeps_its_last_verdict(store):
    night = nights.begin(store, **START)
    first = record_version(store, night_id=night.id, run_id="r")
    assert record_version(store, metrics={}) == first
    assert versions.get(store, "action", 1) == versions.by_digest(store, "a" * 64) == first
    assert record_version(store, verdict="FAILED") == dataclasses.replace(first, verdict="FAILED")
    assert (first.night_id, first.run_id, first.metrics) == (night.id, "r", {"accuracy": 0.9})
    assert first.as_dict()["digest"] == "a" * 64


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"digest": "b" * 64}, {"task": "pose"}, {"task": "pose", "version": 2}]
)
def test_a_digest_has_one_number_and_a_number_one_digest(store, change):
    record_version(store)
    with pytest.raises(Conflict, match="action 1 is aaaa"):
        record_version(store, **change)


def test_versions_are_listed_newest_first(store):
    for number in (1, 3, 2):
        record_version(store, version=number, digest=str(number) * 64)
    record_version(store, task="pose", digest="f" * 64)
    assert [(row.task, row.version) for row in versions.list(store)] == [
        ("action", 3), ("action", 2), ("action", 1), ("pose", 1),
    ]  # fmt: skip
    assert [row.version for row in versions.list(store, "action", limit=2)] == [3, 2]
    assert versions.by_digest(store, "0" * 64) is None
    with pytest.raises(NotFound, match="no version 9"):
        versions.get(store, "action", 9)


def test_a_version_of_an_unknown_night_is_refused(store):
    with pytest.raises(Conflict, match=r"(?i)foreign key"):
        record_version(store, night_id=5)


def test_snapshots_are_recorded_once_and_the_last_ingested_is_the_latest(store):
    assert snapshots.latest(store, "action") is None
    first = snapshots.record(store, task="action", id="one", card={"classes": ["a"], "mean": float("nan")})
    assert first.card == {"classes": ["a"], "mean": None}
    snapshots.record(store, task="action", id="two", card={})
    snapshots.record(store, task="pose", id="one", card={"classes": []})
    assert snapshots.latest(store, "action").id == "two"
    again = snapshots.record(store, task="action", id="one", card={"classes": ["b"]})
    assert again.card == first.card
    assert again.recorded_at > first.recorded_at
    assert snapshots.latest(store, "action") == again == snapshots.find(store, "action", "one")
    assert [(row.task, row.id) for row in snapshots.list(store)] == [
        ("action", "one"),
        ("pose", "one"),
        ("action", "two"),
    ]
    assert snapshots.find(store, "action", "three") is None
    assert snapshots.tasks(store) == ["action", "pose"]


def test_checks_come_back_as_they_were_and_as_a_whole(store):
    judged = [
        Check("absolute", "accuracy", 0.95, 0.9, "min", None, 100, Verdict.PASSED, "0.95 ≥ 0.9"),
        Check("absolute", "accuracy", 0.95, 0.9, "min", 0.94, 100, Verdict.PASSED, "the same again"),
        Check("parity", "max_abs_diff", 3.3e-7, 1e-5, "max", None, 10**10, Verdict.FAILED, "ünequal"),
        Check("relative", "accuracy", None, None, "min", None, 0, Verdict.ERROR, "not measured"),
    ]
    checks.record(store, "a", [check.as_dict() for check in judged])
    checks.record(store, "b", [judged[0].as_dict()])
    assert [Check.from_dict(row) for row in checks.of(store, "a")] == judged
    checks.record(store, "a", [judged[2].as_dict()])
    assert [Check.from_dict(row) for row in checks.of(store, "a")] == [judged[2]]
    checks.record(store, "a", [])
    assert checks.of(store, "a") == []
    assert len(checks.of(store, "b")) == 1


def key_of(night: nights.Night) -> tuple[str, str, str]:
    return night.task, night.night, night.inputs
