"""Stage a model for loading: read once, at a quiet pace, into a private copy that onnxruntime maps instead of copying.

To open an ONNX file of 100 MB, onnxruntime parses it and copies every weight into fresh memory: some 200 ms of a core,
in one piece, beside which requests wait. Weights that lie aligned in a file of their own are mapped, and opening takes
a millisecond. So the one pass over the file that its digest takes anyway also lays the weights out like that, in small
steps with rests between. The copy is private and its names are gone once the model is open: what was verified is what
is served, whatever happens to the package later.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from recognizer.errors import GivenUp
from recognizer.store.processes import is_alive, this_process

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
"""Fields of `onnx.proto3`: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data."""
NAME, EXTERNAL_DATA, DATA_LOCATION = 8, 13, 14
"""Of TensorProto: its name, where its data lies in another file, and that it does."""
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5
"""How a protobuf field is written (the others are no longer in use)."""
WEIGHTS = "weights"
LEAST = 64 * 1024
"""Bytes of weights that are worth a mapping; smaller ones stay where they are."""
ALIGNED = 4096
"""Mappings begin at pages, and kernels read aligned."""
STEP = 512 * 1024
"""Bytes between two rests: about half a millisecond of work."""
MEMORY = Path("/dev/shm")  # noqa: S108 - names in it are made by mkdir, private to this user
"""Where Linux keeps files in memory: what is mapped from there costs no disk."""
PREFIX = "recognizer-loading."
ROOM = 64 * 1024**2
"""Bytes that staging leaves free where it writes."""


class Malformed(ValueError):
    """The file is no ONNX model, as far as can be told."""


def at_once() -> None:
    """The pace of those who have nobody to disturb."""


def process_ends() -> GivenUp:
    """Why a load is given up when its process is told to stop."""
    return GivenUp("loading was given up: the process ends")


class Pace:
    """Work for a small part of the time: called between two steps, it rests for as long as it takes.

    Args:
        duty: part of the time that is worked, in (0, 1].
        stopping: ends a rest, and all that comes after it.
    """

    def __init__(self, duty: float, stopping: threading.Event) -> None:
        self._rest = 1 / duty - 1
        self._stopping = stopping
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Rest.

        Raises:
            GivenUp: the process ends.
        """
        if self._stopping.wait((time.perf_counter() - self._since) * self._rest):
            raise process_ends()
        self._since = time.perf_counter()


