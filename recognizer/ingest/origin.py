"""What data are made from, as a person names it: a file with what is known about it, or a generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataFile:
    """A file in one of the task's formats.

    Attributes:
        meta: JSON with class names and subjects, see docs/data.md.
        subject_pattern: regular expression whose group finds the subject in a name; takes the place of the meta's.
        images: folder of the images that the file speaks of.
    """

    path: Path
    meta: Path | None = None
    subject_pattern: str | None = None
    images: Path | None = None


@dataclass(frozen=True)
class Generated:
    """So many cases of the task's built-in generator."""

    count: int


Origin = DataFile | Generated
