"""How a model is opened in onnxruntime, the same for every task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from recognizer.errors import FormatError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(path: Path, threads: int, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session over an ONNX file.

    Raises:
        FormatError: onnxruntime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between two requests take the cores of the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise FormatError(
            f"onnxruntime cannot load it: {line_of(error)}", where=str(path), hint="export and package again"
        ) from error


def line_of(error: Exception) -> str:
    """The first line of what an error says, whole: onnxruntime names the node there."""
    return (str(error).splitlines() or [type(error).__name__])[0]
