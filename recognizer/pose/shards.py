"""Scenes in one file: written as they come, and read one at a time, so that memory does not grow with their number.

A zip archive of members that are not compressed (the images are already): `images.bin`, one image after the other, and
arrays as numpy writes them. The same scenes give the same bytes. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError, first_line
from recognizer.scenes import People, Scene
from recognizer.skeleton import JOINTS

IMAGES = "images.bin"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip archive can name: what is written has no time."""
LOCAL_HEADER = 30
"""Bytes of a member's header before its name, whose length and that of the extra field stand in the last four."""
BY_SCENE = {"names": "U", "subjects": "U", "shapes": "i", "ends": "i", "people": "i"}
BY_PERSON = {"joints": (len(JOINTS), 2), "labelled": (len(JOINTS),), "boxes": (4,), "areas": (), "crowd": ()}
HINT = "restore it with `dvc checkout`, or ingest the data again"


class ShardWriter:
    """Writes one shard; it is whole when its block ends without an error.

    Raises:
        InputError: two scenes have one name.
    """

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._images: IO[bytes] = self._archive.open(_member(IMAGES), "w", force_zip64=True)
        self._scenes: list[tuple[str, str, tuple[int, int], int, int]] = []
        self._people: list[People] = []
        self._names: set[str] = set()
        self._end = 0

    def add(self, scene: Scene) -> None:
        if scene.name in self._names:
            raise InputError("two images have this name", where=f"image {scene.name!r}", hint="name each of them once")
        self._names.add(scene.name)
        self._images.write(scene.image)
        self._end += len(scene.image)
        self._scenes.append((scene.name, scene.subject or "", scene.shape, self._end, len(scene.people)))
        self._people.append(scene.people)

    def __len__(self) -> int:
        return len(self._scenes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()
        with self._archive:
            if error is None:
                for name, array in self._arrays().items():
                    with self._archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, array, allow_pickle=False)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names, subjects, shapes, ends, people = zip(*self._scenes, strict=True) if self._scenes else ((),) * 5
        return {
            "names": np.array(names, np.str_),
            "subjects": np.array(subjects, np.str_),
            "shapes": np.array(shapes, np.int64).reshape(-1, 2),
            "ends": np.array(ends, np.int64),
            "people": np.array(people, np.int64),
            **{name: self._of_everybody(name, shape) for name, shape in BY_PERSON.items()},
        }

    def _of_everybody(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        nobody = np.zeros((0, *shape), _type(name))
        return np.concatenate([nobody, *(getattr(one, name) for one in self._people)]).astype(_type(name))


class Shard(Sequence[Scene]):
    """The scenes of one file, each read when it is asked for. May be used by several threads, and pickled.

    Attributes:
        names, subjects: (n,) of each scene; None where nobody knows whom or what it shows.
        shapes: (n, 2) height and width.

    Raises:
        FormatError: it is no shard, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                arrays = {name: _array(archive, name) for name in (*BY_SCENE, *BY_PERSON)}
                member = archive.getinfo(IMAGES)
            self._start = _start(path, member)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FormatError(f"is no shard of images: {first_line(error)}", where=str(path), hint=HINT) from error
        self._ends = arrays["ends"]
        self._first = np.concatenate([[0], np.cumsum(arrays["people"])])
        self._people = {name: arrays[name] for name in BY_PERSON}
        self._require_sound(arrays, member)
        self.names: tuple[str, ...] = tuple(arrays["names"].tolist())
        self.subjects: tuple[str | None, ...] = tuple(name or None for name in arrays["subjects"].tolist())
        self.shapes: NDArray[np.int64] = arrays["shapes"]

    def _require_sound(self, arrays: dict[str, NDArray[Any]], member: zipfile.ZipInfo) -> None:
        n, ends = len(arrays["names"]), arrays["ends"]
        faults = [
            (any(arrays[name].dtype.kind != kind for name, kind in BY_SCENE.items() if n), "types"),
            (any(len(arrays[name]) != n for name in BY_SCENE) or arrays["shapes"].shape != (n, 2), "lengths"),
            ((arrays["people"] < 0).any() or (np.diff(ends, prepend=0) < 0).any(), "sizes"),
            (member.compress_type != zipfile.ZIP_STORED or (int(ends[-1]) if n else 0) != member.file_size, "images"),
            (any(arrays[name].shape != (self._first[-1], *shape) for name, shape in BY_PERSON.items()), "people"),
        ]
        wrong = [what for fault, what in faults if fault]
        if wrong:
            raise FormatError(f"has {', '.join(wrong)} that do not agree", where=str(self._path), hint=HINT)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> Scene: ...
    @overload
    def __getitem__(self, place: slice) -> list[Scene]: ...

    def __getitem__(self, place: int | slice) -> Scene | list[Scene]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        one = range(len(self))[place]
        height, width = self.shapes[one].tolist()
        return Scene(self.names[one], self.image(one), (height, width), self.people(one), self.subjects[one])

    def __iter__(self) -> Iterator[Scene]:
        return (self[one] for one in range(len(self)))

    def image(self, place: int) -> bytes:
        """The image as it was written.

        Raises:
            FormatError: the file ends before it.
        """
        start, end = int(self._ends[place - 1]) if place else 0, int(self._ends[place])
        with self._path.open("rb") as file:
            content = os.pread(file.fileno(), end - start, self._start + start)
        if len(content) != end - start:
            raise FormatError("ends before its last image", where=str(self._path), hint=HINT)
        return content

    def people(self, place: int) -> People:
        """Who is in an image, without reading it."""
        rows = slice(int(self._first[place]), int(self._first[place + 1]))
        return People(**{name: array[rows] for name, array in self._people.items()})


def _type(name: str) -> type[np.generic]:
    return {"labelled": np.uint8, "crowd": np.bool_}.get(name, np.float32)


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, EPOCH)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind a header whose lengths are its own, not those of the directory."""
    with path.open("rb") as file:
        header = os.pread(file.fileno(), LOCAL_HEADER, member.header_offset)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return member.header_offset + LOCAL_HEADER + name + extra
