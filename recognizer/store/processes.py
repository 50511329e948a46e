"""Who holds a lease: a process named so that another process of the same machine can see whether it is gone.

A holder reads `HOST:PID:STARTED`. A process id alone says little: ids are used again after a process ends, and two
containers on one host name count theirs separately. So HOST carries the boot and the process-id namespace,
and STARTED is the kernel's start time of the process.
"""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

import psutil

_PROC = Path("/proc")
_AFTER_NAME_STATE, _AFTER_NAME_STARTED = 0, 19  # fields of /proc/PID/stat after the name in parentheses


def this_process() -> str:
    """The holder string of the calling process."""
    return f"{_host()}:{os.getpid()}:{_started(os.getpid())}"


def is_alive(holder: str) -> bool | None:
    """Whether the process behind a holder string still runs; None when that cannot be seen from here."""
    host, _, rest = holder.partition(":")
    pid, _, started = rest.partition(":")
    if host != _host() or not pid.isdigit() or int(pid) == 0 or not started:
        return None
    try:
        return _started(int(pid)) == started
    except PermissionError:
        return None


@cache
def _host() -> str:
    name = socket.gethostname().replace(":", "-")
    marks = []
    for path, read in (
        (_PROC / "sys/kernel/random/boot_id", Path.read_text),
        (_PROC / "self/ns/pid", os.readlink),
    ):
        try:
            marks.append(str(read(path)).strip())
        except OSError:  # no Linux: the name has to do
            continue
    return f"{name}-{hashlib.sha256('|'.join(marks).encode()).hexdigest()[:8]}"


def _started(pid: int) -> str | None:
    """The start of a running process as an exact text; None when there is none (or only what is left of it).

    Raises:
        PermissionError: there is a process that this one may not look at.
    """
    if (_PROC / "self/stat").exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            _require_gone(pid)
            return None
        # in clock ticks since boot: unlike a wall-clock time it does not move when the clock is set
        return None if fields[_AFTER_NAME_STATE] in "ZX" else fields[_AFTER_NAME_STARTED]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from error


def _require_gone(pid: int) -> None:
    """Make sure that a process is gone and not only hidden (`hidepid`): its id must not be known to the kernel."""
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return
    raise PermissionError(f"process {pid} is hidden")
