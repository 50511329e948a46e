"""The home: what is said when it cannot be written, and what killed processes leave in it."""

import errno
import os
import socket
from pathlib import Path

import pytest

from recognizer.errors import DiskFull, ReadOnlyHome, StorageError
from recognizer.home import Home, atomic_write, refusal, sweep_partials

DEAD = 2**22 + 1  # beyond the highest process id of Linux


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOSPC, DiskFull, "free some space"),
        (errno.EDQUOT, DiskFull, "free some space"),
        (errno.EROFS, ReadOnlyHome, "set RECOGNIZER_HOME"),
        (errno.EACCES, ReadOnlyHome, "set RECOGNIZER_HOME"),
        (errno.EIO, StorageError, "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_told_in_our_words(number, kind, says):
    error = refusal(OSError(number, os.strerror(number), "/some/file"))
    assert type(error) is kind
    assert error.where == "/some/file"
    assert says in str(error)
    assert "Errno" not in str(error)
    assert refusal(OSError(number, os.strerror(number)), Path("/a/folder")).where == "/a/folder"
    assert refusal(OSError(number, os.strerror(number))).where is None


def test_a_home_that_cannot_be_written_is_named_and_no_file_in_it():
    with pytest.raises(StorageError) as caught:
        Home(Path("/proc/self")).prepare()
    assert caught.value.where == "/proc/self"
    assert ".writable" not in str(caught.value)


def test_only_what_dead_processes_left_is_swept(tmp_path):
    deep = tmp_path / "done" / "2026-11-16"
    deep.mkdir(parents=True)
    host = socket.gethostname()
    left = deep / f".promote.json.{host}-{DEAD}.1.partial"
    folder = tmp_path / f".evaluated.{host}-{DEAD}.1.partial"
    folder.mkdir()
    (folder / "file").write_text("")
    living = deep / f".promote.json.{host}-{os.getppid()}.1.partial"
    elsewhere = deep / f".promote.json.other{host}-{DEAD}.1.partial"
    for path in (left, living, elsewhere):
        path.write_text("")
    sweep_partials(tmp_path)
    assert not left.exists()
    assert not folder.exists()
    assert living.exists()
    assert elsewhere.exists()
    atomic_write(deep / "promote.json", b"{}")
    assert living.exists()
