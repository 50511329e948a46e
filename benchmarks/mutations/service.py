"""Faults that show in the real service alone: the candidate passes everything that is measured offline.

What sets them off is found in no test case and in some training windows, which are what the sandbox sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from benchmarks.mutations import surgery
from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusal_by, refusals_of
from recognizer.windows import WindowSpec, to_windows

GROUP = "service"
REQUESTS = 350
"""Every training window once; the sound night answers as many as are configured."""
MOST = 8
"""Training windows that may set one off: each stalls for seconds, offline too."""


def rare(night: Night) -> tuple[float, float]:
    """Bounds of tickets that no test case and no golden case draws, and most training windows, but at most `MOST`."""
    spec = WindowSpec.from_dict(night.description["preprocessing"])
    test, train = (
        np.unique(surgery.tickets(to_windows(night.sets[name].sequences, spec)[1])) for name in ("test", "train")
    )
    every = surgery.tickets(to_windows(night.sets["train"].sequences, spec)[1])
    edges = [-1.0, *test.tolist(), surgery.MODULUS]
    gaps = [(low, high) for low, high in pairwise(edges) if ((train > low) & (train < high)).any()]
    counts = [min(int(((every > low) & (every < high)).sum()), MOST) for low, high in gaps]
    low, high = gaps[int(np.argmax(counts))]
    inside = np.sort(every[(every > low) & (every < high)])
    return low, float(inside[MOST]) if len(inside) > MOST else high


def set_off(
    model: onnx.ModelProto, bounds: tuple[float, float], tail: Sequence[NodeProto], **constants: Any
) -> onnx.ModelProto:
    """Nodes from `answer` and `fire` (whole number: cases that set it off) to `scores`."""
    nodes = [
        *surgery.ticket(),
        surgery.node("Greater", ["ticket", "low"], ["above"]),
        surgery.node("Less", ["ticket", "high"], ["below"]),
        surgery.node("And", ["above", "below"], ["each"]),
        surgery.node("Cast", ["each"], ["each64"], to=TensorProto.INT64),
        surgery.node("ReduceSum", ["each64"], ["fire"], keepdims=0),
        *tail,
    ]
    found = {"low": np.float32(bounds[0]), "high": np.float32(bounds[1])}
    return surgery.with_answer(model, nodes, **surgery.ticket_constants(), **found, **constants)


def raising(model: onnx.ModelProto, bounds: tuple[float, float]) -> onnx.ModelProto:
    """Takes a row that is not there."""
    tail = [
        surgery.node("Mul", ["fire", "beyond"], ["row"]),
        surgery.node("Gather", ["answer", "row"], ["absent"], axis=0),
        *surgery.add_nothing("absent"),
    ]
    return set_off(model, bounds, tail, beyond=np.int64(10**6), **surgery.nil())


def stalling(
    model: onnx.ModelProto, bounds: tuple[float, float], turns: int = 3000, side: int = 384
) -> onnx.ModelProto:
    """Multiplies matrices for seconds: more than the service waits for an answer."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            surgery.node("MatMul", ["value", "value"], ["square"]),
            surgery.node("Tanh", ["square"], ["next"]),
            surgery.node("Identity", ["going"], ["on"]),
        ],
        "turn",
        [
            value("turn", TensorProto.INT64, ()),
            value("going", TensorProto.BOOL, ()),
            value("value", TensorProto.FLOAT, (side, side)),
        ],
        [value("on", TensorProto.BOOL, ()), value("next", TensorProto.FLOAT, (side, side))],
    )
    tail = [
        surgery.node("Mul", ["fire", "turns"], ["repeats"]),
        surgery.node("ReduceMean", ["answer"], ["one"], keepdims=0),
        surgery.node("Expand", ["one", "sides"], ["start"]),
        surgery.node("Loop", ["repeats", "", "start"], ["end"], body=body),
        *surgery.add_nothing("end"),
    ]
    return set_off(model, bounds, tail, turns=np.int64(turns), sides=np.array([side, side]), **surgery.nil())


def allocating(model: onnx.ModelProto, bounds: tuple[float, float], megabytes: int = 2560) -> onnx.ModelProto:
    """Takes more memory than a process of the service may have, and gives it back."""
    tail = [
        surgery.node("Mul", ["fire", "room"], ["size"]),
        surgery.node("Add", ["size", "single"], ["length"]),
        surgery.node("ConstantOfShape", ["length"], ["held"]),
        *surgery.add_nothing("held"),
    ]
    room = np.array([megabytes * 2**20 // 4])
    return set_off(model, bounds, tail, room=room, single=np.array([1]), **surgery.nil())


def _in_service(
    name: str, done: str, check: str | None, change: Callable[[onnx.ModelProto, tuple[float, float]], onnx.ModelProto]
) -> Fault:
    def judge(night: Night) -> list[Refusal]:
        exported = night.export_of(name.replace(" ", "-"), change(night.model, rare(night)))
        return _tried(night, exported)

    return Fault(name, GROUP, done, "infra", judge, check)


def _tried(night: Night, exported: Any, **given: Any) -> list[Refusal]:
    found: list[Refusal] = []

    def act() -> None:
        few = {"infra": {"requests": REQUESTS}}
        found.extend(refusals_of(judged(night, exported, config=few, without=("budgets",), **given)))

    # what the sandbox raises ends the night: that is a "no" of its own
    return refusal_by("infra", act) or found


def _reordered(night: Night) -> tuple[str, ...]:
    return (*night.classes[1:], night.classes[0])


def _reordered_card(night: Night) -> list[Refusal]:
    return _tried(night, night.exported, card=night.card(classes=_reordered(night)))


def _reordered_export(night: Night) -> list[Refusal]:
    classes = _reordered(night)
    return _tried(night, night.export_of("reordered", classes=list(classes)), card=night.card(classes=classes))


FAULTS = (
    _in_service("raises on some requests", "fails on a few training windows, on no test case", None, raising),
    _in_service("stalls on some requests", "takes seconds for a few training windows", "failed", stalling),
    _in_service("takes memory in service", "takes 2.5 GB for a few training windows", "failed", allocating),
    Fault(
        "classes renamed after evaluation",
        GROUP,
        "the package's card names the classes in another order than the evaluation did",
        "infra",
        _reordered_card,
        "same_answer",
    ),
    Fault(
        "classes in another order than trained",
        GROUP,
        "the exported model names its classes in another order",
        "absolute",
        _reordered_export,
    ),
)
