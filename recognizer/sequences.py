"""Skeleton sequences: what an action model learns from and is judged on, and their `.npz` form.

Axes everywhere: M people, T frames, V = 17 COCO joints, C = 2 (x, y in pixels of the image).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError, LabelError, first_line
from recognizer.skeleton import JOINTS

Array = NDArray[np.float32]

NPZ_FIELDS = ("keypoints", "visibility", "people", "frames", "labels", "subjects", "names", "image_shapes", "classes")


@dataclass(frozen=True)
class SkeletonSequence:
    """One recording of one action.

    Attributes:
        name: unique in its set.
        keypoints: (M, T, 17, 2) pixels; (0, 0) where the joint was not seen.
        visibility: (M, T, 17) in [0, 1]; 0 where the joint was not seen.
        label: index into the class list.
        subject: who is seen; None when nobody knows.
        image_shape: (height, width) in pixels.

    Raises:
        InputError: wrong shapes or joint count, no people or frames, NaN, visibility outside [0, 1],
            an image with a side below 1.
    """

    name: str
    keypoints: Array
    visibility: Array
    label: int
    subject: str | None
    image_shape: tuple[int, int]

    def __post_init__(self) -> None:
        shape = self.keypoints.shape
        if len(shape) != 4 or shape[2:] != (len(JOINTS), 2):
            raise self._bad(f"keypoints have shape {shape}, expected (M, T, {len(JOINTS)}, 2)")
        if shape[0] < 1 or shape[1] < 1:
            raise self._bad(f"has {shape[0]} people and {shape[1]} frames; at least 1 of each is needed")
        if self.visibility.shape != shape[:3]:
            raise self._bad(f"visibility has shape {self.visibility.shape}, expected {shape[:3]}")
        if not np.isfinite(self.keypoints).all() or not np.isfinite(self.visibility).all():
            raise self._bad("has NaN or infinite values")
        if self.visibility.min() < 0 or self.visibility.max() > 1:
            raise self._bad("visibility lies outside [0, 1]")
        if min(self.image_shape) < 1:
            raise self._bad(f"image shape {self.image_shape} has a side below 1 pixel")
        if self.label < 0:
            raise self._bad(f"label {self.label} is negative")

    def _bad(self, what: str) -> InputError:
        return InputError(what, where=f"sequence {self.name!r}", hint="correct or leave out this sequence")

    @property
    def people(self) -> int:
        return int(self.keypoints.shape[0])

    @property
    def frames(self) -> int:
        return int(self.keypoints.shape[1])


@dataclass(frozen=True)
class SequenceSet:
    """Sequences that share one ordered class list.

    Raises:
        LabelError: a label beyond the class list, or two classes of one name.
        InputError: two sequences of one name.
    """

    classes: tuple[str, ...]
    sequences: tuple[SkeletonSequence, ...]

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise LabelError(f"class names repeat: {self.classes}", hint="give every class a name of its own")
        seen: set[str] = set()
        for sequence in self.sequences:
            if sequence.label >= len(self.classes):
                raise LabelError(
                    f"label {sequence.label} is beyond the {len(self.classes)} classes {list(self.classes)}",
                    where=f"sequence {sequence.name!r}",
                    hint="correct the label or add the class to the class list",
                )
            if sequence.name in seen:
                raise InputError(
                    "two sequences have this name", where=f"sequence {sequence.name!r}", hint="name each of them once"
                )
            seen.add(sequence.name)

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[SkeletonSequence]:
        return iter(self.sequences)

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([sequence.label for sequence in self.sequences], dtype=np.int64)

    @property
    def subjects(self) -> tuple[str | None, ...]:
        return tuple(sequence.subject for sequence in self.sequences)

    def subset(self, indices: Sequence[int]) -> SequenceSet:
        return SequenceSet(self.classes, tuple(self.sequences[index] for index in indices))


def write_npz(path: Path, sequences: SequenceSet) -> None:
    """Write the set; the same set gives the same bytes.

    Arrays: keypoints (sum of M*T, 17, 2) float32 and visibility (sum of M*T, 17) float32, person after
    person, sequence after sequence; people, frames, labels (n,) int64; subjects, names (n,) str (subject "" =
    unknown); image_shapes (n, 2) int64 (height, width); classes (k,) str.
    """
    items = sequences.sequences
    flat = [item.keypoints.astype(np.float32).reshape(-1, len(JOINTS), 2) for item in items]
    seen = [item.visibility.astype(np.float32).reshape(-1, len(JOINTS)) for item in items]
    np.savez_compressed(
        path,
        keypoints=np.concatenate(flat) if flat else np.zeros((0, len(JOINTS), 2), np.float32),
        visibility=np.concatenate(seen) if seen else np.zeros((0, len(JOINTS)), np.float32),
        people=np.array([item.people for item in items], np.int64),
        frames=np.array([item.frames for item in items], np.int64),
        labels=sequences.labels,
        subjects=np.array([item.subject or "" for item in items], np.str_),
        names=np.array([item.name for item in items], np.str_),
        image_shapes=np.array([item.image_shape for item in items], np.int64).reshape(-1, 2),
        classes=np.array(sequences.classes, np.str_),
    )


def read_npz(path: Path) -> SequenceSet:
    """Read what `write_npz` wrote; never unpickles.

    Raises:
        FormatError: no readable npz, a field is missing, or lengths do not agree.
        InputError: a sequence is not valid.
    """
    hint = "write it with recognizer.sequences.write_npz, or ingest a PYSKL pickle"
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [field for field in NPZ_FIELDS if field not in file.files]
            if missing:
                raise FormatError(f"lacks the arrays {missing}", where=str(path), hint=hint)
            arrays = {field: file[field] for field in NPZ_FIELDS}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise FormatError(f"cannot be read as .npz: {first_line(error)}", where=str(path), hint=hint) from error
    people, frames = arrays["people"].astype(int), arrays["frames"].astype(int)
    if (people < 0).any() or (frames < 0).any():
        raise FormatError("has negative sizes", where=str(path), hint=hint)
    ends = np.cumsum(people * frames)
    total = int(ends[-1]) if len(ends) else 0
    per_sequence = [len(arrays[field]) for field in NPZ_FIELDS[2:8]]
    if len(set(per_sequence)) != 1 or len(arrays["keypoints"]) != total or len(arrays["visibility"]) != total:
        raise FormatError("its arrays do not agree in length", where=str(path), hint=hint)
    return SequenceSet(
        tuple(str(name) for name in arrays["classes"]),
        tuple(
            SkeletonSequence(
                name=str(arrays["names"][i]),
                keypoints=arrays["keypoints"][ends[i] - people[i] * frames[i] : ends[i]].reshape(
                    people[i], frames[i], *arrays["keypoints"].shape[1:]
                ),
                visibility=arrays["visibility"][ends[i] - people[i] * frames[i] : ends[i]].reshape(
                    people[i], frames[i], *arrays["visibility"].shape[1:]
                ),
                label=int(arrays["labels"][i]),
                subject=str(arrays["subjects"][i]) or None,
                image_shape=(int(arrays["image_shapes"][i][0]), int(arrays["image_shapes"][i][1])),
            )
            for i in range(len(people))
        ),
    )
