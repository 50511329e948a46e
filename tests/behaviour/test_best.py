"""The best version that was ever blessed on a test set, found among real packages."""

import pytest

from flows.lineage import find_best
from recognizer.gates.config import Allowance
from recognizer.package import MODEL
from recognizer.snapshot import SnapshotCard
from recognizer.store import open_store, versions

CLASSES = ("standing", "walking", "falling")
TEST, OTHER_TEST = "1" * 64, "9" * 64
HIGH, LOW = Allowance(margin=0.03), Allowance(margin=0.1, direction="max")


@pytest.fixture
def best_of(small_home):
    """Registers versions, each `(accuracy, log loss)` with what differs from a blessed one, and finds the best."""

    def found(*registered, relative=None, without=None, spoil=()):
        store = open_store(small_home.url)
        for number, (accuracy, loss, changes) in enumerate(registered, start=1):
            digest = small_home.package(number)
            small_home.bless(number)
            row = {"verdict": "PASSED", "test_digest": TEST, **changes}
            metrics = {"accuracy": accuracy, "log_loss": loss}
            versions.record(
                store, task="action", version=number, digest=digest, snapshot="0" * 64, metrics=metrics, **row
            )
        for number in spoil:
            (small_home.folder(number) / MODEL).write_bytes(b"changed")
        card = SnapshotCard(
            format=1,
            task="action",
            classes=CLASSES,
            source={"name": "file", "sha256": "2" * 64},
            sets={},
            test_digest=TEST,
            warnings=(),
        )
        asked = relative or {"accuracy": HIGH}
        excluded = None if without is None else small_home.digests[without]
        made = find_best(small_home.home, store, "action", card, asked, without=excluded)
        store.close()
        return {
            metric: one and (one.version if one.package is not None else f"{one.version}, without a package")
            for metric, one in made.items()
        }

    return found


@pytest.mark.parametrize(
    ("registered", "expected"),
    [
        ([], None),
        ([(0.91, 0.3, {}), (0.95, 0.2, {}), (0.93, 0.1, {})], 2),
        ([(0.95, 0.3, {}), (0.95, 0.2, {})], 2),  # the newer of two that are equal
        ([(0.91, 0.3, {}), (0.99, 0.2, {"verdict": "FAILED"})], 1),  # never blessed
        ([(0.91, 0.3, {}), (0.99, 0.2, {"test_digest": OTHER_TEST})], 1),  # its figure is of other cases
        ([(0.91, 0.3, {}), (None, 0.2, {})], 1),
    ],
)
def test_the_best_is_the_best_that_was_blessed_on_this_test_set(best_of, registered, expected):
    assert best_of(*registered) == {"accuracy": expected}


def test_each_metric_has_a_best_of_its_own(best_of):
    relative = {"accuracy": HIGH, "log_loss": LOW}
    assert best_of((0.95, 0.3, {}), (0.93, 0.1, {}), relative=relative) == {"accuracy": 1, "log_loss": 2}


def test_the_best_is_named_also_when_its_package_is_damaged_for_good(best_of):
    """Then the gate says that it could not be measured: the next best would let margins add up unseen."""
    assert best_of((0.91, 0.3, {}), (0.95, 0.2, {}), spoil=[2]) == {"accuracy": "2, without a package"}


def test_a_candidate_is_not_its_own_rival(best_of):
    assert best_of((0.91, 0.3, {}), (0.95, 0.2, {}), without=2) == {"accuracy": 1}
