"""A sample of the mutation matrix on a tiny model that nobody trained, and the document that the whole matrix wrote."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.mutations.base import MATRIX, SETS, Night, Size, judged, make_night
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from benchmarks.mutations.matrix import FAULTS, Row, run
from recognizer.home import checkout
from recognizer.windows import WindowSpec

BY_NAME = {fault.name: fault for fault in FAULTS}
SAMPLE = (
    "leaked subject",
    "scores in per cent",
    "weights that are no numbers",
    "answer not twice the same",
    "brought: answer depends on the batch",
    "metric is no number",
    "champion not measured",
    "sandbox not run",
    "model swapped after blessing",
    "forged blessing",
    "stale champion",
)
TINY = Size(
    recordings=160,
    frames=8,
    left_out=("standing", "running", "lying", "waving", "fighting"),
    train={},
    gates={
        "absolute": {"accuracy": {"min": 0.0}, "weighted_f1": {"min": 0.0}},
        "relative": {"accuracy": {"margin": 0.5}},
        "slices": {"min_cases": 1, "margin": 0.99, "floor": 0.0, "required": ["class"]},
        "golden": {"cases": {"min": 0.0}, "shift": {"min": 0.98}, "scale": {"min": 0.98}},
    },
    min_cases=5,
)


def linear_model(classes):
    """Softmax over a linear function of the mean place of each joint, under the names of the real graph."""
    spec = WindowSpec(frames=TINY.frames)
    shape = ("batch", spec.people, spec.frames, 17)
    weight = np.random.default_rng(0).normal(0, 1, (34, classes)).astype(np.float32)
    constants = {"axes": np.array([1, 2]), "flat": np.array([-1, 34]), "network.head.weight": weight}
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("ReduceMean", ["keypoints", "axes"], ["mean"], keepdims=0),
                helper.make_node("Reshape", ["mean", "flat"], ["features"]),
                helper.make_node("MatMul", ["features", "network.head.weight"], ["linear"]),
                helper.make_node("Softmax", ["linear"], ["scores"], axis=1),
            ],
            "linear",
            [
                helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, (*shape, 2)),
                helper.make_tensor_value_info("visibility", TensorProto.FLOAT, shape),
            ],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", classes))],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Night:
    """A night whose model was brought; its gates ask for little, but they ask."""
    folder = tmp_path_factory.mktemp("mutations")
    brought = folder / "brought"
    brought.mkdir()
    spec, names = WindowSpec(frames=TINY.frames), ["walking", "sitting_down", "falling"]
    window = ["batch", spec.people, spec.frames, 17]
    onnx.save(linear_model(len(names)), brought / "model.onnx")
    description = {
        "task": "action",
        "classes": names,
        "inputs": [
            {"name": "keypoints", "dtype": "float32", "shape": [*window, 2]},
            {"name": "visibility", "dtype": "float32", "shape": window},
        ],
        "outputs": [{"name": "scores", "dtype": "float32", "shape": ["batch", len(names)]}],
        "preprocessing": spec.as_dict(),
    }
    (brought / "model.json").write_text(json.dumps(description))
    made = make_night(folder / "night", TINY, brought)
    assert made.classes == tuple(names)
    assert set(made.sets) == set(SETS)
    return made


def test_sound_night_passes(night):
    assert refusals_of(judged(night, night.exported, trained=night.trained)) == []


@pytest.mark.parametrize("name", SAMPLE)
def test_fault_is_caught_by_what_is_there_for_it(night, name):
    fault = BY_NAME[name]
    refusals = fault.judge(night)
    assert fault.caught_by(refusals), refusals
    assert all(one.reason for one in refusals)


@pytest.fixture
def run_one(night, tmp_path):
    """Runs a fault of which these refusals come, and hands out its row."""

    def work(expected, *refusals) -> Row:
        fault = Fault("made up", "test", "nothing", expected, lambda _: refusals, "accuracy" if expected else None)
        (row,) = run(night, [fault], tmp_path / "rows.json", lambda _: None)
        return row

    return work


def test_fault_that_nobody_notices_escapes(run_one):
    row = run_one("absolute")
    assert (row.right, row.verdict) == (False, "ESCAPED")


def test_fault_that_another_gate_catches_is_not_as_expected(run_one):
    row = run_one("absolute", Refusal("slices", "accuracy", "…"), Refusal("absolute", "weighted_f1", "…"))
    assert (row.right, row.verdict) == (False, "caught elsewhere")


def test_sound_night_that_is_refused_is_not_as_expected(run_one):
    assert not run_one(None, Refusal("slices", "class", "…")).right


def test_row_is_made_once(night, tmp_path):
    asked = []

    def judge(_night):
        asked.append(1)
        return [Refusal("absolute", "accuracy", "0.1 < 0.9")]

    fault = Fault("made up", "test", "nothing", "absolute", judge)
    for _ in range(2):
        (row,) = run(night, [fault], tmp_path / "rows.json", lambda _: None)
        assert row.right
        assert "0.1 < 0.9" in str(row)
    assert asked == [1]


def test_matrix_has_faults_of_every_gate():
    assert len(FAULTS) > 32
    assert len(BY_NAME) == len(FAULTS)
    assert MATRIX.gates == {}
    gates = {fault.gate for fault in FAULTS}
    assert gates >= {"contract", "absolute", "relative", "slices", "golden", "parity", "budgets", "infra"}


def test_document_lists_every_fault_and_none_that_escaped():
    lines = (checkout() / "docs" / "mutations.md").read_text().splitlines()
    rows = {cells[1].strip(): cells[3].strip() for line in lines if len(cells := line.split("|")) > 5}
    for fault in FAULTS:
        assert rows[fault.name] == ("passed" if fault.gate is None else "caught"), fault.name
