"""The action predictor on real ONNX files: what it answers, and what it does not let a model say."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recognizer.errors import FormatError, PluginError
from recognizer.tasks import Predictor, load_predictor
from recognizer.windows import WindowSpec
from serving.action.predictor import BATCH, ActionPredictor
from serving.action.window import make_window

CLASSES = ["standing", "walking", "falling"]


def constant_model(scores):
    """Answers the same (k,) for every case of a batch, or (n, k) whatever the batch."""
    scores = np.array(scores, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["keypoints"], ["mean"], axes=[1, 2, 3, 4], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Unsqueeze", ["zero", "last"], ["column"]),
        helper.make_node("Add", ["column", "answer"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [
            helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ("batch", 4, 100, 17, 2)),
            helper.make_tensor_value_info("visibility", TensorProto.FLOAT, ("batch", 4, 100, 17)),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array(0, np.float32), "nothing"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
            numpy_helper.from_array(scores, "answer"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def folder(tmp_path):
    def write(model, name="package.json", **content):
        onnx.save(model, tmp_path / "model.onnx")
        description = {"classes": CLASSES, "preprocessing": WindowSpec().as_dict(), **content}
        (tmp_path / name).write_text(json.dumps(description))
        return tmp_path

    return write


def windows(n):
    random = np.random.default_rng(0)
    return [make_window(random.uniform(1, 500, (1 + i % 6, 1 + 7 * i, 17, 2))) for i in range(n)]


@pytest.mark.parametrize("name", ["package.json", "model.json"])
def test_reads_a_package_and_an_export(folder, name):
    predictor = ActionPredictor(folder(constant_model([0.2, 0.5, 0.3]), name), threads=1)
    assert isinstance(predictor, Predictor)
    assert predictor.classes == tuple(CLASSES)
    assert load_predictor("action") is ActionPredictor


@pytest.mark.parametrize("n", [0, 1, 3, BATCH, BATCH + 1])
def test_any_number_of_cases(folder, n):
    predictor = ActionPredictor(folder(constant_model([0.2, 0.5, 0.3])), threads=2)
    inputs = predictor.inputs(windows(n))
    assert inputs["keypoints"].shape == (n, 4, 100, 17, 2)
    assert inputs["visibility"].shape == (n, 4, 100, 17)
    prediction = predictor.predict(inputs)
    assert prediction.answers["scores"].shape == (n, 3)
    assert prediction.answers["scores"].dtype == np.float32
    assert (prediction.answers["scores"].argmax(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([np.nan, 0.5, 0.5], "NaN"),
        ([np.inf, 0, 0], "infinite"),
        ([0.5, 0.6, 0.3], "do not sum to 1"),
        ([1.5, -0.5, 0.0], "do not sum to 1"),
        ([0.5, 0.5], r"shape \(1, 2\)"),
        ([[1, 0, 0], [1, 0, 0]], r"shape \(2, 3\), expected \(1, 3\)"),
    ],
)
def test_an_answer_that_is_no_distribution_is_none(folder, scores, says):
    predictor = ActionPredictor(folder(constant_model(scores)), threads=1)
    with pytest.raises(PluginError, match=says) as caught:
        predictor.predict(predictor.inputs(windows(1)))
    assert caught.value.hint


def test_inputs_that_do_not_fit_the_model(folder):
    predictor = ActionPredictor(folder(constant_model([0.2, 0.5, 0.3])), threads=1)
    with pytest.raises(PluginError, match="the model failed"):
        predictor.predict({"keypoints": np.zeros((1, 2), np.float32), "visibility": np.zeros((1, 2), np.float32)})


def no_model(path):
    (path / "model.onnx").unlink()


def cut_model(path):
    content = (path / "model.onnx").read_bytes()
    (path / "model.onnx").write_bytes(content[: len(content) // 2])


def no_description(path):
    (path / "package.json").unlink()


def no_classes(path):
    (path / "package.json").write_text("{}")


def no_json(path):
    (path / "package.json").write_text("classes:")


def newer_window(path):
    (path / "package.json").write_text(json.dumps({"classes": CLASSES, "preprocessing": {"stride": 2}}))


@pytest.mark.parametrize("damage", [no_model, cut_model, no_description, no_classes, no_json, newer_window])
def test_a_damaged_folder(folder, damage):
    path = folder(constant_model([0.2, 0.5, 0.3]))
    damage(path)
    with pytest.raises(FormatError) as caught:
        ActionPredictor(path, threads=1)
    assert caught.value.hint
