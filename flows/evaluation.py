"""Judge any version, or predictions of whatever made them, on any data file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.measuring import answer, make_test_set
from flows.snapshots import restore_snapshot
from flows.standing import resolve_version
from recognizer.errors import LabelError, NotFound, UsageError
from recognizer.evaluator import PredictionJudge
from recognizer.gates import GateConfig
from recognizer.ingest.origin import DataFile
from recognizer.keys import Keyring
from recognizer.package import PackageStore
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.snapshot import read_snapshot
from recognizer.store import Store, snapshots
from recognizer.tasks import load_evaluator, load_predictor


def evaluate_version(
    settings: Settings,
    store: Store,
    task: str,
    model: str,
    data: DataFile | None,
) -> dict[str, Any]:
    """Evaluate a version; the package is verified first.

    Args:
        model: `champion`, a version number, or a digest.
        data: a data file, all of whose cases are judged; None for the newest snapshot's frozen test set.

    Returns:
        `{task, version, digest, n, classes, metrics, per_class, slices, confusion, reliability, errors}`.

    Raises:
        NotFound: no such version, or nothing was ingested.
        InputError: the file cannot be used, or its labels are not the model's.
        TrustError: the package is not what was signed.
    """
    version = resolve_version(store, task, model)
    packages = PackageStore(settings.home.packages)
    card = packages.verify(version.digest, Keyring.open(settings.home.keys))
    cases = judged_cases(settings, store, task, card.classes, data)
    predictor = load_predictor(task)(packages.path(version.digest), threads=settings.session_threads)
    gates = GateConfig.read(load_params(settings.home.params, task)["evaluate"], task=task)
    test = make_test_set(load_evaluator(task), cases, gates)
    evaluation = test.evaluate(answer(predictor, test.items))
    return {"task": task, "version": version.version, "digest": version.digest, **evaluation.as_dict()}


def evaluate_predictions(task: str, data: DataFile, predictions: Path) -> dict[str, Any]:
    """Evaluate predictions that lie in a file, on all cases of a data file; asks no model, and reads no store.

    Returns:
        `{task, predictions, n, classes, metrics, per_class, slices, confusion, reliability, errors, warnings}`.

    Raises:
        NotFound: no such task.
        UsageError: the task reads no predictions.
        InputError: a file cannot be used.
    """
    evaluator = load_evaluator(task)
    if not isinstance(evaluator, PredictionJudge):
        raise UsageError(
            f"task {task!r} reads no predictions",
            where=str(predictions),
            hint=f"recognizer evaluate {task} --model VERSION --data FILE judges a model",
        )
    evaluation, warnings = evaluator.judged(data, predictions)
    return {"task": task, "predictions": str(predictions), **evaluation.as_dict(), "warnings": list(warnings)}


def judged_cases(
    settings: Settings,
    store: Store,
    task: str,
    classes: tuple[str, ...],
    data: DataFile | None,
) -> Any:
    """The newest snapshot's frozen test set, or all cases of a data file; of exactly these classes.

    Raises:
        NotFound: nothing was ingested.
        InputError: the file cannot be used, or its labels are others.
    """
    evaluator = load_evaluator(task)
    if data is None:
        newest = snapshots.latest(store, task)
        if newest is None:
            raise NotFound(f"no data was ingested for task {task!r}", hint="name a file with --data")
        folder = restore_snapshot(settings.home, task, newest.id)
        found = read_snapshot(folder).classes
        if found != classes:
            raise LabelError(
                f"the newest snapshot's classes are {list(found)}, the model's are {list(classes)}",
                where=f"snapshot {newest.id}",
                hint="name a file of the model's classes with --data",
            )
        return evaluator.load(folder, "test")
    return evaluator.read(data, classes)
