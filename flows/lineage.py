"""Where a night starts from: the champion to compare with, and the weights to go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from flows.inputs import BEST, Best
from flows.packaging import mend_package
from flows.snapshots import pin
from recognizer.checks import Verdict
from recognizer.digest import sha256_file
from recognizer.errors import NotFound, TrustError
from recognizer.gates.config import Allowance
from recognizer.golden import golden_folder
from recognizer.home import Home, atomic_write
from recognizer.package import PackageCard, PackageStore
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, versions
from recognizer.store.served import read_served
from recognizer.store.versions import Version

log = structlog.get_logger("recognizer.night")


@dataclass(frozen=True)
class Lineage:
    """The champion as a starting point.

    Attributes:
        champion: digest of the champion's package; None when nothing serves.
        version: its version.
        classes: its ordered class list.
        parent: digest of the weights to start from; None for a fresh start.
    """

    champion: str | None = None
    version: int | None = None
    classes: tuple[str, ...] | None = None
    parent: str | None = None

    def knows(self, classes: tuple[str, ...]) -> bool:
        """Whether a model of this class list may replace the champion without anybody's consent."""
        return self.classes is None or self.classes == classes


def find_lineage(home: Home, store: Store, task: str, classes: tuple[str, ...]) -> Lineage:
    """Read the champion; its weights are the parent when it knows the same classes and they can still be had."""
    champion = read_served(store).champions.get(task)
    if champion is None:
        return Lineage()
    card = PackageStore(home.packages).card(champion.digest)
    usable = card.classes == classes and card.weights is not None and _have_weights(home, card)
    return Lineage(champion.digest, champion.version, card.classes, card.weights if usable else None)


def find_best(
    home: Home,
    store: Store,
    task: str,
    card: SnapshotCard,
    relative: Mapping[str, Allowance],
    *,
    without: str | None = None,
) -> dict[str, Best | None]:
    """By each metric of the relative gate, the best version that was ever blessed on the snapshot's test set.

    A package that is gone or damaged is made anew from its night. Where that cannot be, the version is named all the
    same, and the gate says that it could not be measured.

    Args:
        without: digest of the candidate itself, when it was registered before.
    """
    blessed = [
        one
        for one in versions.list(store, task)
        if one.test_digest == card.test_digest and one.verdict == Verdict.PASSED.value and one.digest != without
    ]
    found: dict[str, Best | None] = {}
    for metric, allowance in relative.items():
        sign = 1 if allowance.direction == "min" else -1
        known = [one for one in blessed if one.metrics.get(metric) is not None]
        ranked = sorted((-sign * one.metrics[metric], -one.version, one) for one in known)
        best = ranked[0][2] if ranked else None
        found[metric] = best and Best(best.digest, best.version, _whole(home, store, best))
    return found


def _whole(home: Home, store: Store, version: Version) -> Path | None:
    """The folder of its package, made anew if need be; None when it cannot be had."""
    try:
        mend_package(home, store, version.task, version.digest)
    except (NotFound, TrustError) as error:
        facts = {"task": version.task, "version": version.version, "problem": str(error)}
        log.warning("the best version of this test set cannot be compared with", **facts)
        return None
    return PackageStore(home.packages).path(version.digest)


def has_weights(home: Home, digest: str) -> bool:
    """Whether the weights of this digest lie there, and are what their name says."""
    file = weights_file(home, digest)
    return file.is_file() and sha256_file(file) == digest


def _have_weights(home: Home, card: PackageCard) -> bool:
    """Whether the package's weights are whole, if need be after they were fetched from the night that made them.

    A damaged file would stop every night that starts from it; a night that starts fresh costs less.
    """
    assert card.weights is not None
    if has_weights(home, card.weights):
        return True
    kept, made = weights_file(home, card.weights), home.run(card.task, card.identity) / "trained" / "weights.pt"
    facts = {"task": card.task, "weights": card.weights, "file": str(kept)}
    if made.is_file() and sha256_file(made) == card.weights:
        atomic_write(kept, made.read_bytes())
        log.warning("the champion's weights were missing or damaged and are put back from the night's folder", **facts)
        return True
    log.warning("the champion's weights are missing or damaged; the next night starts fresh", **facts)
    return False


def pin_inputs(home: Home, task: str, snapshot: str, lineage: Lineage, best: Mapping[str, Best | None]) -> None:
    """Make these the inputs of the DVC stages, so that `dvc repro` rebuilds the very model of the night."""
    named = {metric: one and {"digest": one.digest, "version": one.version} for metric, one in best.items()}
    pin(
        home,
        task,
        snapshot=snapshot,
        parent=weights_file(home, lineage.parent) if lineage.parent else None,
        champion=PackageStore(home.packages).path(lineage.champion) if lineage.champion else None,
        best={one.digest: one.package for one in best.values() if one is not None and one.package is not None},
        golden=golden_folder(home, task),
        notes={f"best/{BEST}": (json.dumps(named, sort_keys=True) + "\n").encode()},
    )


def weights_file(home: Home, digest: str) -> Path:
    """Where weights of this digest lie."""
    return home.weights / f"{digest}.pt"