class Held:
    """An open file, closed at the latest when nobody knows it any more."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    __del__ = close


class _Source:
    """A file that is read once, from its beginning to its end."""

    def __init__(self, file: io.BufferedReader, pace: Callable[[], None]) -> None:
        self._file = file
        self._pace = pace
        self._unrested = 0  # bytes since the last rest
        self._total = hashlib.sha256()
        self._step = memoryview(bytearray(STEP))  # always the same: fresh memory costs more than what is read into it
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            Malformed: there are fewer.
        """
        return b"".join(bytes(piece) for piece in self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next bytes, a step at a time; each is gone when the next one is asked for."""
        while size:
            piece = self._next(min(size, STEP))
            if not piece:
                raise Malformed(f"ends after {self.at} bytes")
            size -= len(piece)
            yield piece

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Malformed(f"has a number without an end before byte {self.at}")

    def digest(self) -> str:
        """SHA-256 of the whole file; what was not taken is read for it."""
        while self._next(STEP):
            pass
        return self._total.hexdigest()

    def _next(self, size: int) -> memoryview:
        if self._unrested >= STEP:  # however small the pieces are
            self._pace()
            self._unrested = 0
        piece = self._step[: self._file.readinto(self._step[:size])]
        self._total.update(piece)
        self.at += len(piece)
        self._unrested += len(piece)
        return piece


class _Splitter:
    """Copies a model while it is read, and moves its large weights into the other file."""

    def __init__(self, source: _Source, weights: BinaryIO) -> None:
        self._source = source
        self._weights = weights
        self._names: set[bytes] = set()

    def message(self, end: int, path: Sequence[int] = (GRAPH, INITIALIZER, RAW_DATA)) -> bytes:
        """A message up to byte `end`, with its large weights elsewhere.

        Args:
            path: fields that lead to the weights; with one left, the message is a tensor.

        Raises:
            Malformed: it is no such message, or one of which readers make different things: a tensor that names its
                data twice, two tensors of one name.
        """
        source, out, place = self._source, bytearray(), b""
        while source.at < end:
            key = source.varint()
            field, wire = key >> 3, key & 7
            if len(path) == 1 and (field in (EXTERNAL_DATA, DATA_LOCATION) or (field == RAW_DATA and place)):
                raise Malformed(f"has a tensor with its data in several places, before byte {source.at}")
            if wire == VARINT:
                out += _varint(key) + _varint(source.varint())
            elif wire in (EIGHT_BYTES, FOUR_BYTES):
                out += _varint(key) + source.take(8 if wire == EIGHT_BYTES else 4)
            elif wire != COUNTED:
                raise Malformed(f"has a field of an unknown kind before byte {source.at}")
            else:
                size = source.varint()
                if size > end - source.at:
                    raise Malformed(f"has a part of {size} bytes at byte {source.at}, more than there are")
                if len(path) == 1 and field == RAW_DATA and size >= LEAST:
                    place = _elsewhere(self._move(size), size)
                else:
                    out += _counted(field, self._part(field, size, path))
        if source.at != end:
            raise Malformed(f"has a part that ends in another, at byte {source.at}")
        return bytes(out) + place

    def _part(self, field: int, size: int, path: Sequence[int]) -> bytes:
        if field == path[0] and len(path) > 1:
            return self.message(self._source.at + size, path[1:])
        content = self._source.take(size)
        if len(path) == 1 and field == NAME:
            if content in self._names:
                raise Malformed(f"has two tensors of one name, {content[:80]!r}")
            self._names.add(content)
        return content

    def _move(self, size: int) -> int:
        """Write the next bytes into the other file; returns where."""
        offset = self._weights.seek(-(-self._weights.tell() // ALIGNED) * ALIGNED)
        for piece in self._source.pieces(size):
            self._weights.write(piece)
        return offset


def _elsewhere(offset: int, size: int) -> bytes:
    """Fields of a TensorProto whose data lies in the other file."""
    entries = {"location": WEIGHTS, "offset": str(offset), "length": str(size)}
    texts = (_counted(1, key.encode()) + _counted(2, value.encode()) for key, value in entries.items())
    told = b"".join(_counted(EXTERNAL_DATA, text) for text in texts)
    return told + _varint(DATA_LOCATION << 3 | VARINT) + _varint(1)


def _counted(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | COUNTED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Stage:
    """A private folder for one load.

    Attributes:
        whole: whether everything that was read is there; else the disk did not take it, or it is no model.
    """

    def __init__(self, folder: Path, pace: Callable[[], None] = at_once) -> None:
        self.folder = folder
        self.whole = True
        self._pace = pace

    def hold(self) -> Held:
        """Keep the weights' file beyond this stage.

        Whoever lets go of a file last frees its memory: 100 MB take 10 ms. A session is freed under the interpreter's
        lock, and would stop every request for that long; a file is closed without it.
        """
        return Held(self.folder / WEIGHTS)

    def read(self, path: Path) -> str:
        """SHA-256 of a file, which then lies here too; the large weights of an ONNX model in a file beside it.

        Raises:
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            source, size = _Source(file, self._pace), os.fstat(file.fileno()).st_size
            try:
                if path.suffix == ".onnx":
                    with (self.folder / WEIGHTS).open("wb") as weights:
                        content = _Splitter(source, weights).message(size)
                else:
                    content = source.take(size)
                (self.folder / path.name).write_bytes(content)
            except (Malformed, OSError):
                self.whole = False
            return source.digest()


@contextmanager
def staged(places: Sequence[Path], size: int, pace: Callable[[], None] = at_once) -> Iterator[Stage | None]:
    """A stage in the first of the places that has room for so many bytes; None when none has.

    It is gone afterwards; what was mapped from it stays mapped.
    """
    folder = _made(places, size)
    if folder is None:
        yield None
        return
    try:
        yield Stage(folder, pace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(places: Sequence[Path], size: int) -> Path | None:
    for place in places:
        with contextlib.suppress(OSError):
            sweep(place)
            if shutil.disk_usage(place).free >= size + ROOM:
                folder = place / f"{PREFIX}{this_process()}.{os.urandom(4).hex()}"
                folder.mkdir(mode=0o700)
                return folder
    return None


def sweep(place: Path, prefix: str = PREFIX) -> None:
    """Remove the folders `<prefix><process>.<number>` of processes that were killed before they could do it."""
    for folder in place.glob(f"{prefix}*"):
        if is_alive(folder.name.removeprefix(prefix).rpartition(".")[0]) is False:
            shutil.rmtree(folder, ignore_errors=True)
