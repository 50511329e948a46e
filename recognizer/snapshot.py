"""A snapshot's folder: three sets as `.npz` shards and a card; the same input gives the same bytes.

It holds no times and no paths, so its content is its identity (DVC addresses it by that content).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from recognizer.digest import sha256_file
from recognizer.errors import FormatError, NotFound
from recognizer.home import atomic_folder
from recognizer.ingest.recorded import Source
from recognizer.ingest.split import Split
from recognizer.sequences import SequenceSet, SkeletonSequence, read_npz, write_npz

SetName = Literal["train", "validation", "test"]
SETS: tuple[SetName, ...] = ("train", "validation", "test")
CARD = "snapshot.json"
FORMAT = 1


class SetCard(BaseModel):
    """One set: its shard, the shard's digest and what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: str
    sha256: str
    sequences: int
    frames: int
    per_class: dict[str, int]
    subjects: tuple[str, ...]


class SourceCard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str


class SnapshotCard(BaseModel):
    """`snapshot.json`.

    Attributes:
        test_digest: of what the frozen test set says, whatever its file is called or however it is compressed.
        warnings: what a reader of this snapshot's figures ought to know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    task: str
    classes: tuple[str, ...]
    source: SourceCard
    sets: dict[SetName, SetCard]
    test_digest: str
    warnings: tuple[str, ...]

    @property
    def synthetic(self) -> bool:
        """Whether nobody recorded it: what is made has no file and so no digest of one."""
        return not self.source.sha256


def sequence_digest(sequence: SkeletonSequence) -> str:
    """SHA-256 over what is seen (points and visibility), not over its name: equal for copies."""
    digest = hashlib.sha256(repr(sequence.keypoints.shape).encode())
    digest.update(sequence.keypoints.astype("<f4").tobytes())
    digest.update(sequence.visibility.astype("<f4").tobytes())
    return digest.hexdigest()


def set_digest(sequences: SequenceSet) -> str:
    """SHA-256 over classes and, in order, every sequence with its name, label, subject and image."""
    digest = hashlib.sha256(repr(sequences.classes).encode())
    for item in sequences:
        facts = (item.name, item.label, item.subject, item.image_shape, sequence_digest(item))
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def write_snapshot(split: Split, folder: Path, *, task: str, source: Source) -> SnapshotCard:
    """Write the folder at once; a reader never sees half of it.

    Raises:
        StorageError: the disk did not take it; nothing is left.
    """
    with atomic_folder(folder) as temporary:
        cards: dict[SetName, SetCard] = {}
        for name, sequences in split.sets().items():
            shard = temporary / f"{name}.npz"
            write_npz(shard, sequences)
            cards[name] = _set_card(shard, sequences)  # type: ignore[index]
        card = SnapshotCard(
            format=FORMAT,
            task=task,
            classes=split.train.classes,
            source=SourceCard(name=source.name, sha256=source.sha256),
            sets=cards,
            test_digest=set_digest(split.test),
            warnings=split.warnings,
        )
        (temporary / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def read_snapshot(folder: Path) -> SnapshotCard:
    """The card of a snapshot's folder.

    Raises:
        NotFound: there is no snapshot.
        FormatError: the card is damaged or of a newer format.
    """
    path = folder / CARD
    try:
        return SnapshotCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise NotFound(
            "no snapshot here",
            where=str(folder),
            hint="`recognizer ingest TASK FILE` makes one, `dvc checkout` restores",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"its card is not valid: {where} {first['msg']}") from error


def read_set(folder: Path, name: SetName) -> SequenceSet:
    """One set of a snapshot, after its shard's digest was checked; opens no other set.

    Raises:
        NotFound: there is no snapshot.
        FormatError: the shard is missing or not the one that was written.
    """
    return read_npz(verified_shard(folder, name))


def verified_shard(folder: Path, name: SetName) -> Path:
    """The file of one set, after its digest was checked.

    Raises:
        NotFound, FormatError: as `read_set`.
    """
    card = read_snapshot(folder)
    if name not in card.sets:
        raise _damaged(folder / CARD, f"the card names no set {name!r}")
    shard = folder / Path(card.sets[name].shard).name
    try:
        found = sha256_file(shard)
    except OSError as error:
        raise _damaged(shard, "is missing") from error
    if found != card.sets[name].sha256:
        raise _damaged(shard, f"has digest {found[:12]}, the card says {card.sets[name].sha256[:12]}")
    return shard


def _damaged(path: Path, what: str) -> FormatError:
    return FormatError(what, where=str(path), hint="restore it with `dvc checkout`, or ingest the file again")


def _set_card(shard: Path, sequences: SequenceSet) -> SetCard:
    counts = Counter(item.label for item in sequences)
    return SetCard(
        shard=shard.name,
        sha256=sha256_file(shard),
        sequences=len(sequences),
        frames=sum(item.frames for item in sequences),
        per_class={name: counts[label] for label, name in enumerate(sequences.classes)},
        subjects=tuple(sorted({subject for subject in sequences.subjects if subject is not None})),
    )
