"""Eight bits instead of thirty-two: the same answers, the same bytes, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError, RecognizerError
from recognizer.windows import WindowSpec
from training.action.export import to_onnx
from training.action.params import ExportParams, NetworkParams
from training.action.quantize import CALIBRATION, calibration_indices, quantize
from training.action.stgcn import SkeletonNetwork

SPEC = WindowSpec(frames=12, people=2)
AGAIN = """
import sys
from pathlib import Path
import numpy as np
from training.action.quantize import quantize
folder = Path(sys.argv[1])
with np.load(folder / "windows.npz") as windows:
    sys.stdout.buffer.write(quantize((folder / "float.onnx").read_bytes(), dict(windows)))
"""

Windows = dict[str, NDArray[np.float32]]


def windows(count: int, seed: int = 0) -> Windows:
    random = np.random.default_rng(seed)
    shape = (count, SPEC.people, SPEC.frames, 17)
    seen = random.random(shape) < 0.9
    seen[::3, 1] = False  # nobody in the second slot
    return {
        "keypoints": random.normal(size=(*shape, 2)).astype(np.float32),
        "visibility": seen.astype(np.float32),
    }


def scores(model: bytes, inputs: Windows) -> NDArray[np.float32]:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(["scores"], inputs)[0]


@pytest.fixture(scope="module")
def exact() -> bytes:
    """A network of random weights, and batch norms that have seen windows: its answers differ from one to another."""
    torch.manual_seed(0)
    network = SkeletonNetwork(5, NetworkParams(channels=(8, 16), strides=(2, 1), kernel=3)).train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # knows the windows after seeing them once
    with torch.no_grad():
        network(*(torch.from_numpy(array) for array in windows(64, seed=1).values()))
    return to_onnx(network, SPEC, ExportParams())


@pytest.fixture(scope="module")
def made(exact: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Quantized; leaves nothing behind."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))
        content = quantize(exact, windows(32))
    assert list(folder.iterdir()) == []
    return content


def test_answers_are_nearly_the_same(exact: bytes, made: bytes) -> None:
    inputs = windows(200, seed=2)
    before, after = scores(exact, inputs), scores(made, inputs)
    assert len(set(before.argmax(axis=1))) >= 3  # else equal decisions would mean nothing
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.95
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_any_batch_is_answered_as_its_windows_one_by_one(made: bytes, batch: int) -> None:
    inputs = windows(batch, seed=3)
    alone = [scores(made, {name: array[i : i + 1] for name, array in inputs.items()}) for i in range(0, batch, 7)]
    # another CPU may sum a batch in another order, and a last digit may then round to the next of 256 steps
    np.testing.assert_allclose(scores(made, inputs)[::7], np.concatenate(alone), atol=1e-2)


def test_inputs_and_outputs_stay_as_they_are_and_convolutions_do_not(exact: bytes, made: bytes) -> None:
    before, after = onnx.load_from_string(exact), onnx.load_from_string(made)
    assert list(before.graph.input) == list(after.graph.input)
    assert list(before.graph.output) == list(after.graph.output)
    weights = {constant.name: constant.data_type for constant in after.graph.initializer}
    quantized = {node.input[0] for node in after.graph.node if node.op_type == "DequantizeLinear"}
    kinds = Counter(onnx.TensorProto.DataType.Name(weights[name]) for name in quantized & set(weights))
    layers = sum(node.op_type in {"Conv", "Gemm"} for node in before.graph.node)
    assert kinds == {"INT8": layers - 2, "INT32": layers - 2}  # weights and biases; not of the first and the last


def test_the_same_model_and_windows_give_the_same_bytes_in_another_process(
    exact: bytes, made: bytes, tmp_path: Path
) -> None:
    (tmp_path / "float.onnx").write_bytes(exact)
    np.savez(tmp_path / "windows.npz", **windows(32))
    again = subprocess.run(
        [sys.executable, "-W", "error", "-c", AGAIN, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "3"},  # sets are walked in another order
        check=True,
        capture_output=True,
    )
    assert again.stdout == made  # and nothing else was printed
    assert again.stderr == b""


def test_the_model_tells_nothing_about_the_machine_it_was_made_on(made: bytes) -> None:
    for trace in (tempfile.gettempdir().encode(), str(Path(__file__).parents[2]).encode(), b".py", b"float.onnx"):
        assert trace not in made
    assert not onnx.load_from_string(made).metadata_props


@pytest.mark.parametrize(
    ("model", "given", "error", "said"),
    [
        ("damaged", windows(2), FormatError, "no ONNX model"),
        ("empty", windows(2), FormatError, "no ONNX model"),
        ("exact", windows(0), InputError, "keypoints of shape"),
        ("exact", {}, InputError, "windows \\[\\] for a model of"),
        ("exact", {"keypoints": windows(2)["keypoints"]}, InputError, "windows \\['keypoints'\\]"),
        ("exact", {**windows(2), "visibility": windows(1)["visibility"]}, InputError, "keypoints of shape"),
        ("exact", {**windows(2), "visibility": windows(2)["keypoints"]}, InputError, "visibility of shape"),
        ("exact", {**windows(2), "keypoints": windows(2)["keypoints"][..., :1]}, InputError, "keypoints of shape"),
    ],
)
def test_what_cannot_be_quantized_is_told_and_leaves_nothing_behind(
    exact: bytes,
    model: str,
    given: Windows,
    error: type[RecognizerError],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = {"exact": exact, "damaged": exact[: len(exact) // 2], "empty": b""}[model]
    with pytest.raises(error, match=said) as caught:
        quantize(content, given)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, 1), (CALIBRATION, CALIBRATION), (65, CALIBRATION), (500, CALIBRATION)]
)
def test_calibration_windows_are_spread_over_the_whole_set(count: int, chosen: int) -> None:
    indices = calibration_indices(count)
    assert len(indices) == chosen
    assert (indices[0], indices[-1]) == (0, count - 1)
    assert max(np.diff(indices), default=1) <= np.ceil(count / chosen)
