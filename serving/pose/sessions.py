"""The onnxruntime sessions of one model: on the GPU where there is one, and on the CPU for when that is full."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

from recognizer.errors import GivenUp, PluginError, first_line
from recognizer.tasks import Cancel
from serving.session import CPU, CUDA, open_session

_OUT_OF_MEMORY = re.compile(
    r"failed to allocate memory|available memory of \d+ is smaller|out of memory|STATUS_\w*ALLOC(ATION)?_FAILED",
    re.IGNORECASE,
)
"""onnxruntime has no class for it: its arena says the first two, CUDA the third, cuBLAS and cuDNN the last."""


class Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`."""

    def get_inputs(self) -> Sequence[Any]: ...
    def get_outputs(self) -> Sequence[Any]: ...
    def run(
        self, output_names: Sequence[str], input_feed: Mapping[str, NDArray[Any]], run_options: Any = None
    ) -> Sequence[Any]: ...


OpenSession = Callable[[Path, int, Sequence[str]], Session]


class Sessions:
    """Runs a model, on the CPU when the GPU has no memory left for this request.

    The session on the CPU is opened with the other one: the file may be gone later, and a GPU that is full is no
    moment to begin loading.

    Args:
        available: onnxruntime's execution providers of this machine.
        open_session: see `open_session`.

    Raises:
        FormatError: onnxruntime cannot load it.
    """

    def __init__(
        self,
        path: Path,
        threads: int,
        available: Sequence[str] | None = None,
        open_session: OpenSession = open_session,
    ) -> None:
        available = onnxruntime.get_available_providers() if available is None else available
        on_cpu = open_session(path, threads, [CPU])
        self._first = open_session(path, threads, [CUDA, CPU]) if CUDA in available else on_cpu
        self._on_cpu = None if self._first is on_cpu else on_cpu
        self.inputs: dict[str, tuple[int | str | None, ...]] = {
            one.name: tuple(one.shape) for one in on_cpu.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(one.name for one in on_cpu.get_outputs())

    def run(
        self, names: Sequence[str], feed: Mapping[str, NDArray[Any]], cancel: Cancel | None
    ) -> tuple[Sequence[Any], bool]:
        """The outputs by these names, and whether the GPU was full and the CPU answered.

        Raises:
            GivenUp: `cancel` was given up.
            PluginError: the model failed.
        """
        try:
            return _run(self._first, names, feed, cancel), False
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            if _given_up(cancel) or self._on_cpu is None or not is_out_of_memory(error):
                raise _failed(error, cancel) from error
        try:
            return _run(self._on_cpu, names, feed, cancel), True
        except Exception as error:
            raise _failed(error, cancel) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed because the memory of its device was full."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def _run(
    session: Session, names: Sequence[str], feed: Mapping[str, NDArray[Any]], cancel: Cancel | None
) -> Sequence[Any]:
    if cancel is None:
        return session.run(names, feed)
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # a run that is given up is no error of the process

    def stop() -> None:
        options.terminate = True

    with cancel.stopping(stop):
        return session.run(names, feed, options)


def _given_up(cancel: Cancel | None) -> bool:
    return cancel is not None and cancel.given_up


def _failed(error: Exception, cancel: Cancel | None) -> PluginError:
    if _given_up(cancel):
        return GivenUp("the run was given up", where="task pose")
    return PluginError(
        f"the model failed: {first_line(error)}",
        where="task pose",
        hint="promote another version; `recognizer models` lists them",
    )
