"""How often a test set was used, counted from the versions that the store knows."""

import pytest
import yaml

from flows.command.terminal import show_gates, show_snapshot
from flows.doctor import _test_sets
from flows.held_out import find_held_out, newest_held_out
from flows.ingestion import Ingested
from flows.standing import list_checks
from recognizer.errors import NotFound
from recognizer.home import checkout
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import checks as stored_checks
from recognizer.store import open_store, snapshots, versions

NEW, OLD = "1d" * 32, "0a" * 32
CHECK = {
    "gate": "absolute", "name": "accuracy", "value": 0.95, "threshold": 0.9, "direction": "min", "baseline": None,
    "n": 240, "verdict": "PASSED", "reason": "good", "interval": [0.92, 0.97],
}  # fmt: skip


def card(test_digest, people=8):
    one = {"shard": "x.npz", "sha256": "0" * 64, "sequences": 240, "frames": 9, "per_class": {"a": 240},
           "subjects": [f"P{number}" for number in range(people)]}  # fmt: skip
    return {
        "format": 1, "task": "action", "classes": ["a"], "source": {"name": "x", "sha256": ""}, "warnings": [],
        "sets": dict.fromkeys(("train", "validation", "test"), one), "test_digest": test_digest,
    }  # fmt: skip


@pytest.fixture
def settings(small_home):
    """One version was judged on an old test set, three on the new one; one of these was rejected."""
    with open_store(small_home.url) as store:
        snapshots.record(store, task="action", id="old", card=card(OLD))
        snapshots.record(store, task="action", id="new", card=card(NEW))
        for number, test_digest in enumerate((OLD, NEW, NEW, NEW), start=1):
            versions.record(
                store, task="action", version=number, digest=f"{number}" * 64, snapshot="new", test_digest=test_digest,
                verdict="FAILED" if number == 3 else "PASSED", metrics={},
            )  # fmt: skip
            stored_checks.record(store, f"{number}" * 64, [CHECK])
    return Settings(home=small_home.home)


@pytest.fixture
def store(small_home, settings):
    with open_store(small_home.url) as opened:
        yield opened


def allow(settings, number):
    content = yaml.safe_load((checkout() / "params.yaml").read_text())
    content["evaluate"]["action"]["refresh_after"] = number
    (settings.home.root / "params.yaml").write_text(yaml.safe_dump(content))


def test_every_candidate_counts_for_the_set_that_judged_it(settings, store):
    allow(settings, 40)
    found = newest_held_out(settings, store, "action")
    assert (found.digest, found.cases, found.people, found.judged, found.allowed) == (NEW, 240, 8, 3, 40)
    assert found.since == versions.get(store, "action", 2).registered_at
    assert not found.used_up
    assert find_held_out(settings, store, "action", OLD).judged == 1
    unknown = find_held_out(settings, store, "action", "ff" * 32)
    assert (unknown.cases, unknown.people, unknown.since, unknown.judged) == (None, None, None, 0)
    assert unknown.sentence == "test set ffffffffffff, has judged 0 of 40 candidates"
    assert newest_held_out(settings, store, "pose") is None


@pytest.mark.parametrize(("people", "cautioned"), [(8, False), (10, True), (20, False)])
def test_a_test_set_too_small_for_its_people_is_told(small_home, capsys, people, cautioned):
    with open_store(small_home.url) as store:
        snapshots.record(store, task="action", id="new", card=card(NEW, people))
        found = newest_held_out(Settings(home=small_home.home), store, "action")
    assert found.margin == 0.03
    assert (found.caution is not None) is cautioned
    of_ten = SnapshotCard.model_validate(card(NEW, people))
    show_snapshot(Ingested("action", "new", of_ten, new=True), found)
    assert (
        "Note: the test set has too few cases or subjects" in " ".join(capsys.readouterr().out.split())
    ) is cautioned


def test_a_file_that_cannot_be_read_hides_nothing(settings, store):
    (settings.home.root / "params.yaml").write_text("evaluate: [")
    assert find_held_out(settings, store, "action", NEW).allowed == 100


@pytest.mark.parametrize(("allowed", "used_up"), [(3, True), (4, False)])
def test_whoever_asks_for_the_gates_is_told(settings, store, capsys, allowed, used_up):
    allow(settings, allowed)
    listing = list_checks(settings, store, "action", "4")
    assert listing.as_dict()["test_set"]["used_up"] is used_up
    assert listing.as_dict()["checks"][0]["interval"] == (0.92, 0.97)
    show_gates(listing)
    text = " ".join(capsys.readouterr().out.split())
    assert "0.920 to 0.970" in text
    assert f"has judged 3 of {allowed} candidates" in text
    assert ("It is used up. Next: ingest a file with a new held-out part" in text) is used_up
    (line,) = _test_sets(settings, store)
    assert line.passed is not used_up
    assert line.name == "test set of action"


def test_a_version_tells_of_its_own_test_set(settings, store):
    assert list_checks(settings, store, "action", "1").held_out.digest == OLD
    with pytest.raises(NotFound):
        list_checks(settings, store, "action", None)  # no night
