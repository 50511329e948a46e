"""What traffic replays: windows of a file, of the newest test set, of the prediction log, or of synthetic people."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError, NotFound
from recognizer.home import Home
from recognizer.ingest.meta import Meta, read_meta
from recognizer.ingest.read import read_recorded
from recognizer.ingest.recorded import TEST, Recorded
from recognizer.predictions import Prediction
from recognizer.sequences import SequenceSet
from recognizer.settings import Settings
from recognizer.snapshot import read_set
from recognizer.store import open_store, predictions, snapshots
from recognizer.tasks import trainable_tasks
from recognizer.traffic import Window

MOST_WINDOWS = 500
"""Of a larger set every so-manieth is taken: they are held in memory, ready to be sent."""
SYNTHETIC = 200


class Body(StrEnum):
    """How a window is written."""

    NPY = "npy"
    """(people, frames, 17, 3) float32: x, y, visibility."""
    JSON = "json"
    """An object with `keypoints` and `visibility`, to a thousandth of a pixel; about five times as long."""

    @property
    def media_type(self) -> str:
        return "application/x-npy" if self is Body.NPY else "application/json"


@dataclass(frozen=True)
class Recordings:
    """Windows to replay, and where they came from, in words."""

    windows: tuple[Window, ...]
    source: str


def find_recordings(
    settings: Settings, task: str, *, data: Path | None = None, meta: Path | None = None, body: Body = Body.NPY
) -> Recordings:
    """The windows of `data`, else of the newest snapshot's test set, else of synthetic people.

    Of a file with a held-out part only that part is taken: on the rest a model would look better than it is.

    Raises:
        NotFound: no such task.
        UsageError, InputError: the file cannot be used, or nobody is seen in it.
        StorageError: the store cannot be read.
    """
    if task not in trainable_tasks():
        raise NotFound(f"no task {task!r}", hint=f"use one of: {', '.join(trainable_tasks())}")
    if data is not None:
        recorded = read_recorded(data, meta=read_meta(meta) if meta else Meta())
        return make_recordings(_held_out(recorded), f"file {data.name}", body)
    # asked of the folder first: a home that holds no data may be one in which nobody wants a store
    if any(settings.home.snapshots(task).glob("*.dvc")):
        with open_store(settings.database_url, make=False) as store:
            newest = snapshots.latest(store, task)
        if newest is not None:
            from flows.snapshots import restore_snapshot

            test = read_set(restore_snapshot(settings.home, task, newest.id), "test")
            return make_recordings(test, f"test set of snapshot {newest.id[:12]}", body)
    from recognizer.synthetic import generate

    return make_recordings(_held_out(generate(SYNTHETIC)), "synthetic people", body)


def make_recordings(
    sequences: SequenceSet, source: str, body: Body = Body.NPY, *, most: int = MOST_WINDOWS
) -> Recordings:
    """The sequences as request bodies, each with its class as the truth, subject after subject; `most`, evenly taken.

    Raises:
        InputError: there is no sequence in which anybody is seen.
    """
    seen = sorted(
        (item for item in sequences if item.visibility.any()), key=lambda item: (item.subject or "", item.name)
    )
    if not seen:
        raise InputError("holds no sequence in which anybody is seen", where=source, hint="name another with --data")
    count = min(len(seen), most)
    chosen = [seen[i * len(seen) // count] for i in range(count)]
    windows = tuple(
        Window(encode(item.keypoints, item.visibility, body), sequences.classes[item.label]) for item in chosen
    )
    return Recordings(windows, f"{count} windows, {source}")


def logged_recordings(settings: Settings, task: str, body: Body = Body.NPY, *, most: int = MOST_WINDOWS) -> Recordings:
    """What the service was asked last, of the answers whose input was kept. Nobody knows their truth.

    Raises:
        NotFound: the log holds no inputs of this task.
        StorageError: the store cannot be read.
    """
    with open_store(settings.database_url, make=False) as store:
        kept = predictions.list(store, task, with_inputs=True, limit=most, newest=True)
    windows = [Window(content, None) for one in kept if (content := _logged(settings.home, one, body)) is not None]
    if not windows:
        raise NotFound(
            f"the prediction log holds no inputs of task {task!r}",
            where=str(settings.home.inputs / task),
            hint="serve some requests first; RECOGNIZER_INPUT_SHARE says how many inputs are kept",
        )
    return Recordings(tuple(windows), f"{len(windows)} windows, prediction log")


def _logged(home: Home, prediction: Prediction, body: Body) -> bytes | None:
    """The body of a logged request; None when its file is gone: tidied away just now, or deleted by hand."""
    try:
        with np.load(home.inputs / str(prediction.inputs)) as arrays:
            return encode(arrays["keypoints"], arrays["visibility"], body)
    except (OSError, ValueError, KeyError):
        return None


def encode(keypoints: NDArray[Any], visibility: NDArray[Any], body: Body) -> bytes:
    """The body of a request that shows a window: keypoints (M, T, 17, 2), visibility (M, T, 17)."""
    if body is Body.NPY:
        file = io.BytesIO()
        np.save(file, np.concatenate([keypoints, visibility[..., None]], axis=3).astype(np.float32))
        return file.getvalue()
    arrays = {"keypoints": keypoints, "visibility": visibility}
    content = {name: np.round(array.astype(np.float64), 3).tolist() for name, array in arrays.items()}
    return json.dumps(content, separators=(",", ":")).encode()


def _held_out(recorded: Recorded) -> SequenceSet:
    return recorded.part(TEST) if recorded.split.get(TEST) else recorded.sequences
