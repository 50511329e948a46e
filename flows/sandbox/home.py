"""A home for one run in the sandbox: its own keys, packages and store, so that nothing in it counts anywhere else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recognizer.blessing import bless
from recognizer.card import PackageCard, parse_card
from recognizer.checks import Check
from recognizer.home import Home, writing
from recognizer.keys import Signer
from recognizer.package import CARD, MODEL, PackageStore
from recognizer.rollout.plan import DAY, Plan, PlannedStep, Step
from recognizer.store import Store, open_store, rollouts, versions
from recognizer.store.processes import this_process
from recognizer.store.served import promote
from serving.staging import sweep

PREFIX = "recognizer-sandbox-"
CHAMPION_VERSION, CANDIDATE_VERSION = 1, 2
"""Numbers that mean something in the sandbox only."""
WHO = "sandbox"
REASON = "it is tried in the sandbox, by whose own key this is signed: it says nothing about the model"
GATE = "sandbox"

# The shadow lasts as long as the service does: the candidate never gets a share, and is never promoted.
_PLAN = Plan((PlannedStep(Step.SHADOW, seconds=DAY, least=DAY), PlannedStep(Step.PROMOTE)))


@dataclass(frozen=True)
class SandboxHome:
    """A home in which a candidate is to be served.

    Attributes:
        candidate: digest of its package, the same as in any other home.
        rollout: number of the rollout in which it shadows the champion; None when there is no other champion, and the
            candidate is champion itself.
    """

    home: Home
    candidate: str
    rollout: int | None

    @property
    def url(self) -> str:
        return f"sqlite:///{self.home.store}"


@contextmanager
def sandbox_folder() -> Iterator[Path]:
    """A private folder for the length of the block; those of processes of this machine that were killed go too.

    Raises:
        StorageError: there is no room for it.
    """
    place = Path(tempfile.gettempdir())
    sweep(place, PREFIX)
    folder = place / f"{PREFIX}{this_process()}.{os.urandom(4).hex()}"
    with writing(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def furnish(root: Path, task: str, model: Path, card: PackageCard, champion: Path | None) -> SandboxHome:
    """Make the home: package and bless what is to be served, and name it in a store.

    Args:
        champion: package folder of the model that serves, whose classes the candidate's are compared with by name. One
            of the same digest as the candidate is left out: there is nothing to compare.

    Raises:
        InputError: there is no model.
        StorageError: the disk does not take it.
    """
    home = Home(root)
    home.prepare()
    packages, signer = PackageStore(home.packages), Signer.open(home.keys)
    candidate = _add(packages, model, card, signer)
    store = open_store(f"sqlite:///{home.store}")
    try:
        before = None
        if champion is not None:
            before = _add(packages, champion / MODEL, parse_card((champion / CARD).read_bytes(), str(champion)), signer)
        if before is None or before == candidate:
            _promote(store, packages, task, CANDIDATE_VERSION, candidate)
            return SandboxHome(home, candidate, None)
        _promote(store, packages, task, CHAMPION_VERSION, before)
        _record(store, packages, task, CANDIDATE_VERSION, candidate)
        rollout = rollouts.start(
            store,
            task=task,
            version=CANDIDATE_VERSION,
            digest=candidate,
            reason=REASON,
            who=WHO,
            strategy="shadow",
            plan=_PLAN,
            home=home,
        )
        return SandboxHome(home, candidate, rollout.id)
    finally:
        store.close()


def _add(packages: PackageStore, model: Path, card: PackageCard, signer: Signer) -> str:
    """Package a model and bless it with the sandbox's own key, which nobody outside trusts."""
    digest = packages.build(model, card, signer)
    bless(
        packages.path(digest),
        digest=digest,
        test_digest=card.test_digest,
        gates={GATE: {}},
        checks=[Check.unmeasured(GATE, "run", "this is what the sandbox finds out")],
        who=WHO,
        night=WHO,
        signer=signer,
        now=datetime.now(UTC),
        override=REASON,
    )
    return digest


def _promote(store: Store, packages: PackageStore, task: str, version: int, digest: str) -> None:
    _record(store, packages, task, version, digest)
    promote(store, task=task, version=version, digest=digest, expected=None, reason=REASON, who=WHO)


def _record(store: Store, packages: PackageStore, task: str, version: int, digest: str) -> None:
    card = packages.card(digest)
    versions.record(
        store,
        task=task,
        version=version,
        digest=digest,
        snapshot=card.snapshot,
        test_digest=card.test_digest,
        verdict="ERROR",
        metrics={},
    )
