"""PYSKL / mmaction2 skeleton pickles.

`{"split": {name: [sequence names]}, "annotations": [{frame_dir | filename, label, total_frames, img_shape,
original_shape, keypoint [M, T, V, C], keypoint_score [M, T, V]}]}`; older files are the bare list of annotations.

Source: pyskl `tools/data/README.md`, mmaction2 `PoseDataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.errors import FormatError, InputError, LabelError
from recognizer.ingest.meta import Meta
from recognizer.ingest.protocol import choose_split
from recognizer.ingest.recorded import Recorded, Source
from recognizer.ingest.unpickle import load_pickle
from recognizer.sequences import Array, SequenceSet, SkeletonSequence
from recognizer.skeleton import JOINTS

SHAPE = "expected {'split': {...}, 'annotations': [...]}"
HINT = "correct or leave out this sequence"
NAME_LENGTH = 200
WIDEST = 100_000
MOST_CLASSES = 10_000
MOST_FRAMES = 2**31
# An honest file grows four times at most (float16 points without scores to float32 points with visibility). Far
# more means that its sequences share one array, which would fill the memory from a small file.
GROWTH = 16
FREE_BYTES = 64 * 2**20


@dataclass
class _Counts:
    """What was put right, over all sequences."""

    clipped: int = 0
    blank: int = 0

    def warnings(self) -> tuple[str, ...]:
        told = []
        if self.clipped:
            told.append(f"{self.clipped} joint scores outside [0, 1] were clipped")
        if self.blank:
            told.append(f"{self.blank} joints at (0, 0) with a score above 0 were taken as not seen")
        return tuple(told)


def read_pyskl(path: Path, meta: Meta | None = None, *, classes: tuple[str, ...] | None = None) -> Recorded:
    """Read all sequences of a PYSKL pickle.

    Points become float32 pixels; without `keypoint_score` a joint counts as seen where it is not (0, 0).
    Scores outside [0, 1] are clipped and joints at (0, 0) count as not seen, both told in `warnings`.

    Args:
        path: the pickle.
        meta: class names, subjects and protocol.
        classes: class list to use when `meta` has none; without both, classes are called `class_0`, `class_1`...

    Raises:
        UnsafeFile, FormatError: see `load_pickle`; also a file of another layout.
        InputError: a sequence is not usable; it is named.
        LabelError: a label is unknown.
        SplitError: the split names unknown sequences or one twice.
        UsageError: several splits and no choice.
    """
    meta = meta or Meta()
    annotations, split = _layout(load_pickle(path), path)
    names = meta.classes or classes
    counts, grown, sequences = _Counts(), 0, []
    limit = GROWTH * path.stat().st_size + FREE_BYTES
    for place, annotation in enumerate(annotations):
        name = _name(annotation, place, path)
        points = _points(annotation, name)
        grown += 6 * points.size
        if grown > limit:
            raise FormatError(
                "grows without measure: its sequences share their arrays", where=str(path), hint="write it again"
            )
        keypoints, visibility = _seen(points, annotation.get("keypoint_score"), name, counts)
        sequences.append(
            SkeletonSequence(
                name=name,
                keypoints=keypoints,
                visibility=visibility,
                label=_label(annotation.get("label"), name, names),
                subject=meta.subject(name),
                image_shape=_image_shape(annotation, name),
            )
        )
    if not sequences:
        raise FormatError("holds no sequences", where=str(path), hint="record some, or give another file")
    if names is None:
        names = tuple(f"class_{label}" for label in range(max(item.label for item in sequences) + 1))
    return Recorded(
        sequences=SequenceSet(names, tuple(sequences)),
        split=choose_split(split, meta.protocol, where=str(path)),
        source=Source.of(path),
        warnings=counts.warnings(),
    )


def _layout(content: Any, path: Path) -> tuple[list[Any], dict[str, tuple[str, ...]]]:
    """Annotations and split of the outermost object."""
    if isinstance(content, list):
        return content, {}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise FormatError(f"is no PYSKL file: {SHAPE}", where=str(path), hint="convert it with PYSKL's tools")
    split = content.get("split") or {}
    if not isinstance(split, dict):
        raise FormatError("`split` is no mapping of set names to sequence names", where=str(path), hint=SHAPE)
    parts: dict[str, tuple[str, ...]] = {}
    for part, listed in split.items():
        if not isinstance(part, str):
            raise FormatError("a key of `split` is no text", where=str(path), hint=SHAPE)
        names = listed.tolist() if isinstance(listed, np.ndarray) else listed
        if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
            raise FormatError(f"split {part[:NAME_LENGTH]!r} is no list of names", where=str(path), hint=SHAPE)
        parts[part] = tuple(sorted(names)) if isinstance(names, (set, frozenset)) else tuple(names)
    return content["annotations"], parts


def _name(annotation: Any, place: int, path: Path) -> str:
    """The sequence's name; everything said about a sequence later can then name it."""
    where = f"{path}, annotation {place}"
    if not isinstance(annotation, dict):
        raise FormatError("is no dict", where=where, hint=SHAPE)
    name = annotation.get("frame_dir") or annotation.get("filename")
    if not isinstance(name, str) or not name.isprintable() or len(name) > NAME_LENGTH:
        raise FormatError("has no usable `frame_dir` or `filename`", where=where, hint="name every sequence")
    return name


