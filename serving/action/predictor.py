"""The action task's predictor: an onnxruntime session over a folder that holds `model.onnx`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from recognizer.action.evaluator import SCORES
from recognizer.errors import FormatError, GivenUp, InvalidAnswer, PluginError
from recognizer.tasks import Cancel, Prediction
from recognizer.windows import WindowSpec, to_windows
from serving.session import CPU, CUDA, line_of, open_session

# A larger batch needs memory (2 MB and more of activations a window) and is no faster on a CPU.
BATCH = 32
SUM_TOLERANCE = 1e-3


class ActionPredictor:
    """Answers which action a window of skeletons shows.

    Attributes:
        classes: the k action names in the order of the scores.
        spec: the window the model was trained on.

    Raises:
        FormatError: the folder lacks a file, or a file cannot be read.
    """

    task = "action"
    endpoint: ClassVar = "serving.action.answer:ActionEndpoint"  # by name: evaluation needs the model alone

    def __init__(self, package: Path, *, threads: int) -> None:
        """`package` holds `model.onnx` and `package.json`, or `model.json` before the model was packaged."""
        content = _read_description(package)
        self.classes: tuple[str, ...] = tuple(str(name) for name in content["classes"])
        self.spec = WindowSpec.from_dict(content["preprocessing"])
        self._session = _open_session(package / "model.onnx", threads)

    def inputs(self, sequences: Sequence[Any]) -> dict[str, NDArray[np.float32]]:
        """Arrays `keypoints` (n, M, T, 17, 2) and `visibility` (n, M, T, 17) of n sequences or request windows."""
        keypoints, visibility = to_windows(sequences, self.spec)
        return {"keypoints": keypoints, "visibility": visibility}

    def predict(self, inputs: Mapping[str, NDArray[Any]], cancel: Cancel | None = None) -> Prediction:
        """Scores (n, k) of the arrays that `inputs` made.

        Raises:
            InvalidAnswer: what the model answered is no distribution over its classes.
            GivenUp: `cancel` was given up; a single long kernel runs to its end all the same.
            PluginError: the model failed.
        """
        n = len(inputs["keypoints"])
        batches = [{name: array[i : i + BATCH] for name, array in inputs.items()} for i in range(0, n, BATCH)]
        parts = [self._run(batch, cancel) for batch in batches]
        scores = parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, self._k), np.float32), *parts])
        return Prediction({SCORES: scores})

    @property
    def _k(self) -> int:
        return len(self.classes)

    def _run(self, batch: Mapping[str, NDArray[Any]], cancel: Cancel | None) -> NDArray[np.float32]:
        try:
            (scores,) = self._session_run(batch, cancel)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            if cancel is not None and cancel.given_up:
                raise GivenUp("the run was given up", where="task action") from error
            raise _broken(PluginError, f"the model failed: {line_of(error)}") from error
        scores = np.asarray(scores)
        expected = (len(batch["keypoints"]), self._k)
        if scores.shape != expected:
            raise _broken(InvalidAnswer, f"the model answered scores of shape {scores.shape}, expected {expected}")
        if not np.isfinite(scores).all():
            raise _broken(InvalidAnswer, "the model answered NaN or infinite scores")
        if scores.min(initial=0) < -SUM_TOLERANCE or np.abs(scores.sum(axis=1) - 1).max(initial=0) > SUM_TOLERANCE:
            raise _broken(InvalidAnswer, "the model answered scores that do not sum to 1")
        return scores.astype(np.float32, copy=False)

    def _session_run(self, batch: Mapping[str, NDArray[Any]], cancel: Cancel | None) -> Sequence[Any]:
        if cancel is None:
            return self._session.run(["scores"], dict(batch))
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # a run that is given up is no error of the process

        def stop() -> None:
            options.terminate = True

        with cancel.stopping(stop):
            return self._session.run(["scores"], dict(batch), options)


def _read_description(package: Path) -> Mapping[str, Any]:
    """`package.json`, or `model.json` of a model that was exported and not packaged yet."""
    path = package / "package.json"
    if not path.is_file():
        path = package / "model.json"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=str(path), hint="package the model again") from error
    missing = [key for key in ("classes", "preprocessing") if not isinstance(content, dict) or key not in content]
    if missing:
        raise FormatError(f"lacks {missing}", where=str(path), hint="package the model again")
    return content  # type: ignore[no-any-return]


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    return open_session(path, threads, [name for name in (CUDA, CPU) if name in available])


def _broken(kind: type[PluginError], what: str) -> PluginError:
    return kind(what, where="task action", hint="promote another version; `recognizer models` lists them")
