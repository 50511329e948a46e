"""From float weights to 8-bit ones: the same model and windows give the same bytes, on whatever path they lie.

Activations are unsigned and weights signed, one scale per output channel of a weight: with signed activations,
onnxruntime's default, x86 has no fast kernels (see docs/models/action.md for what was measured). Inputs, outputs and
the free batch axis stay as they are.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018); the calibration is the smallest and largest value of every activation over the windows given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from recognizer.errors import FormatError, InputError, first_line
from training.provenance import forget_source

Windows = Mapping[str, NDArray[np.float32]]

CALIBRATION = 64
"""Windows to calibrate with; with more of them, rarer outliers made every step coarser."""
BATCH = 16
"""Windows a run while calibrating: bounds memory."""
OPERATORS = ("Conv", "Gemm", "Add", "Relu", "Transpose", "Reshape", "Slice")
"""What becomes 8-bit: the layers, and what stands between them, so that values stay 8-bit from one to the next. The
gathering of neighbours (MatMul, a constant on its left) does not: onnxruntime has no 8-bit kernel for it."""


def quantize(model: bytes, windows: Windows) -> bytes:
    """The same network with 8-bit weights and activations.

    Args:
        model: an ONNX file of float32, weights inside.
        windows: n windows such as the model will see, by the names of its inputs: keypoints (n, M, T, 17, 2) and
            visibility (n, M, T, 17). Never of the test set: their values decide how finely each activation is cut.

    Raises:
        FormatError: the model cannot be read, or not be quantized.
        InputError: no windows, or not the arrays that the model takes.
    """
    network = _read(model)
    _check(network, windows)
    add_pre_process_metadata(network)  # what onnxruntime's pre-processing would do, the export has done
    try:
        # onnxruntime writes files beside the model; here they are gone at the end, whatever happens
        with TemporaryDirectory(prefix="recognizer-quantize-") as folder:
            source, made = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
            source.write_bytes(network.SerializeToString(deterministic=True))
            quantize_static(
                source,
                made,
                _Reader(windows),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=_ends(network),
            )
            quantized = onnx.load(made)
    except OSError:
        raise
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise FormatError(
            f"the model cannot be quantized: {first_line(error)}", where="task action", hint="export the model again"
        ) from error
    forget_source(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized.SerializeToString(deterministic=True)


def calibration_indices(count: int) -> list[int]:
    """Which of `count` windows to calibrate with: at most 64, evenly spread, so that no class or person is left out."""
    return sorted({int(index) for index in np.linspace(0, count - 1, min(count, CALIBRATION)).round()})


class _Reader(CalibrationDataReader):
    def __init__(self, windows: Windows) -> None:
        self._batches = self._cut(windows)

    @staticmethod
    def _cut(windows: Windows) -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, _count(windows), BATCH):
            yield {name: array[start : start + BATCH] for name, array in windows.items()}

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _read(model: bytes) -> onnx.ModelProto:
    try:
        network = onnx.load_from_string(model)
        onnx.checker.check_model(network)
    except Exception as error:  # protobuf and the checker raise what they like
        raise FormatError(
            f"no ONNX model to quantize: {first_line(error)}", where="task action", hint="export the model again"
        ) from error
    return network


def _check(network: onnx.ModelProto, windows: Windows) -> None:
    """Names and shapes of the windows against those of the model's inputs; an axis with a name may have any size."""
    expected = {value.name: value.type.tensor_type.shape.dim for value in network.graph.input}
    hint = "give windows as the model takes them, of the validation set"
    if set(windows) != set(expected):
        raise InputError(f"windows {sorted(windows)} for a model of {sorted(expected)}", where="calibration", hint=hint)
    for name, dims in expected.items():
        shape = windows[name].shape
        fits = len(shape) == len(dims) and all(
            dim.dim_param or dim.dim_value == size for dim, size in zip(dims, shape, strict=True)
        )
        if not fits or shape[0] != _count(windows) or shape[0] == 0:
            wanted = [dim.dim_param or dim.dim_value for dim in dims]
            raise InputError(f"{name} of shape {list(shape)}, expected {wanted}", where="calibration", hint=hint)


def _count(windows: Windows) -> int:
    return min(len(array) for array in windows.values())


def _ends(network: onnx.ModelProto) -> list[str]:
    """The first linear layer and the head, which stay as they are.

    The first sees positions in the picture, where a single joint that was found in a wrong place would make the steps
    of everybody else coarse; the head's logits are the answer. Together they take a hundredth of the time.
    """
    linear = [node.name for node in network.graph.node if node.op_type == "Gemm"]
    return [*linear[:1], *linear[-1:]]
