"""The pose predictor on real ONNX files: whom it finds, and what it does not let a model say."""

import io
import json
import struct
import zlib
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from recognizer.errors import FormatError, InputError, InvalidAnswer, PluginError
from recognizer.images import ImageSpec, decode
from recognizer.pose.answers import unstack
from recognizer.skeleton import JOINTS
from recognizer.suppression import Suppression
from recognizer.tasks import Predictor
from serving.pose.answer import PoseEndpoint
from serving.pose.body import PoseRequest
from serving.pose.predictor import BATCH, OUTPUTS, PLACEMENTS, PosePredictor
from serving.routing import Arm

SPEC = ImageSpec(64, 96)
BRIGHT, DARK = 255, 0
BOXES = np.array([[40, 20, 56, 44], [41, 20, 57, 44], [10, 30, 20, 50]], np.float32)
"""Of three candidates, the first two of one person, in pixels of the input."""
SCORES = np.array([0.5, 0.25, 0.125], np.float32)
"""In a white picture; in a black one all are 0, in a grey one in proportion: halved and halved again."""


def outputs_of(boxes=BOXES, scores=SCORES):
    joints = np.repeat(boxes.reshape(-1, 2, 2).mean(axis=1)[:, None], len(JOINTS), axis=1)
    seen = np.linspace(0, 1, len(boxes) * len(JOINTS), dtype=np.float32).reshape(len(boxes), -1)
    return {"scores": scores, "boxes": boxes, "joints": joints.astype(np.float32), "visibility": seen}


