"""A snapshot of scenes: three shards and a card; the same scenes give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from recognizer.digest import sha256_file
from recognizer.errors import SplitError
from recognizer.home import atomic_folder
from recognizer.ingest.recorded import Source
from recognizer.pose.shards import BY_PERSON, Shard, ShardWriter
from recognizer.scenes import Scene
from recognizer.snapshot import CARD, FORMAT, SETS, SetCard, SetName, SnapshotCard, SourceCard, verified_shard

PERSON = "person"
"""The one class there is."""


class _Part:
    """One set while it is written."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer, self.people, self.subjects = writer, 0, set[str]()
        self._digest = hashlib.sha256()

    def add(self, scene: Scene) -> None:
        self.writer.add(scene)
        self.people += int(scene.people.counted.sum())
        if scene.subject is not None:
            self.subjects.add(scene.subject)
        self._digest.update(
            repr((scene.name, scene.subject, scene.shape, len(scene.image), len(scene.people))).encode()
        )
        self._digest.update(scene.image)
        for name in BY_PERSON:
            self._digest.update(getattr(scene.people, name).tobytes())

    @property
    def digest(self) -> str:
        """SHA-256 over every scene, in order: its name, subject, image and people."""
        return self._digest.hexdigest()

    def card(self, shard: Path) -> SetCard:
        return SetCard(
            shard=shard.name,
            sha256=sha256_file(shard),
            sequences=len(self.writer),
            frames=len(self.writer),
            per_class={PERSON: self.people},
            subjects=tuple(sorted(self.subjects)),
        )


def write_scenes(
    folder: Path,
    scenes: Iterable[tuple[SetName, Scene]],
    *,
    task: str,
    source: Source,
    warnings: tuple[str, ...] = (),
) -> SnapshotCard:
    """Write the folder at once, scene after scene; a reader never sees half of it.

    Raises:
        SplitError: a set has no image, or a subject stands in two sets.
        InputError: two scenes of a set have one name.
        StorageError: the disk did not take it; nothing is left.
    """
    with atomic_folder(folder) as temporary:
        shards = {name: temporary / f"{name}.shard" for name in SETS}
        with ExitStack() as stack:
            parts = {name: _Part(stack.enter_context(ShardWriter(shard))) for name, shard in shards.items()}
            for name, scene in scenes:
                parts[name].add(scene)
        _require_split(parts)
        card = SnapshotCard(
            format=FORMAT,
            task=task,
            classes=(PERSON,),
            source=SourceCard(name=source.name, sha256=source.sha256),
            sets={name: part.card(shards[name]) for name, part in parts.items()},
            test_digest=parts["test"].digest,
            warnings=warnings,
        )
        (temporary / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def read_scenes(folder: Path, name: SetName) -> Shard:
    """One set of a snapshot, after its shard's digest was checked; opens no other set.

    Raises:
        NotFound: there is no snapshot.
        FormatError: the shard is missing, or not the one that was written.
    """
    return Shard(verified_shard(folder, name))


def _require_split(parts: dict[Any, _Part]) -> None:
    for name, part in parts.items():
        if not len(part.writer):
            raise SplitError(f"the set {name!r} is empty", hint="give more images, or of more subjects")
        for other, beside in parts.items():
            shared = sorted(part.subjects & beside.subjects) if other != name else []
            if shared:
                raise SplitError(
                    f"subject {shared[0]!r} stands in {name!r} and in {other!r}",
                    hint="a set that shares people or cameras with another one judges nothing",
                )
