"""Recordings as flat tables, one row per sequence or per person and frame: what the data contract looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.movement import nearest_elsewhere
from recognizer.sequences import SequenceSet
from recognizer.snapshot import sequence_digest

Table = dict[str, NDArray[Any]]


def sequence_table(sets: Mapping[str, SequenceSet]) -> Table:
    """One row per sequence, in the order of the sets.

    Columns: set, name, subject ("" where unknown), class_name, content_hash as text; label, people, frames, height,
    width (pixels) as integers; visible_share, the share of joints seen, in [0, 1]; nearest_elsewhere, how far the most
    alike sequence of another set is (`recognizer.movement`), NaN where there is none. Equal content_hash means the same
    movement, whatever it is called.
    """
    rows = [(part, sequences.classes, item) for part, sequences in sets.items() for item in sequences]
    return {
        "set": _text(part for part, _, _ in rows),
        "name": _text(item.name for _, _, item in rows),
        "subject": _text(item.subject or "" for _, _, item in rows),
        "label": np.array([item.label for _, _, item in rows], np.int64),
        "class_name": _text(classes[item.label] for _, classes, item in rows),
        "people": np.array([item.people for _, _, item in rows], np.int64),
        "frames": np.array([item.frames for _, _, item in rows], np.int64),
        "height": np.array([item.image_shape[0] for _, _, item in rows], np.int64),
        "width": np.array([item.image_shape[1] for _, _, item in rows], np.int64),
        "visible_share": np.array([(item.visibility > 0).mean() for _, _, item in rows], np.float64),
        "nearest_elsewhere": nearest_elsewhere(sets),
        "content_hash": _text(sequence_digest(item) for _, _, item in rows),
    }


def frame_table(sets: Mapping[str, SequenceSet], *, limit: int = 100_000) -> Table:
    """One row per person and frame, at most `limit` of them, evenly spread over all sequences.

    Columns: set, name as text; frame, person, joints_visible (0 to 17) as integers; x_min, x_max, y_min, y_max of the
    joints seen, as shares of the image's width and height; score_mean of the joints seen. The last five are NaN
    where no joint was seen.
    """
    items = [(part, item) for part, sequences in sets.items() for item in sequences]
    ends = np.cumsum([item.people * item.frames for _, item in items], dtype=np.int64)
    total = int(ends[-1]) if items else 0
    chosen = np.arange(total) if total <= limit else np.linspace(0, total - 1, limit).astype(np.int64)
    owner = np.searchsorted(ends, chosen, side="right")
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("person", "frame", *MEASURES)}
    found, first = np.unique(owner, return_index=True)
    for index, rows in zip(found, np.split(chosen, first[1:]), strict=False):
        item = items[index][1]
        within = rows - (ends[index] - item.people * item.frames)
        person, frame = within // item.frames, within % item.frames
        columns["person"].append(person)
        columns["frame"].append(frame)
        size = np.array(item.image_shape[::-1], np.float64)
        measured = _measure(item.keypoints[person, frame] / size, item.visibility[person, frame])
        for name in MEASURES:
            columns[name].append(measured[name])
    return {
        "set": _text(items[index][0] for index in owner),
        "name": _text(items[index][1].name for index in owner),
        **{name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in columns.items()},
    }


MEASURES = ("joints_visible", "x_min", "x_max", "y_min", "y_max", "score_mean")


def _measure(points: NDArray[np.float64], visibility: NDArray[np.float32]) -> Table:
    """Measures of n rows from points (n, 17, 2), as shares of the image, and visibility (n, 17)."""
    seen = visibility > 0
    count = seen.sum(axis=1)
    some = count > 0
    low = np.where(seen[..., None], points, np.inf).min(axis=1)
    high = np.where(seen[..., None], points, -np.inf).max(axis=1)
    score = visibility.sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    measured = {
        "x_min": low[:, 0],
        "x_max": high[:, 0],
        "y_min": low[:, 1],
        "y_max": high[:, 1],
        "score_mean": score,
    }
    return {"joints_visible": count, **{name: np.where(some, values, np.nan) for name, values in measured.items()}}


def _text(values: Any) -> NDArray[np.str_]:
    return np.array(list(values), np.str_)
