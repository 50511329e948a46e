"""Packages as a night makes them: built, signed, blessed when every check passed; and made anew when one is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import structlog

from flows.registry import RegisteredVersion, Registry
from recognizer.blessing import bless, verify_blessing, withdraw_blessing
from recognizer.checks import Check, Verdict, worst
from recognizer.errors import NotFound, PackageTampered, TrustError
from recognizer.home import Home
from recognizer.keys import Keyring, Signer
from recognizer.night import Step
from recognizer.package import PackageCard, PackageStore
from recognizer.settings import Settings
from recognizer.store import Store, versions
from recognizer.store import checks as stored_checks
from recognizer.store.leases import Lease
from recognizer.store.served import read_served

log = structlog.get_logger("recognizer.night")


@dataclass(frozen=True)
class Recipe:
    """What a package is made of beside its checks; the night's mark keeps it.

    Attributes:
        model: the ONNX file.
        gates: what each configured gate asks for, by name; the blessing is signed over it.
        night: of the judgement.
        who: blesses it.
        override: a person's reason to bless it although a gate said no.
    """

    model: Path
    card: PackageCard
    gates: Mapping[str, Any]
    night: str
    who: str = "nightly"
    override: str | None = None

    def as_notes(self, digest: str, run: Path) -> dict[str, Any]:
        """What the mark keeps; `run` is the night's folder, in which the model lies."""
        return {
            "digest": digest,
            "model": self.model.relative_to(run).as_posix(),
            "card": self.card.model_dump(mode="json"),
            "gates": dict(self.gates),
            "who": self.who,
            "override": self.override,
        }

    @classmethod
    def from_mark(cls, mark: Path, notes: Mapping[str, Any]) -> Self:
        """From `<run folder>/done/<night>/package.json`."""
        night = mark.parent
        return cls(
            model=night.parent.parent / notes.get("model", "exported/model.onnx"),
            card=PackageCard.model_validate(notes["card"]),
            gates=notes["gates"],
            night=night.name,
            who=notes.get("who", cls.who),
            override=notes.get("override"),
        )


def make_package(home: Home, recipe: Recipe, checks: Sequence[Check]) -> str:
    """Build and sign the package; bless it when every check passed, or a person overrides them.

    Returns its digest; again changes nothing.
    """
    packages, signer = PackageStore(home.packages), Signer.open(home.keys)
    digest = packages.build(recipe.model, recipe.card, signer)
    passed = worst(check.verdict for check in checks) is Verdict.PASSED
    overridden = not passed and recipe.override is not None
    if passed or overridden:
        bless(
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
    return digest


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
    if champion is None:
        return
    digest, packages, keyring = champion.digest, PackageStore(home.packages), Keyring.open(home.keys)
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
        log.warning("the champion's package was made anew", task=task, digest=digest, problem=str(problem))


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