def tiny_model(size=SPEC.size, names=OUTPUTS, **changed):
    """People that are always the same, and the surer the brighter the middle of the picture is: twice the score."""
    answers = {**outputs_of(), **changed}
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axes"], ["middle"]),
        helper.make_node("ReduceMean", ["middle"], ["brightness"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["brightness", "nothing"], ["zero"]),
    ]
    constants = {
        "from": np.array([size[0] // 2 - 2, size[1] // 2 - 2], np.int64),
        "to": np.array([size[0] // 2 + 2, size[1] // 2 + 2], np.int64),
        "axes": np.array([2, 3], np.int64),
        "nothing": np.array(0, np.float32),
    }
    for name, array in answers.items():
        shape = np.array([-1] + [1] * array.ndim, np.int64)
        constants |= {f"{name}_answer": array[None].astype(np.float32), f"{name}_shape": shape}
        factor = "brightness" if name == "scores" else "zero"
        nodes += [
            helper.make_node("Reshape", [factor, f"{name}_shape"], [f"{name}_factor"]),
            helper.make_node("Mul" if name == "scores" else "Add", [f"{name}_answer", f"{name}_factor"], [name]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, *size))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def folder(tmp_path):
    def write(model=None, name="package.json", **content):
        onnx.save(model or tiny_model(), tmp_path / "model.onnx")
        (tmp_path / name).write_text(json.dumps({"preprocessing": SPEC.as_dict(), **content}))
        return tmp_path

    return write


def picture(grey=BRIGHT, shape=(64, 96)):
    return PoseRequest(cv2.imencode(".png", np.full((*shape, 3), grey, np.uint8))[1].tobytes())


def huge():
    """A PNG that says it has 2.5 gigapixels."""
    content, side = picture().image, struct.pack(">I", 50_000)
    ihdr = b"IHDR" + side + side + content[24:29]
    return content[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + content[33:]


def ask(predictor, *cases, cancel=None):
    return predictor.predict(predictor.inputs(cases), cancel)


@pytest.mark.parametrize("name", ["package.json", "model.json"])
def test_reads_a_package_and_an_export(folder, name):
    predictor = PosePredictor(folder(name=name), threads=1)
    assert isinstance(predictor, Predictor)
    assert predictor.classes == ("person",)
    assert (predictor.spec, predictor.threshold) == (SPEC, Suppression.score)


@pytest.mark.parametrize("n", [0, 1, 2, BATCH, BATCH + 1])
def test_any_number_of_pictures(folder, n):
    predictor = PosePredictor(folder(), threads=2)
    cases = [picture(BRIGHT if i % 2 == 0 else DARK) for i in range(n)]
    inputs = predictor.inputs(cases)
    assert {name: array.shape for name, array in inputs.items()} == {"images": (n, 3, 64, 96), PLACEMENTS: (n, 6)}
    prediction = predictor.predict(inputs)
    assert [len(people) for people in prediction.people] == [1 - i % 2 for i in range(n)]
    np.testing.assert_allclose(prediction.unnoticed, [0.125 * (1 - i % 2) for i in range(n)], atol=1e-3)
    assert not prediction.recovered


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((64, 96), [40, 20, 16, 24]),
        ((128, 192), [80, 40, 32, 48]),
        ((640, 960), [400, 200, 160, 240]),
        ((32, 96), [40, 4, 16, 24]),
        ((64, 64), [24, 20, 16, 24]),
        ((24, 96), [40, 0, 16, 24]),
    ],
)
def test_people_in_pixels_of_their_picture(folder, shape, box):
    (people,) = ask(PosePredictor(folder(), threads=1), picture(shape=shape)).people
    np.testing.assert_allclose(people.boxes, [box], atol=1e-3)
    assert people.scores == pytest.approx([0.5])


def test_pictures_of_several_shapes_at_once(folder):
    predictor = PosePredictor(folder(), threads=1)
    shapes = [(64, 96), (128, 192), (64, 64)] * 2
    together = ask(predictor, *(picture(shape=shape) for shape in shapes)).people
    for shape, people in zip(shapes, together, strict=True):
        np.testing.assert_array_equal(people.boxes, ask(predictor, picture(shape=shape)).people[0].boxes)


def test_whom_a_package_shows_is_fewer_than_are_answered(folder):
    """Of three candidates two are one person, of whom the less sure one is hardly sure any more."""
    for thresholds, shown in (({"person": 0.1}, 2), ({}, 1), ({"person": 0.9}, 0)):
        prediction = ask(PosePredictor(folder(thresholds=thresholds), threads=1), picture())
        assert len(prediction.people[0]) == shown
        assert len(unstack(prediction.answers)[0]) == 3


def test_labelled_scenes_are_cases_too(folder):
    scene = SimpleNamespace(image=picture().image, people=None)
    assert len(ask(PosePredictor(folder(), threads=1), scene).people[0]) == 1


def test_without_placements_in_pixels_of_the_input(folder):
    predictor = PosePredictor(folder(), threads=1)
    (people,) = predictor.predict({"images": np.ones((1, 3, 64, 96), np.float32)}).people
    np.testing.assert_allclose(people.boxes, [[40, 20, 16, 24]])


@pytest.mark.parametrize(
    ("content", "says"), [(picture().image[:-20], "ends too early"), (b"GIF89a", "GIF"), (huge(), "50000 x 50000")]
)
def test_a_picture_is_the_request_s_fault(folder, content, says):
    predictor = PosePredictor(folder(), threads=1)
    with pytest.raises(InputError, match=says) as caught:
        predictor.inputs([PoseRequest(content)])
    assert caught.value.hint


def with_value(name, value):
    array = outputs_of()[name].copy()
    array.flat[-1] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (with_value("scores", np.nan), "NaN or infinite scores"),
        (with_value("boxes", np.inf), "infinite boxes"),
        (with_value("joints", np.nan), "infinite joints"),
        (with_value("visibility", 7), "visibility from 0 to 7"),
        ({"scores": np.float32([3, 0, 0])}, "scores from 0 to 3"),
        ({"boxes": BOXES[:, ::-1]}, "comes before"),
        ({"boxes": BOXES[:2]}, r"boxes of shape \(2, 4\)"),
        ({"joints": np.zeros((3, 16, 2))}, "joints of shape"),
        ({"scores": np.float32(1)}, r"scores float32 of shape \(1,\) for 1 pictures"),
    ],
)
def test_an_answer_that_cannot_be_people_is_none(folder, changed, says):
    predictor = PosePredictor(folder(tiny_model(**changed)), threads=1)
    with pytest.raises(InvalidAnswer, match=says) as caught:
        ask(predictor, picture())
    assert (caught.value.where, bool(caught.value.hint)) == ("task pose", True)


def test_scores_that_are_no_fractions(folder):
    model = tiny_model()
    model.graph.node[-7].output[0] = "exact"
    model.graph.node.append(helper.make_node("Cast", ["exact"], ["scores"], to=TensorProto.INT64))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(InvalidAnswer, match="scores int64"):
        ask(PosePredictor(folder(model), threads=1), picture())


def test_from_a_body_to_an_answer(folder):
    """A photograph that a camera held upright: stored lying, seen standing, answered as it is seen."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (192, 128), "white").save(file, "JPEG", exif=exif)
    body = b"--edge\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n%b\r\n--edge--" % file.getvalue()
    endpoint = PoseEndpoint()
    case = endpoint.read(body, "multipart/form-data; boundary=edge", {}).case
    prediction = ask(PosePredictor(folder(), threads=1), case)
    servable = SimpleNamespace(task="pose", version=1, digest="d")
    answered = SimpleNamespace(
        prediction_id="p", servable=servable, arm=Arm.CHAMPION, recovered=False, case=case, prediction=prediction
    )
    (person,) = endpoint.write(answered)["people"]
    assert person["box"] == pytest.approx([41.7, 60.0, 47.6, 72.0])
    answered.case = replace(case, draw=True)
    assert decode(endpoint.write(answered).content).shape == (192, 128, 3)
    assert endpoint.note(answered).label == "1 person"


def no_model(path):
    (path / "model.onnx").unlink()


def cut_model(path):
    content = (path / "model.onnx").read_bytes()
    (path / "model.onnx").write_bytes(content[: len(content) // 2])


def no_description(path):
    (path / "package.json").unlink()


def described(content):
    return lambda path: (path / "package.json").write_text(content)


def modelled(**changed):
    return lambda path: onnx.save(tiny_model(**changed), path / "model.onnx")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_model, "onnxruntime cannot load"),
        (cut_model, "onnxruntime cannot load"),
        (no_description, "cannot be read"),
        (described("size:"), "cannot be read"),
        (described("{}"), "lacks 'preprocessing'"),
        (described("[]"), "lacks 'preprocessing'"),
        (described('{"preprocessing": 64}'), "lacks 'preprocessing'"),
        (described('{"preprocessing": {"frames": 100}}'), "unknown settings"),
        (described('{"preprocessing": {"height": 0}}'), "640 x 0"),
        (described('{"preprocessing": {}, "thresholds": {"person": "high"}}'), "thresholds"),
        (described('{"preprocessing": {}, "thresholds": [1]}'), "thresholds"),
        (described('{"preprocessing": {}, "thresholds": {"person": 1.5}}'), "out of range"),
        (modelled(size=(64, 64)), r"expected one input \(n, 3, 64, 96\)"),
        (modelled(names=OUTPUTS[:3]), "expected one input"),
    ],
)
def test_a_damaged_folder(folder, damage, says):
    path = folder()
    damage(path)
    with pytest.raises(FormatError, match=says) as caught:
        PosePredictor(path, threads=1)
    assert caught.value.hint
    assert str(path) in caught.value.where


def test_inputs_that_do_not_fit_the_model(folder):
    with pytest.raises(PluginError, match="the model failed"):
        PosePredictor(folder(), threads=1).predict({"images": np.zeros((1, 2), np.float32)})
