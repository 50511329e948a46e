"""Run a function in a fresh process of its own: whatever a model does there, the caller gets a result or an error."""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from recognizer.errors import GivenUp, PluginError, RecognizerError, first_line
from serving.memory import free_bytes

GRACE_SECONDS = 5.0
"""How long a process that has told its result may take to end, and by how much one may outlive its time without us."""
HINT = "mend or replace the model; `recognizer models` lists those that there are"
At = Callable[[int], None]
"""Notes which of the suspects is at work, by its place; -1 for none."""


@dataclass(frozen=True)
class Bounds:
    """What a child may take.

    Attributes:
        seconds: after which it is killed.
        memory_mb: what it may take for libraries, models and cases, in units of 2**20 bytes; without it, and at most,
            what the machine has left. Kept by Linux alone: there `RLIMIT_DATA` counts whatever a process may write to.
    """

    seconds: float
    memory_mb: int | None = None


def run_in_child(
    function: Callable[..., Any], arguments: Sequence[Any], suspects: Sequence[Path], bounds: Bounds
) -> Any:
    """What `function(at, *arguments)` returns in a process that is spawned for it.

    Args:
        function: of a module, so that it can be pickled, as all arguments can. Calls `at(i)` before it touches the
            suspect i.
        suspects: packages, one of which is to blame when the process ends without a result.

    Raises:
        GivenUp: it took too long, and was killed.
        PluginError: it crashed, was killed, or raised something foreign; names the suspect and how it ended.
        RecognizerError: what the function raised, with the suspect's name.
    """
    spawn = get_context("spawn")  # a fork would begin with our memory, our threads and our onnxruntime
    place = spawn.RawValue("i", -1)  # shared: noting costs nothing while time is measured, and outlives the child
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(theirs, place, function, tuple(arguments), bounds), daemon=True)
    told, code = None, None
    try:
        process.start()
        theirs.close()  # else its end would not be the end of the pipe
        told = _hear(ours, process, bounds.seconds)
    finally:
        theirs.close()
        ours.close()
        code = _end(process, patient=told is not None)
    suspect = str(suspects[place.value]) if 0 <= place.value < len(suspects) else None
    if told is None:
        raise _silent(code, suspect, bounds)
    result, failure = told
    if failure is not None:
        kind, what, hint = failure
        raise kind(what, where=suspect, hint=hint)
    return result


def _hear(ours: Connection, process: BaseProcess, seconds: float) -> tuple[Any, Any] | None:
    """Result and failure; None when it ended without a word, or did not end in time."""
    if not wait([ours, process.sentinel], seconds):
        return None
    try:
        if ours.poll():  # else it has ended, and something that it started holds its end of the pipe
            return ours.recv()  # type: ignore[no-any-return]
    except (EOFError, OSError):
        pass  # it went away in the middle of a word
    process.join(GRACE_SECONDS)  # it is about to end: its exit code tells how
    return None


def _end(process: BaseProcess, *, patient: bool) -> int | None:
    """Make sure that it has ended; its exit code, None when it did not end by itself."""
    if process.pid is None:
        return None
    if patient:
        process.join(GRACE_SECONDS)
    code = process.exitcode
    if code is None:
        process.kill()  # by its id; what hangs in a kernel hears nothing softer
        process.join()
    process.close()
    return code


def _silent(code: int | None, suspect: str | None, bounds: Bounds) -> PluginError:
    if code is None:
        return GivenUp(f"gave no result within {bounds.seconds:g} s and was killed", where=suspect, hint=HINT)
    how = f"exit code {code}"
    if code < 0:
        how = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    why = "; the system does that when memory runs out" if -code == signal.SIGKILL else ""
    return PluginError(f"its process ended without a result: {how}{why}", where=suspect, hint=HINT)


def _work(
    theirs: Connection, place: Any, function: Callable[..., Any], arguments: Sequence[Any], bounds: Bounds
) -> None:
    """The child: a result or a failure, as plain values, down the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; our parent ends us
    signal.alarm(math.ceil(bounds.seconds + GRACE_SECONDS))  # and if it is gone, this does
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file behind
    os.dup2(2, 1)  # what a model prints is no output of ours
    _limit_memory(bounds.memory_mb)

    def at(suspect: int) -> None:
        place.value = suspect

    try:
        told = function(at, *arguments), None
    except RecognizerError as error:
        kind = type(error) if type(error).__module__ == RecognizerError.__module__ else PluginError
        told = None, (kind, error.what, error.hint)
    except MemoryError:
        limit = "" if bounds.memory_mb is None else f" of {bounds.memory_mb:,} MB"
        told = None, (PluginError, f"the memory{limit} did not suffice", HINT)
    except BaseException as error:  # a plug-in may raise anything, SystemExit too
        told = None, (PluginError, f"{type(error).__name__}: {first_line(error)}", HINT)
    theirs.send(told)


def _limit_memory(megabytes: int | None) -> None:
    """Let allocations beyond it fail in this process, rather than bring the machine down."""
    if sys.platform != "linux":
        return
    held = re.search(r"^VmData:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    room = free_bytes() if megabytes is None else min(megabytes * 2**20, free_bytes())
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [room + (int(held[1]) * 1024 if held else 0), *(old for old in (soft, hard) if old >= 0)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
