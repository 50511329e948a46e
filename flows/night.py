"""One night of one task: how it is opened, goes on after a kill, and ends. Prefect is put around it in `nightly`.

Everything is persisted before it is acted on; a night that was killed between any two lines goes on at the
first step that has no mark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

import structlog

from flows.lineage import Lineage, find_lineage, pin_inputs, weights_file
from flows.pipeline import install_stages
from flows.snapshots import restore_snapshot
from flows.stages import StageInputs
from recognizer.checks import Check
from recognizer.errors import Conflict, LineageChanged, NightRunning, NotFound, RecognizerError, UsageError
from recognizer.home import atomic_write, checkout
from recognizer.identity import TrainingIdentity, code_digest
from recognizer.keys import Keyring
from recognizer.night import SUCCESSES, Earlier, Outcome, Start, Step, decide_start, night_of
from recognizer.package import PackageStore
from recognizer.params import StageParams, load_params
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard, read_snapshot
from recognizer.store import Store, leases, nights, open_store, snapshots
from recognizer.store import checks as stored_checks
from recognizer.store.leases import Keeper, Lease
from recognizer.store.nights import Night
from recognizer.store.transitions import JUDGED
from recognizer.tasks import load_trainer

EVERY = 1_000_000
"""More nights than there will be."""

log = structlog.get_logger("recognizer.night")


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
    def stored(cls, store: Store, row: Night) -> Self:
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
            report=row.report,
        )


def evidence_key(row: Night) -> str:
    """Under which digest the store keeps a night's checks: the package's, or the training's when none came to be."""
    return row.digest or row.identity


class NightRun:
    """A night in the hands of this process: its row, its lease, its folder. Made by `open_night`."""

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
    def report_folder(self) -> Path:
        """Where this night's report lies."""
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
        notes = {**(work() or {}), "seconds": round(time.monotonic() - began, 3)}
        self._keeper.check()
        atomic_write(self._mark(step), json.dumps(notes).encode())
        return notes

    def notes(self, step: Step) -> Mapping[str, Any] | None:
        """What a finished step noted; None when it was not finished."""
        mark = self._mark(step)
        return json.loads(mark.read_text()) if mark.is_file() else None

    def end(self, outcome: Outcome, reason: str, **facts: Any) -> NightResult:
        """Write the night's last word and hand it out."""
        self.row = nights.end(self.store, self.row.key, outcome.value, reason, lease=self.lease, **facts)
        log.info("night ended", task=self.row.task, night=self.row.night, outcome=outcome.value, reason=reason)
        return NightResult.stored(self.store, self.row)

    def fail(self, reason: str) -> None:
        """Note that the night broke; the next call goes on. Raises nothing: the cause is on its way already."""
        try:
            self.end(Outcome.FAILED, reason)
        except RecognizerError as error:  # the store is away, or somebody else goes on with this night
            log.error("the end of the night could not be noted", reason=reason, error=str(error))

    def _mark(self, step: Step) -> Path:
        # What is made of the training identity alone is done for good; what is judged or decided is so for this night:
        # another night may have another champion, and its own row to fill.
        made = step in (Step.PREPARE, Step.TRAIN, Step.EXPORT)
        folder = self.folder / "done" if made else self.folder / "done" / self.row.night
        return folder / f"{step.value}.json"


def tasks_with_data(settings: Settings) -> tuple[str, ...]:
    """The tasks that have a snapshot, sorted.

    Raises:
        NotFound: none has.
    """
    settings.home.prepare()
    with open_store(settings.database_url) as store:
        found = tuple(sorted({entry.task for entry in snapshots.list(store, limit=10_000)}))
    if not found:
        raise NotFound("no data was ingested for any task", hint=f"recognizer ingest TASK FILE; {try_out('action')}")
    return found


def expect_data(settings: Settings, task: str) -> None:
    """Find out quickly what would stop any night of the task.

    Raises:
        NotFound: no such task, or it has no data.
        StorageError: the home or the store cannot be used.
    """
    load_trainer(task)
    settings.home.prepare()
    with open_store(settings.database_url) as store:
        _latest(store, task)


def try_out(task: str) -> str:
    """What somebody without data may do."""
    return f"to try it out, recognizer ingest {task} --synthetic"


@contextmanager
def open_night(settings: Settings, request: NightRequest) -> Iterator[NightRun | NightResult]:
    """Open the night for this process, or hand out its result when there is nothing to do.

    Raises:
        NotFound: no data was ingested, or no such task.
        NightRunning: another process runs this task's night.
        LineageChanged: the snapshot has other classes than the champion, and nobody agreed to that.
    """
    expect_data(settings, request.task)
    with open_store(settings.database_url) as store:
        snapshot = _latest(store, request.task)
        with _keep_lease(store, request.task, settings.lease_seconds) as keeper:
            yield _begin(settings, store, keeper, request, snapshot)


