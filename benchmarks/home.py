"""A home with packages to swap: tiny ones, as the tests use, or models of a night."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from recognizer.home import checkout
from recognizer.package import PackageCard
from recognizer.store import Store, versions
from recognizer.store.served import Champion, promote, read_served
from recognizer.traffic import Sent

MEGABYTES = 100


def _small() -> ModuleType:
    """The tests' own packages: what is measured here is what is tested there."""
    name = "recognizer_small_home"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, checkout() / "tests" / "behaviour" / "conftest.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Shelf:
    """A home and its versions, numbered from 1.

    Args:
        root: the home's folder.
        models: folders with `model.onnx` and `package.json`, used in turn; without them tiny models are.
    """

    def __init__(self, root: Path, models: Sequence[Path] = ()) -> None:
        self._small = _small().make_small_home(root)
        self._models = list(models)
        self.home = self._small.home
        self.url: str = self._small.url

    @property
    def digests(self) -> dict[int, str]:
        return self._small.digests  # type: ignore[no-any-return]

    def add(self, *, model: onnx.ModelProto | None = None, store: Store) -> int:
        """Package, bless and register a version; by default a good one."""
        version = max(self.digests, default=0) + 1
        if model is None and self._models:
            return self._add(version, *self._given(version), store)
        return self._add(version, model, {}, store)

    def _given(self, version: int) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """One of the models that were given, and what its card says of it."""
        folder = self._models[version % len(self._models)]
        known = PackageCard.model_validate(json.loads((folder / "package.json").read_text()))
        card = {name: getattr(known, name) for name in ("classes", "inputs", "outputs", "preprocessing")}
        return onnx.load(folder / "model.onnx"), card

    def _add(self, version: int, model: onnx.ModelProto | None, card: dict[str, Any], store: Store) -> int:
        self._small.package(version, model, **card)
        self._small.bless(version)
        versions.record(
            store,
            task="action",
            version=version,
            digest=self.digests[version],
            snapshot="0" * 64,
            test_digest="1" * 64,
            verdict="PASSED",
            metrics={},
        )
        return version

    def bad(self, kind: str, store: Store) -> int:
        """A version that passes its warm-up and misbehaves on requests; see `bad_model` of the tests."""
        return self.add(model=_small().bad_model(kind), store=store)

    def large(self, store: Store) -> int:
        """A version of 100 MB that answers as fast as a small one."""
        version = max(self.digests, default=0) + 1
        model, card = self._given(version) if self._models else (_small().tiny_model([0.0, 4.0, 0.0]), {})
        return self._add(version, large_model(model, version), card, store)

    def promote(self, version: int, store: Store) -> Champion:
        """Make it champion, whatever it is worth."""
        before = read_served(store).champions.get("action")
        return promote(
            store,
            task="action",
            version=version,
            digest=self.digests[version],
            expected=before.digest if before else None,
            reason="benchmark",
        )


def large_model(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The model with a table of 100 MB, of which each request reads one row."""
    graph, wide = model.graph, 1000
    rows = MEGABYTES * 2**20 // 4 // wide
    random = np.random.default_rng(seed)
    (last,) = [node for node in graph.node if node.output[0] == "scores"]
    last.output[0] = "answer"
    graph.initializer.extend(
        [
            numpy_helper.from_array(random.random((rows, wide), dtype=np.float32), "table"),
            numpy_helper.from_array(np.array(0.0, np.float32), "nought"),
        ]
    )
    node = helper.make_node
    graph.node.extend(
        [
            node("ReduceMax", ["visibility"], ["sure"], keepdims=0),
            node("Mul", ["sure", "nought"], ["first"]),  # the row is known when a request is there, not before
            node("Cast", ["first"], ["row"], to=TensorProto.INT64),
            node("Gather", ["table", "row"], ["read"], axis=0),
            node("ReduceMean", ["read"], ["mean_read"], keepdims=0),
            node("Mul", ["mean_read", "nought"], ["nothing"]),
            node("Add", ["answer", "nothing"], ["scores"]),
        ]
    )
    return model


def sure_window() -> Sent:
    """One in which every joint is seen for sure: what bad models fail on."""
    return _window(1.0)


def unsure_window() -> Sent:
    """One that they answer."""
    return _window(0.9)


def _window(visibility: float) -> Sent:
    keypoints = np.random.default_rng(0).uniform(1, 500, (1, 30, 17, 3)).astype(np.float32)
    keypoints[..., 2] = visibility
    file = io.BytesIO()
    np.save(file, keypoints)
    return Sent(file.getvalue(), None)
