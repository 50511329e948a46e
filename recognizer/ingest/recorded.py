"""What a reader found in a file, before it is cut into sets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from recognizer.errors import SplitError
from recognizer.sequences import SequenceSet

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Source:
    """Where sequences came from: the file's name without its folder, and the SHA-256 of its bytes."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Source:
        with path.open("rb") as file:
            return cls(path.name, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Recorded:
    """All sequences of one file and the split the file brings along.

    Attributes:
        split: set name (`train`, `validation`, `test`) to sequence names; empty when the file has none.
        warnings: what was put right while reading, one sentence each.

    Raises:
        SplitError: the split names a sequence that is not there, or one sequence twice.
    """

    sequences: SequenceSet
    split: dict[str, tuple[str, ...]]
    source: Source
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        known = {sequence.name for sequence in self.sequences}
        placed: dict[str, str] = {}
        for part, names in self.split.items():
            for name in names:
                if name not in known:
                    raise SplitError(
                        f"the split's {part!r} names it, but there is no such sequence",
                        where=f"{self.source.name}, sequence {name[:200]!r}",
                        hint="add the sequence or take its name out of the split",
                    )
                if name in placed:
                    raise SplitError(
                        f"stands in {placed[name]!r} and in {part!r}",
                        where=f"{self.source.name}, sequence {name[:200]!r}",
                        hint="name every sequence once in the split",
                    )
                placed[name] = part

    def part(self, name: str) -> SequenceSet:
        """The sequences that the file's own split puts into `train`, `validation` or `test`, in file order."""
        wanted = set(self.split.get(name, ()))
        return self.sequences.subset([i for i, item in enumerate(self.sequences) if item.name in wanted])
