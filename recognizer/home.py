"""The home: one folder that holds all state. Only names paths; nothing is made until `prepare`."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from recognizer.errors import DiskFull, ReadOnlyHome, StorageError, UsageError, first_line

CHECKOUT_MARK = "constraints.txt"


def checkout() -> Path:
    """The checkout this code runs from: where `params.yaml`, `dvc.yaml` and the code itself lie."""
    return Path(__file__).resolve().parent.parent


def default_home() -> Path:
    """The checkout, when the code runs from one; else `RECOGNIZER_HOME` has to say.

    Raises:
        UsageError: the package was not installed from a checkout.
    """
    root = checkout()
    if (root / CHECKOUT_MARK).is_file():
        return root
    raise UsageError("no home: this is not a checkout", hint="set RECOGNIZER_HOME to a folder you can write")


@dataclass(frozen=True)
class Home:
    """Paths under `root`; see docs/architecture.md for what each holds."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "recognizer.db"

    @property
    def audit_head(self) -> Path:
        """Number and hash of the audit trail's newest row, kept outside the store to check it against."""
        return self.root / "audit-head.json"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def weights(self) -> Path:
        """Torch weights by digest, kept along the ancestry of every version (warm start)."""
        return self.root / "weights"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def workers(self) -> Path:
        """What each serving process is at, a small file each; see `serving.breadcrumb`."""
        return self.logs / "workers"

    @property
    def inputs(self) -> Path:
        """Inputs of logged predictions, by task and day."""
        return self.root / "inputs"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def params(self) -> Path:
        """The home's own `params.yaml` when it has one, else the checkout's."""
        own = self.root / "params.yaml"
        return own if own.is_file() else checkout() / "params.yaml"

    def snapshots(self, task: str) -> Path:
        """Folder of the task's snapshots, one folder and one `.dvc` file per snapshot id."""
        return self.data / "raw" / task

    def golden(self, task: str) -> Path:
        """Folder of the task's golden cases, see `recognizer.golden`; put there by people, never by a night."""
        return self.data / "golden" / task

    def pinned(self, task: str) -> Path:
        """What the last night (or ingest) fixed as inputs of the DVC stages: snapshot, parent, champion."""
        return self.data / "pinned" / task

    def processed(self, task: str) -> Path:
        """Outputs of the DVC stages `prepare`, `train`, `export`, `evaluate` of one task."""
        return self.data / "processed" / task

    def runs(self, task: str) -> Path:
        """Working folders of the task's trainings."""
        return self.root / "runs" / task

    def run(self, task: str, identity: str) -> Path:
        """Working folder of the night that has this training identity; resumed after a kill."""
        return self.runs(task) / identity[:16]

    def prepare(self) -> None:
        """Make the home and find out now, not at 2 a.m., whether it can be written.

        Raises:
            ReadOnlyHome: the folder cannot be made or written.
            DiskFull: there is no space left.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".writable-{os.getpid()}"
            try:
                probe.write_bytes(b"x")
                probe.unlink()
            except OSError as error:
                error.filename = str(self.root)  # the probe's own name would tell nobody anything
                raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into an error that names the next step."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path, "could not write") from error


def refusal(error: OSError, path: Path | None = None, what: str = "could not be used") -> StorageError:
    """What the operating system refused, as an error of ours; `path` is where, when the error does not say."""
    where = str(error.filename or path or "") or None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            "no space left on the disk", where=where, hint="free some space or set RECOGNIZER_HOME elsewhere"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ReadOnlyHome("this cannot be written", where=where, hint="set RECOGNIZER_HOME to a folder you can write")
    return StorageError(
        f"{what}: {error.strerror or first_line(error)}",
        where=where,
        hint="check the file or disk named above, then run the command again",
    )


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `final` when the block ends well and vanishes when it does not.

    `final` is never half written; when it exists already it is replaced.
    """
    with writing(final):
        temporary = _partial(final)
        temporary.mkdir()
        try:
            yield temporary
            if final.exists():
                shutil.rmtree(final)
            os.replace(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def atomic_write(final: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    with writing(final):
        temporary = _partial(final)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


def sweep_partials(folder: Path) -> None:
    """Remove what killed processes of this machine left half written anywhere below `folder`."""
    _remove_left(folder.rglob(f".*.{glob.escape(socket.gethostname())}-*.partial"))


def _partial(final: Path) -> Path:
    """A free name beside `final`, after what killed processes of this machine left there was removed."""
    final.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{final.name}.{socket.gethostname()}-"
    _remove_left(final.parent.glob(f"{glob.escape(stem)}*.partial"))
    return final.with_name(f"{stem}{os.getpid()}.{threading.get_ident()}.partial")


def _remove_left(partials: Iterable[Path]) -> None:
    for left in list(partials):
        pid = left.name.removesuffix(".partial").rpartition(".")[0].rpartition("-")[2]
        if pid.isdigit() and int(pid) != os.getpid() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def write_once(final: Path, content: bytes, mode: int = 0o644) -> bool:
    """Write a file unless it exists; False when it does. Of several writers at once exactly one wins, as a whole."""
    with writing(final):
        temporary = _partial(final)
        temporary.unlink(missing_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # a link, unlike a rename, refuses to replace what is there
            os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True
