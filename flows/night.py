"""One night of one task: what is asked for, what became of it, and the run that is taken through its steps.

Everything is persisted before it is acted on; a night that was killed between any two lines goes on at the
first step that has no mark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import structlog

from flows.inputs import StageInputs, package_classes
from flows.stages import read_measured
from recognizer.checks import Check
from recognizer.errors import Conflict, RecognizerError, UsageError
from recognizer.evaluation.measured import FLOAT, Measured
from recognizer.gates import GateConfig
from recognizer.home import Home, atomic_write
from recognizer.identity import TrainingIdentity
from recognizer.night import SUCCESSES, Outcome, Step
from recognizer.package import PackageStore
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, nights
from recognizer.store import checks as stored_checks
from recognizer.store.leases import Keeper, Lease
from recognizer.store.nights import Night

log = structlog.get_logger("recognizer.night")

MADE = frozenset({Step.PREPARE, Step.TRAIN, Step.EXPORT})
"""Steps whose result follows from the training identity alone: done once, they are done for every night."""


@dataclass(frozen=True)
class NightRequest:
    """What somebody, or the schedule, asks for.

    Attributes:
        night: local date YYYY-MM-DD; None for the night that now belongs to.
        seed: replaces `train.<task>.seed` of params.yaml.
    """

    task: str
    night: str | None = None
    seed: int | None = None
    accept_new_labels: bool = False

    def __post_init__(self) -> None:
        if self.night is not None:
            try:
                date.fromisoformat(self.night)
            except ValueError as error:
                raise UsageError(f"{self.night!r} is no date", hint="name a night as YYYY-MM-DD") from error


@dataclass(frozen=True)
class NightResult:
    """One row that says what became of a night, and why."""

    task: str
    night: str
    outcome: Outcome
    reason: str
    version: int | None
    digest: str | None
    snapshot: str
    metrics: Mapping[str, float]
    checks: tuple[Check, ...]
    report: str | None

    @property
    def exit_code(self) -> int:
        return 0 if self.outcome in SUCCESSES else 1

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value, "checks": [check.as_dict() for check in self.checks]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        checks = tuple(Check.from_dict(check) for check in plain["checks"])
        return cls(**{**plain, "outcome": Outcome(plain["outcome"]), "checks": checks})

    @classmethod
    def stored(cls, home: Home, store: Store, row: Night) -> Self:
        """The row of a night that has ended, as a result."""
        return cls(
            task=row.task,
            night=row.night,
            outcome=row.outcome or Outcome.FAILED,
            reason=row.reason or "",
            version=row.version,
            digest=row.digest,
            snapshot=row.snapshot,
            metrics=row.metrics or {},
            checks=tuple(Check.from_dict(check) for check in stored_checks.of(store, evidence_key(row))),
            report=str(home.root / row.report) if row.report else None,
        )


def note_failure(store: Store, row: Night, cause: Exception, lease: Lease) -> None:
    """Note that a night broke; the next call goes on. Raises nothing: the cause is on its way already."""
    reason = str(cause) if isinstance(cause, RecognizerError) else f"{type(cause).__name__}: {cause}"
    try:
        nights.end(store, row.key, Outcome.FAILED.value, reason, lease=lease)
        log.info("night ended", task=row.task, night=row.night, outcome="failed", reason=reason)
    except RecognizerError as error:  # the store is away, or somebody else goes on with this night
        log.error("the end of the night could not be noted", reason=reason, error=str(error))


def evidence_key(row: Night) -> str:
    """Under which digest the store keeps a night's checks: the package's, or the training's when none came to be."""
    return row.digest or row.identity


def mark_counts(step: Step, notes: Mapping[str, Any], row: Night) -> bool:
    """Whether a mark in the run's folder speaks of this very night: the store is the truth, not the folder.

    A store that was lost and made anew, or put back from before, knows nothing of what the mark tells.
    """
    if step in MADE:
        return True
    told = {Step.PACKAGE: row.digest, Step.REGISTER: row.version, Step.REPORT: row.report, Step.PROMOTE: row.outcome}
    return notes.get("began") == row.started_at and (step not in told or told[step] is not None)


