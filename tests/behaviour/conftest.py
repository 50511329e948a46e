"""A home with tiny but real packages: signed, blessed, registered and promoted as a night would."""

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recognizer.blessing import bless
from recognizer.checks import Check, Verdict
from recognizer.home import Home
from recognizer.keys import Signer
from recognizer.package import PackageCard, PackageStore, Tensor
from recognizer.store import Store, open_store, versions
from recognizer.store.served import Champion, promote, read_served
from recognizer.windows import WindowSpec

CLASSES = ("standing", "walking", "falling")
POINTS, SEEN = ("batch", 4, 100, 17, 2), ("batch", 4, 100, 17)


def tiny_model(bias: Sequence[float]) -> onnx.ModelProto:
    """Softmax over a linear function of the mean keypoint; `bias` (3,) decides almost alone."""
    weight = np.array([[0.01, 0.0, -0.01], [0.0, 0.01, 0.0]], np.float32)
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Unsqueeze", ["visibility", "last"], ["mask"]),
                helper.make_node("Mul", ["keypoints", "mask"], ["seen"]),
                helper.make_node("ReduceMean", ["seen"], ["mean"], axes=[1, 2, 3], keepdims=0),
                helper.make_node("MatMul", ["mean", "weight"], ["linear"]),
                helper.make_node("Add", ["linear", "bias"], ["logits"]),
                helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
            ],
            "tiny",
            [
                helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, POINTS),
                helper.make_tensor_value_info("visibility", TensorProto.FLOAT, SEEN),
            ],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", len(CLASSES)))],
            [
                numpy_helper.from_array(np.array([-1], np.int64), "last"),
                numpy_helper.from_array(weight, "weight"),
                numpy_helper.from_array(np.array(bias, np.float32), "bias"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def bad_model(kind: str, bias: Sequence[float] = (4.0, 0.0, 0.0)) -> onnx.ModelProto:
    """A tiny model that passes its warm-up and misbehaves on requests: where some joint is seen for sure.

    Args:
        kind: raises, nan, shape, sum, hangs (a loop of nodes), kernel (one node that takes seconds, which nothing can
            stop), allocates (more than any machine has) or grows (a loop that takes 4 MB more each turn).
    """
    model = tiny_model(bias)
    graph = model.graph
    graph.node[-1].output[0] = "answer"
    node, constant = helper.make_node, numpy_helper.from_array
    graph.initializer.extend(
        [
            constant(np.array(1.0, np.float32), "one"),
            constant(np.array([0], np.int64), "zero"),
            constant(np.array([2**44], np.int64), "huge"),
            constant(np.array([50_000], np.int64), "large"),
            constant(np.array([1], np.int64), "high"),
            constant(np.array([4], np.int64), "four"),
            constant(np.array([[[0, 0, 1, 1]]], np.float32), "box"),
        ]
    )
    graph.node.extend(
        [
            node("ReduceMax", ["visibility"], ["sure"], keepdims=0),
            node("GreaterOrEqual", ["sure", "one"], ["fires"]),
            node("Cast", ["fires"], ["fire"], to=TensorProto.FLOAT),
            node("Cast", ["fires"], ["fire64"], to=TensorProto.INT64),
            node("Mul", ["fire64", "huge"], ["count"]),
        ]
    )
    tail = {
        "raises": [node("Gather", ["answer", "count"], ["row"], axis=0), *_add_nothing("row")],
        "allocates": [node("ConstantOfShape", ["count"], ["room"]), *_add_nothing("room")],
        "nan": [
            node("Sub", ["one", "fire"], ["calm"]),
            node("Div", ["calm", "calm"], ["certain"]),  # 1 / 1, and 0 / 0 when it fires
            node("Mul", ["answer", "certain"], ["scores"]),
        ],
        "sum": [node("Add", ["one", "fire"], ["factor"]), node("Mul", ["answer", "factor"], ["scores"])],
        "shape": [
            node("Add", ["one", "fire"], ["columns"]),
            node("Cast", ["columns"], ["width"], to=TensorProto.INT64),
            node("Unsqueeze", ["width", "zero"], ["wide"]),
            node("Concat", ["high", "wide"], ["repeats"], axis=0),
            node("Tile", ["answer", "repeats"], ["scores"]),
        ],
        "kernel": [
            node("Mul", ["fire64", "large"], ["extra"]),
            node("Add", ["extra", "high"], ["side"]),
            node("Concat", ["high", "side", "four"], ["many"], axis=0),
            node("Concat", ["high", "high", "side"], ["row"], axis=0),
            node("Expand", ["box", "many"], ["boxes"]),
            node("Expand", ["one", "row"], ["certain"]),
            # every pair of boxes is compared, one after the other: hardly faster on any other machine
            node("NonMaxSuppression", ["boxes", "certain", "huge", "one"], ["kept"]),
            *_add_nothing("kept"),
        ],
        "hangs": [node("Loop", ["count", "", "answer"], ["scores"], body=_endless())],
        "grows": [node("Loop", ["count", "", "answer"], ["scores", "heap"], body=_hoarding())],
    }[kind]
    graph.node.extend(tail)
    return model


def _add_nothing(name: str) -> list[onnx.NodeProto]:
    """`name` must exist before the answer is given, and changes nothing about it."""
    return [
        helper.make_node("Size", [name], ["size"]),
        helper.make_node("Cast", ["size"], ["size32"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["size32", "size32"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["scores"]),
    ]


def _endless() -> onnx.GraphProto:
    """A loop's body that hands its value on."""
    return helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Identity", ["value"], ["next"])],
        "endless",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("going", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )


def _hoarding() -> onnx.GraphProto:
    """The same, and each turn leaves 4 MB behind."""
    body = _endless()
    body.initializer.append(numpy_helper.from_array(np.array([2**20], np.int64), "million"))
    body.node.append(helper.make_node("ConstantOfShape", ["million"], ["kept"]))
    body.output.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, (2**20,)))
    return body


def tiny_card(**changes) -> PackageCard:
    return PackageCard(
        **{
            "task": "action",
            "classes": CLASSES,
            "inputs": (
                Tensor(name="keypoints", dtype="float32", shape=POINTS),
                Tensor(name="visibility", dtype="float32", shape=SEEN),
            ),
            "outputs": (Tensor(name="scores", dtype="float32", shape=("batch", len(CLASSES))),),
            "preprocessing": WindowSpec().as_dict(),
            "snapshot": "0" * 64,
            "test_digest": "1" * 64,
            "identity": "2" * 64,
            "code": "3" * 64,
            "seed": 0,
            **changes,
        }
    )


@dataclass
class SmallHome:
    """A home to serve from, and what a night does to it, in single steps."""

    home: Home
    signer: Signer
    digests: dict[int, str] = field(default_factory=dict)
    tasks: dict[int, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.home.store}"

    @property
    def packages(self) -> PackageStore:
        return PackageStore(self.home.packages)

    def folder(self, version: int) -> Path:
        return self.packages.path(self.digests[version])

    def package(self, version: int, model: onnx.ModelProto | None = None, **card) -> str:
        """A signed package whose answers tell its version: it is sure of class `version % 3`."""
        bias = [4.0 + 0.01 * version if i == version % 3 else 0.0 for i in range(3)]
        path = self.home.root / f"model-{version}.onnx"
        onnx.save(model or tiny_model(bias), path)
        described = tiny_card(seed=version, **card)
        self.tasks[version] = described.task
        self.digests[version] = self.packages.build(path, described, self.signer)
        return self.digests[version]

    def bless(self, version: int) -> None:
        bless(
            self.folder(version),
            digest=self.digests[version],
            test_digest="1" * 64,
            gates={"absolute": {"accuracy": 0.9}},
            checks=[Check("absolute", "accuracy", 0.95, 0.9, "min", None, 100, Verdict.PASSED, "0.95 ≥ 0.9")],
            who="test",
            night="2026-11-20",
            signer=self.signer,
            now=datetime(2026, 11, 20, tzinfo=UTC),
        )

    def promote(self, version: int, store: Store | None = None) -> Champion:
        """Register the version and make it champion, whatever it is worth."""
        opened = store or open_store(self.url)
        digest = self.digests[version]
        task = self.tasks[version]
        versions.record(
            opened,
            task=task,
            version=version,
            digest=digest,
            snapshot="0" * 64,
            test_digest="1" * 64,
            verdict="PASSED",
            metrics={},
        )
        before = read_served(opened).champions.get(task)
        champion = promote(
            opened,
            task=task,
            version=version,
            digest=digest,
            expected=before.digest if before else None,
            reason="test",
        )
        if store is None:
            opened.close()
        return champion

    def release(self, version: int, model: onnx.ModelProto | None = None) -> str:
        """Package, bless and promote."""
        self.package(version, model)
        self.bless(version)
        self.promote(version)
        return self.digests[version]


def make_small_home(folder: Path) -> SmallHome:
    home = Home(folder)
    home.prepare()
    open_store(f"sqlite:///{home.store}").close()
    return SmallHome(home, Signer.open(home.keys))


@pytest.fixture
def small_home(tmp_path: Path) -> SmallHome:
    return make_small_home(tmp_path / "home")


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    return make_small_home(tmp_path_factory.mktemp("served") / "home")


@pytest.fixture(scope="session")
def register_two():
    """A function that registers two versions of task `action` in a store and makes the first one champion."""

    def register(store: Store, first: str, second: str, **metrics: float) -> None:
        for number, digest in enumerate((first, second), start=1):
            versions.record(
                store,
                task="action",
                version=number,
                digest=digest,
                snapshot="s",
                test_digest="t",
                verdict="PASSED",
                metrics=metrics,
            )
        promote(store, task="action", version=1, digest=first, expected=None, reason="x")

    return register


@pytest.fixture
def recognizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command in this process in an empty home; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RECOGNIZER_HOME", str(tmp_path / "home"))

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recognizer", *map(str, arguments)])
        from flows.command.main import main

        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture(scope="session")
def free_port():
    """A function that finds a port nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("RECOGNIZER_", "BENTOML_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def make_bad_model():
    """`bad_model`, for tests that cannot import it."""
    return bad_model
