"""One door for every format of recorded sequences."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recognizer.errors import FormatError, LabelError, UsageError
from recognizer.ingest.meta import Meta
from recognizer.ingest.npz import read_own
from recognizer.ingest.pyskl import read_pyskl
from recognizer.ingest.recorded import Recorded

READERS = {".pkl": read_pyskl, ".pickle": read_pyskl, ".npz": read_own}
HINT = "give a PYSKL/mmaction2 pickle (.pkl, .pickle) or our own .npz"


def read_recorded(
    path: Path,
    *,
    meta: Meta | None = None,
    subject_pattern: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> Recorded:
    """Read recorded sequences; the file's suffix says which format it is.

    Args:
        path: the file.
        meta: class names and subjects, see `read_meta`.
        subject_pattern: takes the place of `meta.subject_pattern`.
        classes: the class list that labels are checked against; a file with a list of its own must have this one.

    Raises:
        UsageError: no such file, a bad pattern, or a `meta` that speaks of other sequences.
        FormatError: a folder, an empty file, or a format that no reader knows; see also the readers.
        LabelError: `meta.classes` and `classes` differ, or a label is unknown.
    """
    meta = meta or Meta()
    if subject_pattern is not None:
        meta = dataclasses.replace(meta, subject_pattern=subject_pattern)
    if meta.classes is not None and classes is not None and meta.classes != classes:
        raise LabelError(
            f"the class list is {list(meta.classes)}, the model's is {list(classes)}",
            where=str(path),
            hint="name and order the classes as the model does",
        )
    if path.is_dir():
        raise FormatError("is a folder", where=str(path), hint=HINT)
    if not path.exists():
        raise UsageError("no such file", where=str(path), hint="check the path")
    if path.stat().st_size == 0:
        raise FormatError("is empty", where=str(path), hint=HINT)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FormatError(f"{path.suffix or 'a file without suffix'} is no known format", where=str(path), hint=HINT)
    recorded = reader(path, meta, classes=classes)
    if meta.subject_of and not any(item.name in meta.subject_of for item in recorded.sequences):
        raise UsageError(
            f"`subject_of` names {len(meta.subject_of)} sequences, but none of this file's",
            where=str(path),
            hint="give the --meta file that belongs to this recording",
        )
    return recorded