class NightRun:
    """A night in the hands of this process: its row, its lease, its folder. Made by `opening.open_night`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        keeper: Keeper,
        row: Night,
        card: SnapshotCard,
        inputs: StageInputs,
        identity: TrainingIdentity,
    ) -> None:
        self.settings = settings
        self.store = store
        self.row = row
        self.card = card
        self.inputs = inputs
        self.identity = identity
        self.folder = settings.home.run(row.task, identity.digest)
        self.packages = PackageStore(settings.home.packages)
        self._keeper = keeper

    @property
    def lease(self) -> Lease:
        return self._keeper.lease

    @property
    def has_rival(self) -> bool:
        """Whether a champion of the same classes serves, with which the candidate can be compared in service."""
        champion = self.inputs.champion
        return champion is not None and package_classes(champion) == self.card.classes

    @property
    def gates(self) -> GateConfig:
        """What the candidate is held against."""
        return GateConfig.read(
            self.inputs.params["evaluate"], task=self.row.task, source=str(self.settings.home.params)
        )

    @property
    def form(self) -> str:
        """Which form of the candidate was chosen, once it is judged."""
        return str((self.notes(Step.JUDGE) or {}).get("form", FLOAT))

    def measured(self) -> Measured:
        """What was measured of the form that was chosen."""
        return read_measured(self.folder / "evaluated", self.form)

    @property
    def rivals(self) -> dict[str, str | None]:
        """Digests of what the candidate is compared with; when they change, it is judged again."""
        best = {metric: one and one.digest for metric, one in self.inputs.best.items()}
        return {"champion": self.row.champion_digest, **best}

    @property
    def report_folder(self) -> Path:
        """Where this night's report lies; the store keeps it as seen from the home, which may be moved."""
        return self.settings.home.reports / self.row.task / f"{self.row.night}-{self.identity.digest[:8]}"

    def once(self, step: Step, work: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any]:
        """Do `work` unless an earlier run of this night finished it; returns what the step noted.

        Raises:
            Conflict: the lease was lost; somebody else goes on with this night.
        """
        if (done := self.notes(step)) is not None:
            return done
        self._keeper.check()
        self.row = nights.advance(self.store, self.row.key, step.value, lease=self.lease)
        log.info("step", task=self.row.task, night=self.row.night, step=step.value)
        began = time.monotonic()
        notes = {**(work() or {}), "began": self.row.started_at, "seconds": round(time.monotonic() - began, 3)}
        self._keeper.check()
        atomic_write(self._mark(step), json.dumps(notes).encode())
        return notes

    def notes(self, step: Step) -> Mapping[str, Any] | None:
        """What a finished step noted; None when it was not finished, or this store knows nothing of it."""
        mark = self._mark(step)
        if not mark.is_file():
            return None
        notes: Mapping[str, Any] = json.loads(mark.read_text())
        return notes if mark_counts(step, notes, self.row) else None

    def end(self, outcome: Outcome, reason: str, **facts: Any) -> NightResult:
        """Write the night's last word and hand it out.

        Raises:
            Conflict: it would say that a version goes into service, and the store knows of none.
        """
        if outcome in (Outcome.PROMOTED, Outcome.RELEASED) and self.row.version is None:
            raise Conflict(
                f"the night would end as {outcome.value}, and no version of it is registered",
                where=str(self.row.key),
                hint=f"recognizer nightly {self.row.task}",
            )
        self.row = nights.end(self.store, self.row.key, outcome.value, reason, lease=self.lease, **facts)
        log.info("night ended", task=self.row.task, night=self.row.night, outcome=outcome.value, reason=reason)
        return NightResult.stored(self.settings.home, self.store, self.row)

    def forget(self, first: Step) -> None:
        """Do this step and all later ones again: what they found out is not true any more."""
        later = list(Step)[list(Step).index(first) :]
        for step in reversed(later):  # a kill in between leaves no later mark without the earlier ones
            self._mark(step).unlink(missing_ok=True)

    def _mark(self, step: Step) -> Path:
        # What is judged or decided is so for this night: another may have another champion, and its own row to fill.
        folder = self.folder / "done" if step in MADE else self.folder / "done" / self.row.night
        return folder / f"{step.value}.json"
