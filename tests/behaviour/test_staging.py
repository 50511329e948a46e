"""A model that is staged for loading is the same model, read once; whatever it is, its digest is the file's."""

import hashlib
import os
import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from recognizer.digest import sha256_file
from recognizer.store.processes import this_process
from serving import staging
from serving.staging import LEAST, PREFIX, ROOM, STEP, WEIGHTS, Stage, staged

BIG = LEAST // 4  # float32 numbers


def tensor(count, name, raw=True):
    numbers = np.random.default_rng(count).random(count, dtype=np.float32)
    if raw:
        return numpy_helper.from_array(numbers, name)
    return helper.make_tensor(name, TensorProto.FLOAT, [count], numbers.tolist())


def model(*initializers, constant=None):
    """y = x + the sum of the means of all initializers, and of a constant in a node."""
    inner = [helper.make_node("Constant", [], ["constant"], value=constant)] if constant else []
    names = [one.name for one in initializers] + (["constant"] if constant else [])
    means = [helper.make_node("ReduceMean", [name], [f"{name}_mean"], keepdims=0) for name in names]
    total = helper.make_node("Sum", ["x", *[f"{name}_mean" for name in names]], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    graph = helper.make_graph([*inner, *means, total], "g", values[:1], values[1:], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


MODELS = {
    "none": model(),
    "small": model(tensor(10, "a")),
    "one": model(tensor(BIG, "a")),
    "just below": model(tensor(BIG - 1, "a")),
    "several": model(tensor(BIG + 3, "a"), tensor(5, "b"), tensor(7 * BIG + 1, "c"), tensor(BIG, "d")),
    "not raw": model(tensor(BIG, "a", raw=False), tensor(BIG, "b")),
    "in a node": model(tensor(BIG, "a"), constant=tensor(2 * BIG, "c")),
}


def written(tmp_path, content):
    path = tmp_path / "package" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def stage_in(tmp_path):
    folder = tmp_path / "stage"
    folder.mkdir()
    return Stage(folder)


def answer(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.array([1, 2, 3], np.float32)})[0]


def answer_or_none(path):
    try:
        return answer(path)
    except Exception:  # onnxruntime raises a dozen unrelated classes
        return None


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_same_model(tmp_path, name):
    path = written(tmp_path, MODELS[name].SerializeToString())
    stage = stage_in(tmp_path)
    assert stage.read(path) == sha256_file(path)
    assert stage.whole
    large = [one for one in MODELS[name].graph.initializer if len(one.raw_data) >= LEAST]
    copy = stage.folder / "model.onnx"
    graph = onnx.load(copy, load_external_data=False).graph
    assert [one.name for one in graph.initializer if one.data_location == TensorProto.EXTERNAL] == [
        one.name for one in large
    ]
    assert (stage.folder / WEIGHTS).stat().st_size >= sum(len(one.raw_data) for one in large)
    # the same in every field once the weights are back in
    back = onnx.load(copy)
    for one in back.graph.initializer:
        one.ClearField("data_location")
    assert back == MODELS[name]
    np.testing.assert_array_equal(answer(copy), answer(path))


@pytest.mark.parametrize("name", ["one large", "many small"])
def test_it_rests_whatever_the_size_of_the_tensors(tmp_path, name):
    counts = [8 * STEP // 4] if name == "one large" else [STEP // 16] * 32
    path = written(tmp_path, model(*(tensor(count, f"t{i}") for i, count in enumerate(counts))).SerializeToString())
    rests = []
    folder = tmp_path / "stage"
    folder.mkdir()
    Stage(folder, lambda: rests.append(1)).read(path)
    assert 7 <= len(rests) <= 8


def test_what_is_open_is_served_whatever_becomes_of_the_files(tmp_path):
    path = written(tmp_path, MODELS["several"].SerializeToString())
    with staged([tmp_path], 1) as stage:
        stage.read(path)
        session = onnxruntime.InferenceSession(stage.folder / "model.onnx", providers=["CPUExecutionProvider"])
        held = stage.hold()
    assert not stage.folder.exists()
    before = answer(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(session.run(None, {"x": np.array([1, 2, 3], np.float32)})[0], before)
    del session
    held.close()
    held.close()


def damaged():
    content = MODELS["several"].SerializeToString()
    chance = random.Random(0)
    yield "empty", b""
    yield "text", b"This is no model." * 100
    yield "cut", content[: len(content) // 2]
    yield "more", content + b"\x3a"
    yield "endless number", b"\x3a" + b"\xff" * 20
    yield "longer than the file", b"\x3a\xff\x7f"
    yield "group", b"\x3b" + content
    for place in range(40):
        spoilt = bytearray(content)
        spoilt[chance.randrange(300)] = chance.randrange(256)
        yield f"spoilt {place}", bytes(spoilt)


@pytest.mark.parametrize("content", [content for _, content in damaged()], ids=[name for name, _ in damaged()])
def test_what_is_damaged_has_its_digest_and_is_never_another_model(tmp_path, content):
    path = written(tmp_path, content)
    stage = stage_in(tmp_path)
    assert stage.read(path) == hashlib.sha256(content).hexdigest()
    if stage.whole:
        expected, found = answer_or_none(path), answer_or_none(stage.folder / "model.onnx")
        assert (found is None) == (expected is None)
        assert found is None or np.array_equal(found, expected)


def odd(kind):
    """Models of which readers make different things."""
    made = model(tensor(BIG, "a"), tensor(BIG + 1, "b"))
    first, second = made.graph.initializer
    if kind == "two of one name":
        second.name = "a"
    elif kind == "in another file":
        first.ClearField("raw_data")
        first.data_location = TensorProto.EXTERNAL
        first.external_data.add(key="location", value=WEIGHTS)
    elif kind == "with a trace of another file":
        first.external_data.add(key="location", value=WEIGHTS)
    content = made.SerializeToString()
    if kind == "data twice":  # a graph and a tensor that end with their data again; of a message twice, both count
        again = TensorProto(raw_data=first.raw_data[: LEAST + 4]).SerializeToString()
        twice = first.SerializeToString() + again
        graph = b"\x2a" + varint(len(twice)) + twice
        content += b"\x3a" + varint(len(graph)) + graph
    return content


def varint(value):
    return bytes([value & 0x7F | 0x80, *varint(value >> 7)]) if value > 0x7F else bytes([value])


@pytest.mark.parametrize("kind", ["two of one name", "in another file", "with a trace of another file", "data twice"])
def test_an_odd_model_is_not_split(tmp_path, kind):
    path = written(tmp_path, odd(kind))
    stage = stage_in(tmp_path)
    assert stage.read(path) == sha256_file(path)
    assert not stage.whole


def test_a_full_disk_is_no_reason_not_to_load(tmp_path, monkeypatch):
    path = written(tmp_path, MODELS["several"].SerializeToString())
    stage = stage_in(tmp_path)
    (stage.folder / WEIGHTS).symlink_to("/dev/full")
    assert stage.read(path) == sha256_file(path)
    assert not stage.whole


def test_it_takes_the_first_place_with_room(tmp_path, monkeypatch):
    room = {tmp_path / "a": ROOM + 9, tmp_path / "b": ROOM + 10}
    for place in room:
        place.mkdir()
    usage = type("Usage", (), {})

    def free(place):
        usage.free = room.get(place, 10**12)
        return usage

    monkeypatch.setattr(staging.shutil, "disk_usage", free)
    places = [tmp_path / "missing", *room]
    for size, where in ((9, "a"), (10, "b")):
        with staged(places, size) as stage:
            assert stage.folder.parent == tmp_path / where
            assert stage.folder.stat().st_mode & 0o777 == 0o700
    with staged(places, 11) as stage:
        assert stage is None
    assert [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()] == []


def test_what_killed_processes_left_is_removed_and_nobody_elses(tmp_path):
    host, pid, _ = this_process().split(":")
    dead, here, elsewhere = f"{host}:{pid}:1", this_process(), "elsewhere-12345678:1:1"
    for name in (dead, here, elsewhere):
        (tmp_path / f"{PREFIX}{name}.abcd").mkdir()
        (tmp_path / f"{PREFIX}{name}.abcd" / WEIGHTS).write_bytes(b"x")
    os.mkdir(tmp_path / "another")
    with staged([tmp_path], 1):
        left = {path.name.removeprefix(PREFIX).rpartition(".")[0] for path in tmp_path.iterdir()}
    assert left == {here, elsewhere, ""}
