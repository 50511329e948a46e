"""A breadcrumb: what a process was doing with which model, kept where it outlives the process.

A process that the system kills says nothing any more. So each one keeps a small memory-mapped file in which it counts
the runs of new models (and the loads of any model) that are in flight, by digest. Nothing is flushed: the kernel keeps
the pages of a killed process, and after a crash of the machine nobody asks. `serving.losses` reads what is left.
"""

from __future__ import annotations

import faulthandler
import mmap
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from recognizer.errors import StorageError
from recognizer.home import writing

PAGE = 4096
"""Bytes of the map; what lies behind it in the file is the runtime's report of a fault."""
_HEAD = struct.Struct("<dq")  # when the process lived last (seconds since 1970), kills of the system counted by then
_SLOT = struct.Struct("<32sq")  # digest, runs in flight
_COUNT = struct.Struct("<q")
_SLOTS = 16


@dataclass(frozen=True)
class Left:
    """What a process has left behind, or shows now.

    Attributes:
        alive_at: when it noted last that it lives, in seconds since 1970.
        kills: how many processes the system had killed for memory by then; -1 when that is not known.
        in_flight: runs by digest, those above 0.
        fault: first line of what the runtime wrote when it crashed (a segmentation fault, an abort); None when it
            did not.
    """

    alive_at: float
    kills: int
    in_flight: Mapping[str, int]
    fault: str | None


class Breadcrumb:
    """Counts what is in flight. All methods may be called from any thread; one costs about a microsecond.

    Args:
        path: of the file; without one it is kept in memory and dies with the process.

    Raises:
        StorageError: the file cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._slots: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._faults: BinaryIO | None = None
        if path is None:
            self._map = mmap.mmap(-1, PAGE)
            return
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb+") as file:
                # written, not only made longer: a page that finds no room on the disk later would kill the process
                file.write(bytes(PAGE))
                file.flush()
                self._map = mmap.mmap(file.fileno(), PAGE)
        self.beat(-1)

    @classmethod
    def at(cls, path: Path) -> Breadcrumb:
        """One in this file, or in memory where the file cannot be made: serving goes on, only a death stays unclear."""
        try:
            return cls(path)
        except StorageError as error:
            structlog.get_logger("recognizer.serving").warning("no breadcrumb is kept", **error.as_json())
            return cls()

    def beat(self, kills: int) -> None:
        """Note that the process lives; see `Left`."""
        with self._lock:
            _HEAD.pack_into(self._map, 0, time.time(), kills)

    @contextmanager
    def during(self, digest: str) -> Iterator[None]:
        """Inside, one run or load of the model is in flight."""
        self._add(digest, 1)
        try:
            yield
        finally:
            self._add(digest, -1)

    def report_faults(self) -> None:
        """Let the runtime write its report of a crash of this process behind the map. Once a process."""
        if self._path is not None and self._faults is None:
            self._faults = self._path.open("ab", buffering=0)
            faulthandler.enable(self._faults)

    def remove(self) -> None:
        """The process ends in order: whatever is still in flight is nobody's fault."""
        if self._faults is not None:
            faulthandler.disable()
            self._faults.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _add(self, digest: str, change: int) -> None:
        with self._lock:
            count = self._counts[digest] = self._counts.get(digest, 0) + change
            slot = self._slot(digest)
            if slot is not None:
                _COUNT.pack_into(self._map, slot + 32, count)
            if not count:
                del self._counts[digest]

    def _slot(self, digest: str) -> int | None:
        """Where the digest is counted; None when more models are in flight at once than there are places."""
        slot = self._slots.get(digest)
        if slot is None:
            if len(self._slots) == _SLOTS:
                idle = next((known for known in self._slots if not self._counts.get(known)), None)
                if idle is None:
                    return None
                slot = self._slots.pop(idle)
            else:
                slot = _HEAD.size + len(self._slots) * _SLOT.size
            # the count comes after: killed in between, the file tells of no run
            _SLOT.pack_into(self._map, slot, bytes.fromhex(digest)[:32] if _is_hex(digest) else b"", 0)
            self._slots[digest] = slot
        return slot


def read_breadcrumb(path: Path) -> Left | None:
    """What a process left in its file; None when there is none, or no whole one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) < PAGE:
        return None
    alive_at, kills = _HEAD.unpack_from(content)
    slots = (_SLOT.unpack_from(content, _HEAD.size + place * _SLOT.size) for place in range(_SLOTS))
    in_flight = {digest.hex(): count for digest, count in slots if count > 0}
    fault = content[PAGE:].decode("utf-8", "replace").strip().splitlines()
    return Left(alive_at, kills, in_flight, fault[0] if fault else None)


def _is_hex(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
