"""Our own `.npz` form (`recognizer.sequences.write_npz`), with an optional array `split` (n,) of set names."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from recognizer.errors import FormatError, LabelError, first_line
from recognizer.ingest.meta import Meta, require_names
from recognizer.ingest.protocol import choose_split
from recognizer.ingest.recorded import Recorded, Source
from recognizer.sequences import SequenceSet, read_npz

HINT = "write it with recognizer.sequences.write_npz"
# Skeletons shrink two to ten times; an archive that promises far more is made to fill the memory.
GROWTH = 200
FREE_BYTES = 256 * 2**20


def read_own(path: Path, meta: Meta | None = None, *, classes: tuple[str, ...] | None = None) -> Recorded:
    """Read sequences of our own form; nothing in it is unpickled.

    Subjects in the file win over those of `meta`, which fills in where the file has none.

    Raises:
        FormatError: no readable npz, or its arrays do not agree.
        InputError: a sequence is not valid.
        LabelError: its class list is not `meta`'s or `classes`.
        SplitError: see `Recorded`.
    """
    meta = meta or Meta()
    _measure(path)
    try:
        found = read_npz(path)
        split = _split(path, found)
    except (TypeError, ValueError, IndexError, OverflowError, MemoryError, zipfile.BadZipFile) as error:
        raise FormatError(f"its arrays do not agree: {first_line(error)}", where=str(path), hint=HINT) from error
    for wanted in (meta.classes, classes):
        if wanted is not None and wanted != found.classes:
            raise LabelError(
                f"its classes are {list(found.classes)}, asked for were {list(wanted)}",
                where=str(path),
                hint="give the file's own class list, or write the file with the other one",
            )
    require_names(found.classes, "class", str(path))
    require_names((subject for subject in found.subjects if subject), "subject", str(path))
    if not len(found):
        raise FormatError("holds no sequences", where=str(path), hint="record some, or give another file")
    sequences = SequenceSet(
        found.classes,
        tuple(item if item.subject else dataclasses.replace(item, subject=meta.subject(item.name)) for item in found),
    )
    return Recorded(sequences, choose_split(split, meta.protocol, where=str(path)), Source.of(path))


def _measure(path: Path) -> None:
    """Refuse an archive that unpacks to far more than it weighs."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FormatError(f"cannot be read as .npz: {first_line(error)}", where=str(path), hint=HINT) from error
    if unpacked > GROWTH * path.stat().st_size + FREE_BYTES:
        raise FormatError(f"unpacks to {unpacked:,} bytes, far more than it weighs", where=str(path), hint=HINT)


def _split(path: Path, found: SequenceSet) -> dict[str, tuple[str, ...]]:
    with np.load(path, allow_pickle=False) as file:
        if "split" not in file.files:
            return {}
        parts = file["split"]
    if parts.shape != (len(found),) or parts.dtype.kind != "U":
        raise FormatError(f"`split` is no ({len(found)},) array of set names", where=str(path), hint=HINT)
    names: dict[str, list[str]] = {}
    for sequence, part in zip(found, parts.tolist(), strict=True):
        if part:
            names.setdefault(part, []).append(sequence.name)
    return {part: tuple(members) for part, members in names.items()}
