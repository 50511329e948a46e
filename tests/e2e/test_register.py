"""A model that was trained elsewhere: `recognizer register`, judged by the same gates as a night's."""

import json

import onnx
import pytest
from onnx import TensorProto

from flows.registration import RegisterRequest, register_model
from recognizer.blessing import verify_blessing
from recognizer.errors import InputError
from recognizer.keys import Keyring
from recognizer.package import PackageStore
from recognizer.store import versions


@pytest.fixture(scope="module")
def place(make_place, tmp_path_factory):
    """A home after its first night."""
    made = make_place(tmp_path_factory.mktemp("register") / "home")
    made.night()
    return made


@pytest.fixture
def all_gates(place):
    place.use_all_gates()
    yield
    place.use_easy_gates()


@pytest.fixture
def exported(place):
    (trained,) = place.root.glob("runs/action/*/trained")
    return trained.parent / "exported" / "model.onnx"


def changed(exported, tmp_path, change):
    """A copy of the model with something else about it."""
    model = onnx.load(exported)
    change(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def rename_producer(model):
    model.producer_name = "elsewhere"


def test_a_model_from_elsewhere_becomes_a_version_once(place, all_gates, exported, tmp_path):
    model = changed(exported, tmp_path, rename_producer)
    made = place.call("register", "action", model)
    assert made["blessed"]
    gates = ["contract", "absolute", "relative", "slices", "golden", "parity", "budgets", "infra"]
    assert list(dict.fromkeys(check["gate"] for check in made["checks"])) == gates
    (shadow,) = [check for check in made["checks"] if check["name"] == "shadow_agreement"]
    assert shadow["value"] == 1.0  # the champion's own weights
    relative = next(check for check in made["checks"] if check["gate"] == "relative")
    assert relative["value"] == relative["baseline"]  # the champion's own weights
    verify_blessing(place.root / "packages" / made["digest"], made["digest"], Keyring.open(place.home.keys))
    assert place.call("register", "action", model)["version"] == made["version"]
    listed = {row["version"]: row for row in place.call("models")}
    assert listed[made["version"]]["aliases"] == []  # a candidate: nothing changes in service
    assert place.call("evaluate", "action", "--model", made["version"])["digest"] == made["digest"]


def test_gates_say_no_and_a_person_may_override_them(place, exported, tmp_path):
    model = changed(exported, tmp_path, forget_its_head)
    place.change_params(evaluate__action__gates__absolute={"accuracy": {"min": 0.5}})
    refused = place.call("register", "action", model, code=1)
    assert not refused["blessed"]
    assert not (place.root / "packages" / refused["digest"] / "blessing.json").exists()
    overridden = place.call("register", "action", model, "--override", "an experiment on one camera")
    assert (overridden["version"], overridden["blessed"]) == (refused["version"], True)
    blessing = verify_blessing(
        PackageStore(place.home.packages).path(refused["digest"]), refused["digest"], Keyring.open(place.home.keys)
    )
    assert blessing.override == "an experiment on one camera"
    place.change_params(evaluate__action__gates__absolute={"accuracy": {"min": 0.0}})


def forget_its_head(model):
    spoiled = [tensor for tensor in model.graph.initializer if "head" in tensor.name]
    for tensor in spoiled:
        tensor.raw_data = bytes(len(tensor.raw_data))
    assert spoiled


def forget_everything(model):  # it then divides by nothing
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.raw_data = bytes(len(tensor.raw_data))


def other_input(model):
    model.graph.input[0].name = "poses"
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "keypoints":
                node.input[index] = "poses"


def fixed_batch(model):
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 1


def weights_outside(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="weights"))
    tensor.ClearField("raw_data")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "is no ONNX model"),
        (b"no model", "is no ONNX model"),
        (other_input, "expected keypoints float32 [batch, 4, 100, 17, 2]"),
        (fixed_batch, "expected keypoints float32 [batch, 4, 100, 17, 2]"),
        (weights_outside, "weights in another file"),
        (forget_everything, "could not be evaluated: the model answered NaN"),
    ],
)
def test_what_is_no_model_of_the_task_is_told(place, exported, tmp_path, content, said):
    path = tmp_path / "model.onnx"
    if callable(content):
        path = changed(exported, tmp_path, content)
    elif content is not None:
        path.write_bytes(content)
    with place.store() as store:
        before = versions.list(store)
        with pytest.raises(InputError) as caught:
            register_model(place.settings, store, RegisterRequest("action", path))
        assert versions.list(store) == before
    assert caught.value.exit_code == 3
    assert said in caught.value.what
    assert caught.value.hint


def test_other_classes_than_the_data_are_refused(place, exported, tmp_path):
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"classes": ["a", "b"]}))
    assert (
        "ingest data of the model's classes"
        in place.call("register", "action", exported, "--meta", meta, code=3)["next"]
    )
