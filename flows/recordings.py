"""What traffic replays: cases of a file, of the newest test set, of the prediction log, or of the task's generator.

The task's evaluator finds the cases, and its endpoint makes requests of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recognizer.errors import InputError, NotFound, UsageError
from recognizer.home import Home
from recognizer.ingest.origin import DataFile, Generated
from recognizer.params import load_params
from recognizer.predictions import Prediction
from recognizer.settings import Settings
from recognizer.store import open_store, predictions, snapshots
from recognizer.tasks import load_evaluator
from recognizer.traffic import Sent
from serving.endpoint import Endpoint, load_endpoint

MOST_CASES = 500
"""Of a larger set every so-manieth is taken: they are held in memory, ready to be sent."""
SYNTHETIC = 200


@dataclass(frozen=True)
class Recordings:
    """Requests to replay, where they came from, in words, and the media type of their bodies."""

    cases: tuple[Sent, ...]
    source: str
    media_type: str


def find_recordings(
    settings: Settings, task: str, *, data: DataFile | None = None, form: str | None = None
) -> Recordings:
    """The cases of `data`, else of the newest snapshot's test set, else of the task's generator.

    Of a file with a held-out part only that part is taken: on the rest a model would look better than it is.

    Args:
        form: of `Endpoint.forms`; by default the first.

    Raises:
        NotFound: no such task.
        UsageError, InputError: the file cannot be used, or holds nothing that can be sent.
        StorageError: the store cannot be read.
    """
    media_type_of(load_endpoint(task), form)  # before anything is read
    evaluator = load_evaluator(task)
    if data is not None:
        return make_recordings(task, evaluator.read(data, held_out=True), f"file {data.path.name}", form)
    # asked of the folder first: a home that holds no data may be one in which nobody wants a store
    if any(settings.home.snapshots(task).glob("*.dvc")):
        with open_store(settings.database_url, make=False) as store:
            newest = snapshots.latest(store, task)
        if newest is not None:
            from flows.snapshots import restore_snapshot

            test = evaluator.load(restore_snapshot(settings.home, task, newest.id), "test")
            return make_recordings(task, test, f"test set of snapshot {newest.id[:12]}", form)
    with TemporaryDirectory(prefix="recognizer-") as folder:
        snapshot, params = Path(folder) / "snapshot", load_params(settings.home.params, task)
        evaluator.ingest(Generated(SYNTHETIC), snapshot, params, seed=0)
        return make_recordings(task, evaluator.load(snapshot, "test"), "synthetic", form)


def make_recordings(
    task: str, cases: Any, source: str, form: str | None = None, *, most: int = MOST_CASES
) -> Recordings:
    """Cases as request bodies, each with its truth, person after person; `most`, evenly taken.

    Args:
        cases: as the task's evaluator gives them.

    Raises:
        InputError: there is none that can be sent.
    """
    endpoint, test = load_endpoint(task), load_evaluator(task).test_set(cases)
    form, media_type = media_type_of(endpoint, form)
    people = test.people
    order = sorted(range(len(test)), key=lambda place: people[place] or "")
    count = min(len(order), most)
    chosen = [test.items[order[i * len(order) // count]] for i in range(count)]
    sent = [endpoint.request(case, test.classes, form) for case in chosen]
    return _recordings([one for one in sent if one is not None], source, media_type)


def logged_recordings(settings: Settings, task: str, form: str | None = None, *, most: int = MOST_CASES) -> Recordings:
    """What the service was asked last, of the answers whose input was kept. Nobody knows their truth.

    Raises:
        NotFound: no such task, or the log holds no inputs of it.
        StorageError: the store cannot be read.
    """
    endpoint = load_endpoint(task)
    form, media_type = media_type_of(endpoint, form)
    with open_store(settings.database_url, make=False) as store:
        kept = predictions.list(store, task, with_inputs=True, limit=most, newest=True)
    bodies = [_logged(settings.home, one, endpoint, form) for one in kept]
    sent = [Sent(body, None) for body in bodies if body is not None]
    if not sent:
        raise NotFound(
            f"the prediction log holds no inputs of task {task!r}",
            where=str(settings.home.inputs / task),
            hint="serve some requests first; RECOGNIZER_INPUT_SHARE says how many inputs are kept",
        )
    return _recordings(sent, "prediction log", media_type)


def media_type_of(endpoint: Endpoint, form: str | None) -> tuple[str, str]:
    """A form of request bodies, by default the endpoint's first, and its media type.

    Raises:
        UsageError: the task has no such form.
    """
    known: Mapping[str, str] = endpoint.forms
    form = next(iter(known)) if form is None else form
    if form not in known:
        raise UsageError(f"{form!r} is no form of a request", where="body", hint=f"use one of: {', '.join(known)}")
    return form, known[form]


def _recordings(sent: Sequence[Sent], source: str, media_type: str) -> Recordings:
    if not sent:
        raise InputError("holds no case that can be sent", where=source, hint="name another with --data")
    return Recordings(tuple(sent), f"{len(sent)} cases, {source}", media_type)


def _logged(home: Home, prediction: Prediction, endpoint: Endpoint, form: str) -> bytes | None:
    """The body of a logged request; None when its file is gone: tidied away just now, or deleted by hand."""
    try:
        with np.load(home.inputs / str(prediction.inputs)) as arrays:
            return endpoint.logged(arrays, form)
    except (OSError, ValueError, KeyError):
        return None
