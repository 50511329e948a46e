"""A rollout in the real service: two workers under traffic, from the first load to the end of the bake, or back."""

import contextlib
import time

import pytest

from benchmarks.home import Shelf, sure_window, unsure_window
from benchmarks.rollout import (
    LOOSE,
    allowed,
    canary_first,
    event_at,
    promote_first,
    start,
    until,
    until_ended,
    until_step,
)
from benchmarks.service import monotonic, plan, running
from recognizer.errors import Conflict
from recognizer.judge.ruling import Ruling
from recognizer.rollout.ledger import Ledger
from recognizer.rollout.plan import Step, make_plan
from recognizer.rollout.state import Phase
from recognizer.rollout.steering import Wish
from recognizer.store import audit, evidence, open_store, quarantine, rollouts
from recognizer.store.served import read_served

RATE = 150.0


class Stand:
    """A home, its store and a service on it, under traffic one test after the other."""

    def __init__(self, shelf, store, service):
        self.shelf = shelf
        self.store = store
        self.service = service

    @contextlib.contextmanager
    def traffic(self, *windows, rate=RATE, seconds=90.0):
        """What the service was asked inside; none of it may fail."""
        asked = windows or (sure_window(), unsure_window())
        reports = []
        sending = self.service.send(plan(self.service, asked, rate=rate, seconds=seconds, timeout=15.0))
        try:
            time.sleep(0.5)
            yield reports
            time.sleep(0.3)
        finally:
            reports.append(sending.end())
        (report,) = reports
        assert dict(report.failures) == {}
        fits = allowed(self.store)
        seen = {(one.generation, one.arm, one.version) for one in report.answers}
        assert [one for one in seen if not fits(*one)] == []

    def start(self, version, steps):
        return start(self.shelf, self.store, version, steps)

    def ask(self, wish):
        return rollouts.request(self.store, "action", wish, who="ann", home=self.shelf.home)

    def champion(self):
        return read_served(self.store).champion("action").version


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("rollout") / "home")
    with open_store(shelf.url) as store:
        shelf.promote(shelf.add(store=store), store)
        with running(shelf.home.root, 2, challenger_memory_mb=64, breaker_seconds=2) as service:
            yield Stand(shelf, store, service)


def test_a_good_challenger_becomes_champion(stand):
    before, version = stand.champion(), stand.shelf.add(store=stand.store)
    with stand.traffic() as reports:
        rollout = until_ended(stand.store, stand.start(version, make_plan(judge=LOOSE)))
    assert (rollout.phase, stand.champion()) == (Phase.HEALTHY, version)
    events = [entry.event for entry in audit.of(stand.store, rollout.id)]
    assert [event for event in events if event != "champion"] == [
        "start",
        "advance",
        "advance",
        "advance",
        "promote",
        "finish",
    ]
    assert audit.verify_audit(stand.store, stand.shelf.home) == []
    (report,) = reports
    assert set(report.arms) == {"champion", "challenger", "holdback"}
    assert {one.version for one in report.answers if one.arm == "challenger"} == {version}
    assert {one.version for one in report.answers if one.arm == "holdback"} == {before}
    # whoever folds the stored evidence comes to the same verdict
    verdict = Ledger().fold(rollout, evidence.of(stand.store, rollout.id))
    assert verdict.ruling is Ruling.GOOD


# Each kind in CANARY, and in BAKE, where the old model answers for it while its breaker is open: `make bench-swap`.
@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("raises", make_plan()),
        ("raises", promote_first()),
        ("nan", canary_first()),
        ("shape", canary_first()),
        ("allocates", canary_first()),
        ("grows", canary_first()),
        ("hangs", canary_first()),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.steps[0]),
)
def test_a_bad_challenger_is_taken_out(stand, kind, steps):
    before, version = stand.champion(), stand.shelf.bad(kind, stand.store)
    with stand.traffic(sure_window()) as reports:
        rollout = until_ended(stand.store, stand.start(version, steps))
    assert (rollout.phase, stand.champion()) == (Phase.ABORTED, before)
    assert any(said in rollout.reason for said in ("WORSE", "went on failing"))
    assert quarantine.find(stand.store, rollout.digest) is not None
    (report,) = reports
    assert {one.version for one in report.answers} == {before}
    for health in stand.service.healths().values():
        assert health["splits"] == {}
        assert health["stuck"] <= 4
    with pytest.raises(Conflict, match="quarantine"):
        stand.start(version, steps)


def test_a_person_steers_under_traffic(stand):
    before, version = stand.champion(), stand.shelf.add(store=stand.store)
    with stand.traffic(unsure_window()) as reports:
        rollout = until_step(stand.store, stand.start(version, canary_first()), Step.CANARY)
        assert stand.ask(Wish.PAUSE).phase is Phase.PAUSED
        paused = time.monotonic()
        time.sleep(1.5)
        resumed = time.monotonic()
        assert stand.ask(Wish.RESUME).phase is Phase.PROGRESSING
        assert stand.ask(Wish.ABORT).phase is Phase.ABORTED
        aborted = monotonic(event_at(stand.store, rollout, "abort"))
        time.sleep(1)
        again = stand.start(version, promote_first(0.0))
        until(stand.store, again, lambda one: one.promoted, "promotion", 30)
        time.sleep(1)
        undone = stand.ask(Wish.UNDO)
        at = monotonic(event_at(stand.store, again, "abort"))
        time.sleep(1)
    assert (undone.phase, stand.champion()) == (Phase.ABORTED, before)
    (report,) = reports
    by_challenger = [one.due + one.latency for one in report.answers if one.arm == "challenger"]
    assert any(paused < end < resumed for end in by_challenger)  # its share stays in a pause
    assert max(by_challenger) < aborted + 1  # 250 ms in `make bench-swap`
    by_version = [one.due + one.latency for one in report.answers if one.version == version]
    assert aborted + 1 < max(by_version) < at + 1
    assert report.answers[-1].version == before
