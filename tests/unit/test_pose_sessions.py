"""Where the pose model runs, and a GPU that is full: the same request is answered on the CPU."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from recognizer.errors import GivenUp, PluginError
from recognizer.images import ImageSpec
from recognizer.skeleton import JOINTS
from recognizer.tasks import Cancel
from serving.pose.predictor import BATCH, OUTPUTS, PosePredictor
from serving.pose.sessions import CPU, CUDA

# What onnxruntime says when a GPU is full: bfc_arena.cc, CUDA's own allocator, and the libraries on top of it.
ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'/backbone/stem/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 "
    "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
    "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 1073741824"
)
LIMIT = ARENA.partition("Failed")[0] + "Available memory of 12345 is smaller than requested bytes of 1073741824"
DRIVER = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=worker ; "
    "file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=47 ; "
    "expr=cudaMalloc((void**)&p, size);"
)
CUBLAS = "[ONNXRuntimeError] : 1 : FAIL : CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&h)"
CUDNN = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0"
)
BROKEN = "[ONNXRuntimeError] : 1 : FAIL : CUDNN failure 3: CUDNN_STATUS_BAD_PARAM ; GPU=0"


SPEC = ImageSpec(64, 96)
ANSWERS = (
    np.float32([[0.9]]),
    np.float32([[[40, 20, 56, 44]]]),
    np.full((1, 1, len(JOINTS), 2), 30, np.float32),
    np.ones((1, 1, len(JOINTS)), np.float32),
)


@dataclass
class FakeSession:
    """Answers with one person in each picture, unless `error` is set or the run is to end; counts its runs."""

    providers: list
    error: Exception | None = None
    runs: int = 0

    def get_inputs(self):
        return [SimpleNamespace(name="images", shape=["batch", 3, *SPEC.size], type="tensor(float)")]

    def get_outputs(self):
        return [SimpleNamespace(name=name, shape=None, type="tensor(float)") for name in OUTPUTS]

    def run(self, output_names, input_feed, run_options=None):
        self.runs += 1
        assert list(output_names) == list(OUTPUTS)
        if run_options is not None and run_options.terminate:
            raise Fail("[ONNXRuntimeError] : 1 : FAIL : Exiting due to terminate flag being set to true.")
        if self.error is not None:
            raise self.error
        n = len(input_feed["images"])
        return [np.repeat(answer, n, axis=0) for answer in ANSWERS]


@pytest.fixture
def machine(tmp_path):
    """A predictor on a machine with these providers, and its sessions by what they were opened for."""
    (tmp_path / "package.json").write_text(json.dumps({"preprocessing": SPEC.as_dict()}))

    def open_on(available):
        sessions = {}

        def open_fake(path, threads, providers):
            assert (path, threads) == (tmp_path / "model.onnx", 2)
            sessions[providers[0]] = FakeSession(list(providers))
            return sessions[providers[0]]

        return PosePredictor(tmp_path, threads=2, available=available, open_session=open_fake), sessions

    return open_on


def ask(predictor, n=1, cancel=None):
    return predictor.predict({"images": np.zeros((n, 3, *SPEC.size), np.float32)}, cancel)


@pytest.mark.parametrize(
    ("available", "opened", "runs"),
    [
        (["AzureExecutionProvider", CPU], {CPU: [CPU]}, {CPU: 1}),
        (["TensorrtExecutionProvider", CUDA, CPU], {CUDA: [CUDA, CPU], CPU: [CPU]}, {CUDA: 1, CPU: 0}),
    ],
)
def test_the_gpu_where_there_is_one(machine, available, opened, runs):
    predictor, sessions = machine(available)
    assert {name: session.providers for name, session in sessions.items()} == opened
    assert not ask(predictor).recovered
    assert {name: session.runs for name, session in sessions.items()} == runs


@pytest.mark.parametrize(
    "error",
    [RuntimeException(ARENA), RuntimeException(LIMIT), Fail(DRIVER), Fail(CUBLAS), Fail(CUDNN), MemoryError()],
    ids=["arena", "limit", "driver", "cublas", "cudnn", "host"],
)
@pytest.mark.parametrize("cancellable", [False, True])
def test_a_full_gpu_costs_the_caller_nothing(machine, error, cancellable):
    predictor, sessions = machine([CUDA, CPU])
    expected = ask(predictor)
    sessions[CUDA].error = error
    found = ask(predictor, cancel=Cancel() if cancellable else None)
    assert found.recovered
    np.testing.assert_array_equal(found.people[0].joints, expected.people[0].joints)
    sessions[CUDA].error = None
    assert not ask(predictor).recovered, "the next request is the GPU's again"


def test_one_full_batch_of_several_is_recovered(machine):
    predictor, sessions = machine([CUDA, CPU])
    sessions[CUDA].error = RuntimeException(ARENA)
    found = ask(predictor, BATCH + 1)
    assert (len(found.people), found.recovered, sessions[CPU].runs) == (BATCH + 1, True, 2)


def test_another_failure_of_the_gpu_is_the_model_s(machine):
    predictor, sessions = machine([CUDA, CPU])
    sessions[CUDA].error = Fail(BROKEN)
    with pytest.raises(PluginError, match="CUDNN_STATUS_BAD_PARAM"):
        ask(predictor)
    assert sessions[CPU].runs == 0


def test_no_memory_anywhere(machine):
    predictor, sessions = machine([CUDA, CPU])
    sessions[CUDA].error = sessions[CPU].error = RuntimeException(ARENA)
    with pytest.raises(PluginError, match="the model failed"):
        ask(predictor)


def test_no_memory_on_a_machine_without_gpu(machine):
    predictor, sessions = machine([CPU])
    sessions[CPU].error = RuntimeException(ARENA)
    with pytest.raises(PluginError, match="the model failed"):
        ask(predictor)
    assert sessions[CPU].runs == 1


@pytest.mark.parametrize("error", [None, RuntimeException(ARENA)], ids=["runs", "full"])
def test_a_run_that_is_given_up(machine, error):
    predictor, sessions = machine([CUDA, CPU])
    sessions[CUDA].error = error
    cancel = Cancel()
    cancel.give_up()
    with pytest.raises(GivenUp):
        ask(predictor, cancel=cancel)
    assert sessions[CPU].runs == 0
