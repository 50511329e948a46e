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
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from recognizer.store.processes import is_alive, this_process

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
"""Fields of `onnx.proto3`: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data."""
EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Of TensorProto: where its data lies in another file, and that it does."""
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


class Pace:
    """Work for a small part of the time: called between two steps, it rests for as long as it takes.

    Args:
        duty: part of the time that is worked, in (0, 1].
    """

    def __init__(self, duty: float) -> None:
        self._rest = 1 / duty - 1
        self._since = time.perf_counter()

    def __call__(self) -> None:
        time.sleep((time.perf_counter() - self._since) * self._rest)
        self._since = time.perf_counter()


class _Source:
    """A file that is read once, from its beginning to its end."""

    def __init__(self, file: BinaryIO, pace: Callable[[], None]) -> None:
        self._file = file
        self._pace = pace
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
        piece = self._step[: self._file.readinto(self._step[:size])]  # type: ignore[attr-defined]
        self._total.update(piece)
        self.at += len(piece)
        if len(piece) == STEP:
            self._pace()
        return piece


def split(source: _Source, end: int, weights: BinaryIO, path: Sequence[int] = (GRAPH, INITIALIZER, RAW_DATA)) -> bytes:
    """A message up to byte `end`, with its large weights moved into the other file.

    Args:
        path: fields that lead to the weights.

    Raises:
        Malformed: it is no such message.
    """
    out, moved = bytearray(), None
    while source.at < end:
        key = source.varint()
        field, wire = key >> 3, key & 7
        out += _varint(key)
        if wire == VARINT:
            out += _varint(source.varint())
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            out += source.take(8 if wire == EIGHT_BYTES else 4)
        elif wire != COUNTED:
            raise Malformed(f"has a field of an unknown kind before byte {source.at}")
        else:
            size = source.varint()
            if size > end - source.at:
                raise Malformed(f"has a part of {size} bytes at byte {source.at}, more than there are")
            if field != path[0] or (len(path) == 1 and size < LEAST):
                out += _varint(size) + source.take(size)
            elif len(path) > 1:
                inner = split(source, source.at + size, weights, path[1:])
                out += _varint(len(inner)) + inner
            else:
                del out[-len(_varint(key)) :]
                moved = _move(source, size, weights), size
    if source.at != end:
        raise Malformed(f"has a part that ends in another, at byte {source.at}")
    return bytes(out) + (b"" if moved is None else _elsewhere(*moved))


def _move(source: _Source, size: int, weights: BinaryIO) -> int:
    """Write the next bytes into the other file; returns where."""
    offset = weights.seek(-(-weights.tell() // ALIGNED) * ALIGNED)
    for piece in source.pieces(size):
        weights.write(piece)
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

    def hold(self) -> Callable[[], None]:
        """Keep the weights' file beyond this stage; returns what lets it go.

        Whoever lets go of a file last frees its memory: 100 MB take 10 ms. A session is freed under the interpreter's
        lock, and would stop every request for that long; a file is closed without it.
        """
        return partial(os.close, os.open(self.folder / WEIGHTS, os.O_RDONLY))

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
                        content = split(source, size, weights)
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
            _sweep(place)
            if shutil.disk_usage(place).free >= size + ROOM:
                folder = place / f"{PREFIX}{this_process()}.{os.urandom(4).hex()}"
                folder.mkdir(mode=0o700)
                return folder
    return None


def _sweep(place: Path) -> None:
    """Remove what processes left behind that were killed while they loaded."""
    for folder in place.glob(f"{PREFIX}*"):
        if is_alive(folder.name.removeprefix(PREFIX).rpartition(".")[0]) is False:
            shutil.rmtree(folder, ignore_errors=True)
