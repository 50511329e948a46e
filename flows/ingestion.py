"""From a data file to a recorded snapshot: read, cut by subject, write, give to DVC, note in the store, pin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from flows.lineage import Lineage, find_lineage, pin_inputs
from flows.progress import progress_bar
from flows.snapshots import add_snapshot, incoming
from recognizer.errors import NotFound, TrustError, UsageError
from recognizer.ingest.origin import Generated, Origin
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, open_store, snapshots
from recognizer.tasks import Progress, example_task, load_evaluator, load_trainer

log = structlog.get_logger("recognizer.ingest")


@dataclass(frozen=True)
class IngestRequest:
    """What to read.

    Attributes:
        seed: of the generator, and of cutting sets by subject.
        if_empty: do nothing when the task has a snapshot.
    """

    task: str
    origin: Origin
    seed: int = 0
    if_empty: bool = False


@dataclass(frozen=True)
class Ingested:
    """A recorded snapshot.

    Attributes:
        new: False when this content was recorded before.
        kept: True when nothing was read because there was data already.
        new_labels: the champion knows other classes than this snapshot.
    """

    task: str
    snapshot: str
    card: SnapshotCard
    new: bool
    kept: bool = False
    new_labels: bool = False


def generated(task: str, count: int | None = None) -> Generated:
    """So many cases of the task's generator; without a number, as many as the task says.

    Raises:
        NotFound: no such task.
    """
    return Generated(load_evaluator(task).generated_count if count is None else count)


def ingest_recordings(
    settings: Settings, store: Store, request: IngestRequest, progress: Progress | None = None
) -> Ingested:
    """Make a snapshot; the same content gives the same snapshot.

    Raises:
        NotFound: no such task.
        InputError, UsageError: the file or its split cannot be used.
        StorageError: the home did not take it; nothing half-written is left.
    """
    task = request.task
    evaluator = load_evaluator(task)
    known = snapshots.latest(store, task)
    if request.if_empty and known is not None:
        card = SnapshotCard.model_validate(known.card)
        return Ingested(task, known.id, card, new=False, kept=True)
    params = load_params(settings.home.params, task)
    settings.home.prepare()
    with incoming(settings.home, task) as folder:
        # in a folder of its own: writing replaces a folder as a whole, and the one from `incoming` is held by a lock
        destination = folder / "snapshot"
        card = evaluator.ingest(request.origin, destination, params, seed=request.seed, progress=progress)
        snapshot = add_snapshot(settings.home, task, destination)
    new = snapshots.find(store, task, snapshot) is None
    snapshots.record(store, task=task, id=snapshot, card=card.model_dump(mode="json"))
    try:
        lineage = find_lineage(settings.home, store, task, card.classes)
    except (NotFound, TrustError) as error:  # the night makes the package anew; the data is no less good for it
        log.warning("the champion's package cannot be read", task=task, problem=str(error))
        lineage = Lineage()
    pin_inputs(settings.home, task, snapshot, lineage, {})
    log.info("ingested", task=task, snapshot=snapshot, new=new, source=card.source.name)
    return Ingested(task, snapshot, card, new=new, new_labels=not lineage.knows(card.classes))


def ingest_missing(settings: Settings, tasks: Sequence[str], count: int | None = None) -> list[Ingested]:
    """Generated data for every one of the tasks that has none, so that its night has something to begin with.

    Raises:
        NotFound: no such task, or nobody can train it.
        UsageError: no task, or a number of cases that its generator refuses.
    """
    if not tasks:
        raise UsageError(
            "data is made for the tasks that are named, and none is",
            hint=f"recognizer nightly {example_task()} --synthetic",
        )
    for task in tasks:
        load_trainer(task)  # before minutes are spent on data that nobody can train on
    settings.home.prepare()
    found = []
    with open_store(settings.database_url) as store:
        for task in tasks:
            with progress_bar(f"ingesting {task}") as progress:
                request = IngestRequest(task, generated(task, count), if_empty=True)
                found.append(ingest_recordings(settings, store, request, progress))
    return found
