"""Snapshots under DVC: content-addressed folders `data/raw/<task>/<id>/`, named by DVC's hash of the folder.

`<id>.dvc` beside the folder makes it DVC's: `dvc checkout`, `dvc push` and `dvc pull` work in the home.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lock import exclusive
from flows.partial import partial_folder, remove_folder, replace_folder, sweep
from flows.project import import_quietly, open_project
from recognizer.errors import DiskFull, FormatError, NotFound, StorageError
from recognizer.home import Home, writing

if TYPE_CHECKING:
    from dvc.repo import Repo

SPARE = 4 * 2**20
"""Bytes that must stay free beside the snapshot's second copy in DVC's cache."""


def incoming(home: Home, task: str) -> AbstractContextManager[Path]:
    """An empty folder to write a snapshot into, on the same disk as the snapshots."""
    return partial_folder(home.snapshots(task))


def add_snapshot(home: Home, task: str, folder: Path) -> str:
    """Move a complete snapshot to `data/raw/<task>/<id>/` and give it to DVC; returns its id.

    The same content gives the same id and adds nothing. The snapshot is under its final name whole or not at all.

    Args:
        folder: made by `incoming`; gone afterwards.

    Raises:
        DiskFull, ReadOnlyHome, StorageError: nothing was added.
    """
    with writing(home.root), _exclusive(home):
        sweep(home.snapshots(task))
        snapshot = _digest(folder)
        final, pointer = _paths(home, task, snapshot)
        if pointer.is_file() and _intact(final, snapshot):
            shutil.rmtree(folder)
            return snapshot
        known = pointer.is_file()
        try:
            with open_project(home) as project:
                _need_space(home, folder)
                replace_folder(folder, final)
                _track(project, final)
        except BaseException:
            if not known:
                pointer.unlink(missing_ok=True)
                remove_folder(final)
            for left in (home.root / ".dvc" / "cache").glob("files/md5/*/.*.tmp"):
                left.unlink(missing_ok=True)
            raise
    return snapshot


def restore_snapshot(home: Home, task: str, snapshot: str) -> Path:
    """The snapshot's folder, compared with its id; taken from DVC's cache when it is missing or damaged.

    Raises:
        NotFound: no such snapshot.
        FormatError: it is damaged, and DVC's cache does not have it whole.
        DiskFull, ReadOnlyHome: it could not be written.
    """
    final, pointer = _paths(home, task, snapshot)
    if _intact(final, snapshot):
        return final
    if not pointer.is_file():
        known = list_snapshots(home, task)
        raise NotFound(
            f"no snapshot {snapshot!r} of task {task!r}",
            where=str(final.parent),
            hint=f"use one of: {', '.join(known)}" if known else f"recognizer ingest {task} FILE",
        )
    with writing(home.root), _exclusive(home), partial_folder(final.parent) as folder, open_project(home) as project:
        from dvc_data.index import DataIndexDirError

        try:
            # from the cache, else from a DVC remote when the home names one
            project.datafs.get(final.relative_to(home.root).as_posix(), str(folder), recursive=True)
        except (FileNotFoundError, DataIndexDirError):
            folder.mkdir(exist_ok=True)
        if not _intact(folder, snapshot):
            raise FormatError(
                "the snapshot is damaged or missing, and DVC's cache does not have it whole",
                where=str(final),
                hint=f"run `recognizer ingest {task} FILE` again with the file it came from",
            )
        replace_folder(folder, final)
    return final


def list_snapshots(home: Home, task: str) -> list[str]:
    """Ids of the task's snapshots, sorted."""
    return sorted(pointer.stem for pointer in home.snapshots(task).glob("*.dvc"))


def pin(
    home: Home,
    task: str,
    *,
    snapshot: str,
    parent: Path | None,
    champion: Path | None,
    best: Mapping[str, Path] | None = None,
    golden: Path | None = None,
    notes: Mapping[str, bytes] | None = None,
) -> Path:
    """Fix what the DVC stages of a task depend on: `data/pinned/<task>/{snapshot,parent,champion,best,golden}/`.

    Args:
        parent: weights file (or a folder that holds it) to start from; None leaves an empty folder.
        champion: package folder to compare with; None leaves an empty folder.
        best: package folders of other versions to compare with, by digest.
        golden: folder of the golden cases.
        notes: small files besides, by their path in the folder.

    Raises:
        NotFound, FormatError: of `restore_snapshot`.
    """
    source = restore_snapshot(home, task, snapshot)
    final = home.pinned(task)
    folders = {"snapshot": source, "parent": parent, "champion": champion, "best": None, "golden": golden}
    folders |= {f"best/{digest}": package for digest, package in (best or {}).items()}
    with writing(final), _exclusive(home):
        sweep(final.parent)
        with partial_folder(final.parent) as folder:
            for name, origin in folders.items():
                _link(origin, folder / name)
            for name, content in (notes or {}).items():
                (folder / name).write_bytes(content)
            replace_folder(folder, final)
    return final


def _paths(home: Home, task: str, snapshot: str) -> tuple[Path, Path]:
    folder = home.snapshots(task)
    return folder / snapshot, folder / f"{snapshot}.dvc"


def _exclusive(home: Home) -> AbstractContextManager[None]:
    return exclusive(home.root / ".dvc" / "recognizer.lock")


def _digest(folder: Path) -> str:
    """DVC's hash of the folder, read from the files themselves, not from DVC's notes on them."""
    import_quietly()
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB

    _, _, tree = build(HashFileDB(localfs, str(folder)), str(folder), localfs, "md5", dry_run=True)
    return str(tree.hash_info.value).removesuffix(".dir")


def _intact(folder: Path, snapshot: str) -> bool:
    return folder.is_dir() and any(folder.iterdir()) and _digest(folder) == snapshot


def _track(project: Repo, final: Path) -> None:
    # not relinked: DVC would take the files away and put them back one by one
    (stage,) = project.add([str(final)], relink=False)
    # DVC logs a copy that failed and goes on
    if stage.outs[0].changed_cache():
        raise StorageError(
            "DVC's cache did not take the snapshot", where=str(final), hint="check the disk, then ingest again"
        )


def _need_space(home: Home, folder: Path) -> None:
    needed = sum(path.stat().st_size for path in folder.rglob("*")) + SPARE
    free = shutil.disk_usage(home.root).free
    if free < needed:
        raise DiskFull(
            f"the snapshot needs {needed / 2**20:,.0f} MB, {free / 2**20:,.0f} MB are free",
            where=str(home.root),
            hint="free some space or set RECOGNIZER_HOME elsewhere",
        )


def _link(origin: Path | None, destination: Path) -> None:
    """Fill a new folder with `origin` (a file, or a folder's files): hard links where the disk can, else copies."""
    destination.mkdir()
    if origin is None or not origin.exists():
        return
    files = [origin] if origin.is_file() else [path for path in sorted(origin.rglob("*")) if path.is_file()]
    for file in files:
        target = destination / (file.name if origin.is_file() else file.relative_to(origin))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(file, target)
