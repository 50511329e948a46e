"""Packages as a night makes them: built, signed, blessed when every check passed; and made anew when one is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from flows import stages
from flows.candidate import form_folder
from flows.registry import RegisteredVersion, Registry
from recognizer.blessing import bless, verify_blessing, withdraw_blessing
from recognizer.checks import Check, Verdict, worst
from recognizer.errors import NotFound, PackageTampered, RecognizerError, TrustError
from recognizer.evaluation.measured import FLOAT
from recognizer.home import Home, atomic_write
from recognizer.keys import Keyring, Signature, Signer
from recognizer.night import Step
from recognizer.package import MODEL, MODEL_CARD, SIGNATURE, PackageCard, PackageStore
from recognizer.report import ModelCardFacts, TrainingFacts, render_model_card
from recognizer.settings import Settings
from recognizer.snapshot import read_snapshot
from recognizer.store import Store, versions
from recognizer.store import checks as stored_checks
from recognizer.store.leases import Lease
from recognizer.store.served import read_served

log = structlog.get_logger("recognizer.night")
Known = TypeVar("Known")


@dataclass(frozen=True)
class Recipe:
    """What a package is made of beside its checks; the night's mark keeps it.

    Attributes:
        run: the night's folder, in which the model lies.
        gates: what each configured gate asks for, by name; the blessing is signed over it.
        night: of the judgement.
        who: blesses it.
        override: a person's reason to bless it although a gate said no.
        form: of the model, `float` or `int8`.
    """

    run: Path
    card: PackageCard
    gates: Mapping[str, Any]
    night: str
    who: str = "nightly"
    override: str | None = None
    form: str = FLOAT

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return form_folder(self.run / "exported", self.form) / MODEL

    def as_notes(self, digest: str) -> dict[str, Any]:
        return {
            "digest": digest,
            "card": self.card.model_dump(mode="json"),
            "gates": dict(self.gates),
            "who": self.who,
            "override": self.override,
            "form": self.form,
        }

    @classmethod
    def from_mark(cls, mark: Path, notes: Mapping[str, Any]) -> Self:
        """From `<run folder>/done/<night>/package.json`."""
        night = mark.parent
        return cls(
            run=night.parent.parent,
            card=PackageCard.model_validate(notes["card"]),
            gates=notes["gates"],
            night=night.name,
            who=notes.get("who", cls.who),
            override=notes.get("override"),
            form=notes.get("form", FLOAT),
        )


def make_package(home: Home, recipe: Recipe, checks: Sequence[Check]) -> str:
    """Build and sign the package; bless it when every check passed, or a person overrides them.

    The model card is written beside it, anew after each judgement. Returns the digest; again changes nothing.
    """
    packages, signer = PackageStore(home.packages), Signer.open(home.keys)
    digest = packages.build(recipe.model, recipe.card, signer)
    passed = worst(check.verdict for check in checks) is Verdict.PASSED
    overridden = not passed and recipe.override is not None
    blessing = None
    if passed or overridden:
        blessing = bless(
            packages.path(digest),
            digest=digest,
            test_digest=recipe.card.test_digest,
            gates=recipe.gates,
            checks=checks,
            who=recipe.who,
            night=recipe.night,
            signer=signer,
            now=datetime.now(UTC),
            override=recipe.override if overridden else None,
        )
    else:
        withdraw_blessing(packages.path(digest))  # an earlier judgement, against another champion, said yes
    _describe(home, packages.path(digest), recipe, ModelCardFacts(digest, recipe.card, tuple(checks), blessing))
    return digest


def _describe(home: Home, folder: Path, recipe: Recipe, facts: ModelCardFacts) -> None:
    """Write the model card, with what the night's folder and the snapshot tell as far as they are there."""
    snapshot = home.snapshots(recipe.card.task) / recipe.card.snapshot
    training = recipe.run / "trained" / "training.json"
    known = replace(
        facts,
        key=Signature.from_dict(json.loads((folder / SIGNATURE).read_bytes())).key,
        training=TrainingFacts.from_dict(json.loads(training.read_text())) if training.is_file() else None,
        measured=_known(lambda: stages.read_measured(recipe.run / "evaluated", recipe.form)),
        snapshot=_known(lambda: read_snapshot(snapshot)),
    )
    content, path = render_model_card(known).encode(), folder / MODEL_CARD
    if not path.is_file() or path.read_bytes() != content:
        atomic_write(path, content)


def _known(read: Callable[[], Known]) -> Known | None:
    """What can be read; a card that lacks it says so, and no night ends for it."""
    try:
        return read()
    except (OSError, ValueError, RecognizerError):
        return None


def make_version(
    settings: Settings,
    store: Store,
    digest: str,
    checks: Sequence[Check],
    *,
    night: str,
    night_id: int | None = None,
    override: str | None = None,
    lease: Lease,
) -> RegisteredVersion:
    """Give a package its version: in MLflow, then in the store. Exactly once, by the digest.

    Args:
        night: of the judgement.
        night_id: the row of the night that made it, if one did.
        override: a person's reason to bless it although a gate said no.
    """
    packages = PackageStore(settings.home.packages)
    card, verdict = packages.card(digest), worst(check.verdict for check in checks).value
    made = Registry(settings).register(
        card.task,
        packages.path(digest),
        card,
        digest=digest,
        night=night,
        tags={"recognizer.verdict": verdict} | ({} if override is None else {"recognizer.override": override}),
        metrics=card.metrics,
    )
    versions.record(
        store,
        task=card.task,
        version=made.version,
        digest=digest,
        snapshot=card.snapshot,
        test_digest=card.test_digest,
        verdict=verdict,
        metrics=card.metrics,
        run_id=made.run_id,
        night_id=night_id,
        lease=lease,
    )
    return made


def mend_champion(home: Home, store: Store, task: str) -> None:
    """See that the champion's package is whole, signed and blessed; make it anew from its night when it is not.

    The store says which digest was promoted and which checks it passed; nothing in a changed folder is believed.

    Raises:
        NotFound, TrustError: what is wrong with the package, when its night's folder cannot help.
    """
    champion = read_served(store).champions.get(task)
    if champion is not None:
        mend_package(home, store, task, champion.digest)


def mend_package(home: Home, store: Store, task: str, digest: str) -> None:
    """See that a blessed package is whole, signed and blessed; make it anew from its night when it is not.

    Raises:
        NotFound, TrustError: what is wrong with it, when its night's folder cannot help.
    """
    packages, keyring = PackageStore(home.packages), Keyring.open(home.keys)
    try:
        packages.verify(digest, keyring)
        verify_blessing(packages.path(digest), digest, keyring)
    except (NotFound, TrustError) as problem:
        recipe = _find_recipe(home, task, digest)
        checks = [Check.from_dict(row) for row in stored_checks.of(store, digest)]
        if recipe is None or not checks:
            raise
        if isinstance(problem, PackageTampered):
            packages.remove(digest)
        make_package(home, recipe, checks)
        log.warning("a package was made anew", task=task, digest=digest, problem=str(problem))


def _find_recipe(home: Home, task: str, digest: str) -> Recipe | None:
    """How the package was made, when the folder of its night still gives the very same one."""
    for mark in sorted(home.runs(task).glob(f"*/done/*/{Step.PACKAGE.value}.json")):
        notes = json.loads(mark.read_text())
        if notes["digest"] != digest:
            continue
        recipe = Recipe.from_mark(mark, notes)
        if recipe.model.is_file() and PackageStore.digest(recipe.model, recipe.card) == digest:
            return recipe
    return None
