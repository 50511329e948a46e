"""Where a night starts from: the champion to compare with, and the weights to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.snapshots import pin
from recognizer.home import Home
from recognizer.package import PackageStore
from recognizer.store import Store
from recognizer.store.served import read_served


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
    """Read the champion; its weights are the parent when it knows the same classes and they are still there."""
    champion = read_served(store).champions.get(task)
    if champion is None:
        return Lineage()
    card = PackageStore(home.packages).card(champion.digest)
    usable = card.classes == classes and card.weights is not None and weights_file(home, card.weights).is_file()
    return Lineage(champion.digest, champion.version, card.classes, card.weights if usable else None)


def pin_inputs(home: Home, task: str, snapshot: str, lineage: Lineage) -> None:
    """Make these the inputs of the DVC stages, so that `dvc repro` rebuilds the very model of the night."""
    pin(
        home,
        task,
        snapshot=snapshot,
        parent=weights_file(home, lineage.parent) if lineage.parent else None,
        champion=PackageStore(home.packages).path(lineage.champion) if lineage.champion else None,
    )


def weights_file(home: Home, digest: str) -> Path:
    """Where weights of this digest lie."""
    return home.weights / f"{digest}.pt"