def _bad(what: str, name: str) -> InputError:
    return InputError(what, where=f"sequence {name!r}", hint=HINT)


def _points(annotation: Mapping[str, Any], name: str) -> Array:
    """(M, T, 17, 2) numbers of any width, checked against `total_frames`."""
    points = annotation.get("keypoint")
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "iuf":
        raise _bad("`keypoint` is missing or no array of numbers", name)
    if points.ndim != 4 or points.shape[2:] != (len(JOINTS), 2):
        raise _bad(f"`keypoint` has shape {points.shape}, expected (M, T, {len(JOINTS)}, 2): COCO joints in 2D", name)
    frames = annotation.get("total_frames", points.shape[1])
    if not isinstance(frames, (int, np.integer)) or not 0 <= frames < MOST_FRAMES:
        raise _bad("`total_frames` is negative or no number of frames", name)
    if frames != points.shape[1]:
        raise _bad(f"`total_frames` is {frames}, but `keypoint` has {points.shape[1]} frames", name)
    return points


def _seen(points: Array, scores: Any, name: str, counts: _Counts) -> tuple[Array, Array]:
    """Points and visibility as float32; both 0 where a joint was not seen."""
    with np.errstate(over="ignore"):
        keypoints = points.astype(np.float32)
    at_origin = (keypoints == 0).all(axis=-1)
    if scores is None:
        return keypoints, (~at_origin).astype(np.float32)
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "biuf" or scores.shape != points.shape[:3]:
        shape = getattr(scores, "shape", None)
        raise _bad(f"`keypoint_score` has shape {shape}, expected {points.shape[:3]}", name)
    visibility = scores.astype(np.float32)
    if not np.isfinite(visibility).all():
        raise _bad("`keypoint_score` has NaN or infinite values", name)
    counts.clipped += int(((visibility < 0) | (visibility > 1)).sum())
    counts.blank += int((at_origin & (visibility > 0)).sum())
    visibility = np.where(at_origin, np.float32(0), visibility.clip(0, 1))
    # NaN points stay, so that the sequence is refused even where nothing was seen.
    keypoints[(visibility == 0) & np.isfinite(keypoints).all(axis=-1)] = 0
    return keypoints, visibility


def _label(label: Any, name: str, classes: tuple[str, ...] | None) -> int:
    where, hint = f"sequence {name!r}", "correct the label or add the class to the class list"
    if isinstance(label, str) and classes is not None and label in classes:
        return classes.index(label)
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
        shown = repr(label[:NAME_LENGTH]) if isinstance(label, str) else f"of type {type(label).__name__}"
        raise LabelError(f"label {shown} is unknown", where=where, hint=hint)
    number, limit = int(label), len(classes) if classes is not None else MOST_CLASSES
    if not 0 <= number < limit:
        shown = str(number) if abs(number) < 2**63 else "of that size"
        raise LabelError(f"label {shown} is not among the {limit} classes", where=where, hint=hint)
    return number


def _image_shape(annotation: Mapping[str, Any], name: str) -> tuple[int, int]:
    """(height, width) in pixels of the picture that the points are measured in."""
    shape = annotation.get("img_shape")
    shape = annotation.get("original_shape") if shape is None else shape
    sides: Any = shape.tolist() if isinstance(shape, np.ndarray) else shape
    if not isinstance(sides, (tuple, list)) or len(sides) not in (2, 3):
        raise _bad("`img_shape` is missing or not (height, width)", name)
    height, width = sides[:2]
    for side in (height, width):
        if not isinstance(side, (int, np.integer)) or not 0 < int(side) <= WIDEST:
            raise _bad(f"`img_shape` holds a side that is no number of pixels between 1 and {WIDEST:,}", name)
    return int(height), int(width)
