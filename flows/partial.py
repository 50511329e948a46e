"""Folders that appear under their final name whole or not at all, and whose leftovers are found after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from recognizer.home import writing

PREFIX = ".incoming-"


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, to be renamed when it is complete; whatever is left of it at the end is removed.

    The kernel's lock on it is held meanwhile, so that no `sweep` takes it for a dead process's.
    """
    with writing(parent):
        folder = _made(parent)
    try:
        with _try_hold(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the partial folders of processes that died."""
    for left in parent.glob(f"{PREFIX}*"):
        with _try_hold(left) as held:
            if held:
                shutil.rmtree(left, ignore_errors=True)


def replace_folder(new: Path, final: Path) -> None:
    """Rename `new` to `final`; a folder that stands there is set aside first and removed last."""
    if not final.exists():
        os.replace(new, final)
        return
    aside = _made(final.parent)
    os.replace(final, aside)
    os.replace(new, final)
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(final: Path) -> None:
    """Remove a folder so that nobody ever finds half of it under its name."""
    if final.exists():
        aside = _made(final.parent)
        os.replace(final, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _made(parent: Path) -> Path:
    folder = parent / f"{PREFIX}{uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _try_hold(folder: Path) -> Iterator[bool]:
    """Yields whether the kernel's lock on the folder could be had."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
