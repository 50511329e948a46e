"""How a night is opened: what it starts from, whether it begins, goes on, or has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flows.inputs import StageInputs
from flows.lineage import Lineage, find_best, find_lineage, has_weights, pin_inputs, weights_file
from flows.night import NightRequest, NightResult, NightRun, note_failure
from flows.packaging import mend_champion
from flows.pipeline import install_stages
from flows.snapshots import restore_snapshot
from recognizer.errors import Conflict, LineageChanged, NightRunning, NoStore, NotFound
from recognizer.gates import GateConfig
from recognizer.golden import golden_folder
from recognizer.home import checkout, sweep_partials
from recognizer.identity import TrainingIdentity, code_digest
from recognizer.night import Earlier, Outcome, Start, Step, decide_start, night_of
from recognizer.package import PackageStore
from recognizer.params import StageParams, load_params
from recognizer.settings import Settings
from recognizer.snapshot import read_snapshot
from recognizer.store import Store, leases, nights, open_store, snapshots
from recognizer.store.leases import Keeper, Lease
from recognizer.store.nights import Night
from recognizer.store.served import read_served
from recognizer.tasks import example_task, load_trainer

log = structlog.get_logger("recognizer.night")


def find_tasks(settings: Settings, named: Sequence[str]) -> tuple[str, ...]:
    """The tasks to run a night of: those that were named, else all that have data, sorted.

    Finds out quickly what would stop any night of them.

    Raises:
        NotFound: no such task, or it has no data; nothing was named and no task has any.
        StorageError: the home or the store cannot be used.
    """
    for task in named:
        load_trainer(task)
    settings.home.prepare()
    try:
        opened = open_store(settings.database_url, make=False)
    except NoStore:
        raise _no_data(*named[:1]) from None
    with opened as store:
        for task in named:
            _latest(store, task)
        found = tuple(named) or tuple(snapshots.tasks(store))
    if not found:
        raise _no_data()
    return found


@contextmanager
def open_night(settings: Settings, request: NightRequest) -> Iterator[NightRun | NightResult]:
    """Open the night for this process, or hand out its result when there is nothing to do.

    Raises:
        NotFound: no data was ingested, or no such task.
        NightRunning: another process runs this task's night.
        LineageChanged: the snapshot has other classes than the champion, and nobody agreed to that.
        TrustError: the champion's package is not what was promoted and cannot be made anew.
    """
    load_trainer(request.task)
    settings.home.prepare()
    with open_store(settings.database_url) as store:
        snapshot = _latest(store, request.task)
        with _keep_lease(store, request, settings.lease_seconds) as keeper:
            yield _open(settings, store, keeper, request, snapshot)


def _no_data(task: str | None = None) -> NotFound:
    """Says what somebody without data may do."""
    which = "any task" if task is None else f"task {task!r}"
    return NotFound(
        f"no data was ingested for {which}",
        hint=f"recognizer ingest {task or 'TASK'} FILE; "
        f"to try it out, recognizer nightly {task or example_task()} --synthetic",
    )


def _latest(store: Store, task: str) -> str:
    found = snapshots.latest(store, task)
    if found is None:
        raise _no_data(task)
    return found.id


def _keep_lease(store: Store, request: NightRequest, seconds: float) -> Keeper:
    task, then = request.task, "then hands out its result"
    if request.seed is not None:  # the one that runs may be of another seed
        then = f"--seed {request.seed} then hands out its result, or trains with this seed"
    try:
        return leases.keep(store, f"night/{task}", seconds)
    except Conflict as error:
        raise NightRunning(
            f"a night of task {task} is running: {error.what}",
            hint=f"wait until it has ended; recognizer nightly {task} {then}",
        ) from error


def _open(
    settings: Settings, store: Store, keeper: Keeper, request: NightRequest, snapshot: str
) -> NightRun | NightResult:
    home, task = settings.home, request.task
    sweep_partials(home.runs(task))
    _end_promoted(store, task, keeper.lease)
    # a candidate must not be held against a package that somebody changed
    mend_champion(home, store, task)
    folder = restore_snapshot(home, task, snapshot)
    card = read_snapshot(folder)
    lineage = find_lineage(home, store, task, card.classes)
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
    judged = nights.last_judged(store, task)
    same_inputs = judged if judged and judged.inputs == identity.inputs else None
    start = decide_start(_earlier(same_night), _earlier(same_inputs))
    if start is Start.RETURN and same_night is not None:
        return NightResult.stored(home, store, same_night)

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
        return NightResult.stored(home, store, _end_unchanged(store, keeper.lease, row, same_inputs, lineage))
    try:
        if not lineage.knows(card.classes) and not request.accept_new_labels:
            raise _other_labels(task, card.classes, lineage)
        if row.parent is not None and not has_weights(home, row.parent):
            # its first attempt started from what is damaged now
            row = nights.start_fresh(store, row.key, replace(identity, parent=None).digest, lease=keeper.lease)
        # a night that goes on trains from what its first attempt started from
        identity = replace(identity, parent=row.parent)
        gates = GateConfig.read(params["evaluate"], task=task, source=str(home.params)).gates
        best = find_best(home, store, task, card, gates.relative or {}, without=row.digest)
        pin_inputs(home, task, snapshot, replace(lineage, parent=row.parent), best)
        install_stages(home)
        inputs = StageInputs(
            params=params,
            snapshot=folder,
            parent=weights_file(home, row.parent) if row.parent else None,
            champion=PackageStore(home.packages).path(lineage.champion) if lineage.champion else None,
            best=best,
            golden=golden_folder(home, task),
        )
        run = NightRun(settings, store, keeper, row, card, inputs, identity)
        judgement = run.notes(Step.EVALUATE)
        if judgement is not None and judgement.get("rivals") != run.rivals:
            run.forget(Step.EVALUATE)  # something was promoted or blessed meanwhile
    except Exception as error:
        note_failure(store, row, error, keeper.lease)
        raise
    return run


def _end_promoted(store: Store, task: str, lease: Lease) -> None:
    """Give a night that was killed right after its promotion its last word: what it made serves."""
    row, champion = nights.latest(store, task), read_served(store).champions.get(task)
    if row is not None and champion is not None and row.outcome is None and row.digest == champion.digest:
        nights.end(store, row.key, Outcome.PROMOTED.value, champion.reason, lease=lease, version=champion.version)


def _end_unchanged(store: Store, lease: Lease, row: Night, judged: Night, lineage: Lineage) -> Night:
    reason = (
        f"data, code and parameters are those of night {judged.night}, which ended as {judged.outcome}"
        + (f" with version {judged.version}" if judged.version else "")
        + (f"; champion is version {lineage.version}" if lineage.version else "; nothing serves yet")
    )
    served = {"version": lineage.version, "digest": lineage.champion} if lineage.champion else {}
    facts = {**served, "metrics": judged.metrics, "report": judged.report}
    ended = nights.end(store, row.key, Outcome.UNCHANGED.value, reason, lease=lease, **facts)
    log.info("night ended", task=row.task, night=row.night, outcome="unchanged", reason=reason)
    return ended


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