def _latest(store: Store, task: str) -> str:
    found = snapshots.latest(store, task)
    if found is None:
        raise NotFound(
            f"no data was ingested for task {task!r}", hint=f"recognizer ingest {task} FILE; {try_out(task)}"
        )
    return found.id


def _keep_lease(store: Store, task: str, seconds: float) -> Keeper:
    try:
        return leases.keep(store, f"night/{task}", seconds)
    except Conflict as error:
        raise NightRunning(
            f"a night of task {task} is running: {error.what}",
            hint=f"wait until it has ended; `recognizer nightly {task}` then hands out its result",
        ) from error


def _begin(
    settings: Settings, store: Store, keeper: Keeper, request: NightRequest, snapshot: str
) -> NightRun | NightResult:
    home, task = settings.home, request.task
    folder = restore_snapshot(home, task, snapshot)
    card = read_snapshot(folder)
    lineage = find_lineage(home, store, task, card.classes)
    if lineage.champion is not None:  # a candidate must not be held against a package that somebody changed
        PackageStore(home.packages).verify(lineage.champion, Keyring.open(home.keys))
    params = _resolved(settings, request)
    identity = TrainingIdentity(
        task=task,
        snapshot=snapshot,
        code=code_digest(checkout(), home.params),
        params=params.stages,
        parent=lineage.parent if params["train"].get("warm_start", {}).get("enabled", True) else None,
    )
    night = request.night or night_of(datetime.now(UTC), settings.zone, settings.night_start)
    same_night = nights.get(store, task, night, identity.inputs)
    judged = next((row for row in nights.list(store, task, limit=EVERY) if row.outcome in JUDGED), None)
    same_inputs = judged if judged and judged.inputs == identity.inputs else None
    start = decide_start(_earlier(same_night), _earlier(same_inputs))
    if start is Start.RETURN and same_night is not None:
        return NightResult.stored(store, same_night)

    row = nights.begin(
        store,
        task=task,
        night=night,
        inputs=identity.inputs,
        identity=identity.digest,
        snapshot=snapshot,
        parent=identity.parent,
        champion_version=lineage.version,
        champion_digest=lineage.champion,
        seed=params["train"]["seed"],
        lease=keeper.lease,
    )
    if start is Start.UNCHANGED and same_inputs is not None:
        return _unchanged(store, keeper.lease, row, same_inputs, lineage)
    # a night that goes on starts from what its first attempt started from
    identity = replace(identity, parent=row.parent)
    pin_inputs(home, task, snapshot, Lineage(champion=row.champion_digest, parent=row.parent))
    install_stages(home)
    inputs = StageInputs(
        params=params,
        snapshot=folder,
        parent=weights_file(home, row.parent) if row.parent else None,
        champion=PackageStore(home.packages).path(row.champion_digest) if row.champion_digest else None,
    )
    run = NightRun(settings, store, keeper, row, card, inputs, identity)
    if not lineage.knows(card.classes) and not request.accept_new_labels:
        refusal = _other_labels(task, card.classes, lineage)
        run.end(Outcome.FAILED, str(refusal))
        raise refusal
    return run


def _unchanged(store: Store, lease: Lease, row: Night, judged: Night, lineage: Lineage) -> NightResult:
    reason = (
        f"data, code and parameters are those of night {judged.night}, which ended as {judged.outcome}"
        + (f" with version {judged.version}" if judged.version else "")
        + f"; champion is version {lineage.version}"
    )
    served = {"version": lineage.version, "digest": lineage.champion} if lineage.champion else {}
    facts = {**served, "metrics": judged.metrics, "report": judged.report}
    ended = nights.end(store, row.key, Outcome.UNCHANGED.value, reason, lease=lease, **facts)
    log.info("night ended", task=row.task, night=row.night, outcome="unchanged", reason=reason)
    return NightResult.stored(store, ended)


def _resolved(settings: Settings, request: NightRequest) -> StageParams:
    params = load_params(settings.home.params, request.task)
    if request.seed is not None:
        params = params.with_train(seed=request.seed)
    return params.with_train(**load_trainer(request.task).resolve(params["train"]))


def _earlier(row: Night | None) -> Earlier | None:
    return None if row is None else Earlier(row.night, row.outcome, row.version)


def _other_labels(task: str, classes: tuple[str, ...], lineage: Lineage) -> LineageChanged:
    return LineageChanged(
        f"the snapshot's classes are {list(classes)}, those of champion version {lineage.version} "
        f"are {list(lineage.classes or ())}",
        hint=f"recognizer nightly {task} --accept-new-labels, if callers may get answers from another class list",
    )
