"""What models cost, measured in real processes; and what is said when a model ends its process."""

import sys
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from recognizer.errors import FormatError, GivenUp, PluginError
from serving.action.window import make_window
from serving.footprint import measure_footprints

SURE = make_window(np.ones((1, 30, 17, 3), np.float32))

PLUGIN = '''
import os, signal, sys
import numpy as np
from recognizer.tasks import Prediction

def wait_for_ever():
    while True:
        signal.pause()

DOES = {
    "answers": lambda: None,
    "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaves": lambda: os._exit(3),
    "exits": lambda: sys.exit(4),
    "raises": lambda: [][0],
    "waits": wait_for_ever,
    "hoards": lambda: np.ones(2**27),
    "prints": lambda: print("what no caller wants to read"),
}

class Odd:
    """Does on its first case what its folder says, and writes down which cases it was asked."""
    task = "odd"

    def __init__(self, package, *, threads):
        self.package = package

    def inputs(self, cases):
        return {"cases": np.array(cases)}

    def predict(self, inputs, cancel=None):
        DOES[(self.package / "does").read_text()]()
        with (self.package.parent / "asked").open("a") as file:
            file.write(f"{os.getpid()} {self.package.name} {inputs['cases'].tolist()}\\n")
        return Prediction({"scores": np.ones((len(inputs["cases"]), 1), np.float32)})
'''


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A function that makes the package of a foreign task, found as any installed plug-in is."""
    installed = tmp_path / "installed"
    (installed / "odd-1.dist-info").mkdir(parents=True)
    (installed / "odd-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (installed / "odd-1.dist-info" / "entry_points.txt").write_text("[recognizer.predictors]\nodd = odd_plugin:Odd\n")
    (installed / "odd_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(installed)

    def make(name: str, does: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "does").write_text(does)
        return tmp_path / name

    return make


def with_constant(model: onnx.ModelProto, name: str, value: int) -> onnx.ModelProto:
    """The model with another value of one of its constants."""
    (constant,) = (one for one in model.graph.initializer if one.name == name)
    constant.CopyFrom(numpy_helper.from_array(np.array([value], np.int64), name))
    return model


def test_more_work_takes_longer_and_more_memory_is_seen(small_home, make_bad_model):
    """The same run tells a tiny model from one that compares 3,000 boxes, and from one that fills 200 MB."""
    small_home.package(1)
    small_home.package(2, with_constant(make_bad_model("kernel"), "large", 3_000))
    small_home.package(3, with_constant(make_bad_model("allocates"), "huge", 200 * 2**18))
    folders = [small_home.folder(version) for version in (1, 2, 3)]
    tiny, slow, greedy = measure_footprints("action", folders, [SURE], rounds=12, cases_at_once=2)
    assert slow.latency_p50_ms > 2 * tiny.latency_p50_ms
    assert greedy.peak_memory_mb > tiny.peak_memory_mb + 150
    assert slow.peak_memory_mb < tiny.peak_memory_mb + 50
    assert {len(one.latencies_ms) for one in (tiny, slow, greedy)} == {12}
    assert {one.cases_at_once for one in (tiny, slow, greedy)} == {2}
    assert not active_children()


def test_all_models_answer_the_same_cases_in_balanced_turns(odd, tmp_path, capfd):
    footprints = measure_footprints("odd", [odd("a", "prints"), odd("b", "answers")], ["x", "y", "zz"], rounds=8)
    assert capfd.readouterr().out == ""  # what a model prints is no output of ours
    assert [len(one.latencies_ms) for one in footprints] == [8, 8]
    lines = [line.split() for line in (tmp_path / "asked").read_text().splitlines()]
    first = lines[0][0]
    timed = [(name, case) for process, name, case in lines if process == first][6:]  # three each to warm up
    assert "".join(name for name, _ in timed) == "abbabaab" * 2
    for model in "ab":
        asked = "".join(case.strip("[]'") + " " for name, case in timed if name == model)
        assert asked == "x x y y zz zz x x "
    alone = [(name, case) for process, name, case in lines if process != first]
    assert alone == [("a", "['zz']")] * 2 + [("b", "['zz']")] * 2  # the largest, each in a process of its own


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("crashes", "ended without a result: SIGSEGV"),
        ("is killed", "ended without a result: SIGKILL; the system does that when memory runs out"),
        ("leaves", "ended without a result: exit code 3"),
        ("exits", "SystemExit: 4"),
        ("raises", "IndexError: list index out of range"),
    ],
)
def test_a_model_that_ends_its_process_is_named_and_how_it_ended(odd, does, said):
    good, bad = odd("good", "answers"), odd("bad", does)
    with pytest.raises(PluginError, match=said) as caught:
        measure_footprints("odd", [good, bad], ["x"])
    assert caught.value.where == str(bad)
    assert "\n" not in caught.value.what
    assert not active_children()


def test_one_that_hangs_is_given_up(odd):
    with pytest.raises(GivenUp, match="within 2 s and was killed"):
        measure_footprints("odd", [odd("bad", "waits")], ["x"], limit_seconds=2)
    assert not active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_one_that_takes_more_memory_than_it_may_is_refused(odd):
    bad = odd("bad", "hoards")  # 1 GB
    with pytest.raises(PluginError, match="the memory of 500 MB did not suffice") as caught:
        measure_footprints("odd", [bad], ["x"], memory_limit_mb=500)
    assert caught.value.where == str(bad)


@pytest.mark.parametrize("memory_limit_mb", [None, 1000])
def test_a_model_of_ours_that_fails_is_named(small_home, make_bad_model, memory_limit_mb):
    """Without a limit it asks for what no machine has, with one for 2 GB."""
    small_home.package(1)
    huge = 2**44 if memory_limit_mb is None else 2**29
    small_home.package(2, with_constant(make_bad_model("allocates"), "huge", huge))
    bad = small_home.folder(2)
    with pytest.raises(PluginError, match=r"the model failed: .*(llocat|bad_alloc)") as caught:
        measure_footprints("action", [small_home.folder(1), bad], [SURE], memory_limit_mb=memory_limit_mb)
    assert caught.value.where == str(bad)


def test_so_is_one_that_cannot_be_opened(small_home):
    small_home.package(1)
    bad = small_home.folder(1)
    (bad / "model.onnx").chmod(0o644)
    (bad / "model.onnx").write_bytes(b"no model")
    with pytest.raises(FormatError, match="onnxruntime cannot load it") as caught:
        measure_footprints("action", [bad], [SURE])
    assert caught.value.where == str(bad)
