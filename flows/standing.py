"""Where the versions of a task stand: listings for `recognizer models` and `recognizer gates`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.aliases import mirror_aliases
from flows.held_out import HeldOut, find_held_out
from flows.night import NightResult, evidence_key
from recognizer.checks import Check, Verdict, worst
from recognizer.errors import NotFound
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, nights, snapshots, versions
from recognizer.store import checks as stored_checks
from recognizer.store.served import read_served


@dataclass(frozen=True)
class CheckListing:
    """The checks of one version, or of a night that made none.

    Attributes:
        held_out: the test set it was judged on; None when nobody knows it any more.
    """

    task: str
    night: str | None
    version: int | None
    digest: str | None
    checks: tuple[Check, ...]
    held_out: HeldOut | None = None

    @property
    def passed(self) -> bool:
        return worst(check.verdict for check in self.checks) is Verdict.PASSED

    def as_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "night": self.night,
            "version": self.version,
            "digest": self.digest,
            "verdict": worst(check.verdict for check in self.checks).value,
            "checks": [check.as_dict() for check in self.checks],
            "test_set": None if self.held_out is None else self.held_out.as_dict(),
        }


def list_models(settings: Settings, store: Store, task: str | None) -> list[dict[str, Any]]:
    """Every version with aliases and verdict, the newest first."""
    mirror_aliases(settings, store)
    champions = read_served(store).champions
    names = {row.id: row.night for row in nights.list(store, task)}
    listing = []
    for version in versions.list(store, task):
        champion = champions.get(version.task)
        serves = champion is not None and champion.version == version.version
        night = names.get(version.night_id) if version.night_id is not None else None
        listing.append({**version.as_dict(), "night": night, "aliases": ["champion"] if serves else []})
    return listing


@dataclass(frozen=True)
class Standing:
    """What a person who reads a night's end should know besides.

    Attributes:
        champion: the version that answers now, whatever this night once did.
        synthetic: whether the night's data were made by the generator.
    """

    champion: int | None
    synthetic: bool


def read_standing(store: Store, result: NightResult) -> Standing:
    """How things stand now for the task of a night that has ended."""
    champion, found = read_served(store).champions.get(result.task), snapshots.find(store, result.task, result.snapshot)
    synthetic = found is not None and SnapshotCard.model_validate(found.card).synthetic
    return Standing(None if champion is None else champion.version, synthetic)


def resolve_version(store: Store, task: str, name: str) -> versions.Version:
    """The version that `champion`, a number, or the beginning of a digest names.

    Raises:
        NotFound: there is none, or several digests begin so.
        NoChampion: nothing was promoted yet.
    """
    if name == "champion":
        return versions.get(store, task, read_served(store).champion(task).version)
    if name.isdecimal() and len(name) < 10:
        return versions.get(store, task, int(name))
    found = [version for version in versions.list(store, task) if version.digest.startswith(name)]
    if len(found) != 1:
        raise NotFound(
            f"{len(found)} versions of task {task!r} are called {name!r}",
            hint="use `champion`, a number of `recognizer models`, or more of the digest",
        )
    return found[0]


def list_checks(settings: Settings, store: Store, task: str, name: str | None) -> CheckListing:
    """The checks of a version; of the newest judged night without one.

    Raises:
        NotFound: no such version, or no night has judged anything yet.
    """
    if name is not None:
        version = resolve_version(store, task, name)
        night = next((row.night for row in nights.list(store, task) if row.id == version.night_id), None)
        held_out = find_held_out(settings, store, task, version.test_digest)
        checks = stored_checks.of(store, version.digest)
        return CheckListing(task, night, version.version, version.digest, _checks(checks), held_out)
    for row in nights.list(store, task):
        if checks := stored_checks.of(store, evidence_key(row)):
            held_out, entry = None, snapshots.find(store, task, row.snapshot)
            if entry is not None:
                digest = SnapshotCard.model_validate(entry.card).test_digest
                held_out = find_held_out(settings, store, task, digest)
            return CheckListing(task, row.night, row.version, row.digest, _checks(checks), held_out)
    raise NotFound(f"no night of task {task!r} has judged anything yet", hint=f"recognizer nightly {task}")


def _checks(rows: list[dict[str, Any]]) -> tuple[Check, ...]:
    return tuple(Check.from_dict(check) for check in rows)
