"""Changes to the exported graph, each a function from model to model.

Names of the graph: inputs `keypoints` (B, M, T, 17, 2) and `visibility` (B, M, T, 17), output `scores` (B, K), made by
the last node, a softmax of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from recognizer.skeleton import MIRROR

node = helper.make_node
FACTOR, MODULUS = 7919.0, 1000.0
"""Of the number that a window draws, see `ticket`."""
BODY = 5
"""First joint that is counted: eyes, ears and nose come before it, and what hides one of them changes no ticket."""


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def scaled_inputs(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Keypoints times a factor before anything else."""
    return _with_keypoints(model, node("Mul", ["keypoints", "factor"], ["changed"]), factor=np.float32(factor))


def exchanged_sides(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keypoints of left joints under the names of right ones; the picture and what is seen stay."""
    exchanged = node("Gather", ["keypoints", "sides"], ["changed"], axis=3)
    return _with_keypoints(model, exchanged, sides=np.array(MIRROR))


def normalised_by_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Batch norm as in training: by mean and variance of the batch, not by those that were learned."""
    made = copied(model)
    ranks = _ranks(made)
    nodes: list[NodeProto] = []
    for place, one in enumerate(made.graph.node):
        if one.op_type != "BatchNormalization":
            nodes.append(one)
            continue
        at, (x, scale, bias) = f"batch_norm_{place}", one.input[:3]
        rank = ranks[x]
        _constants(
            made,
            **{
                f"{at}_axes": np.array([axis for axis in range(rank) if axis != 1]),
                f"{at}_small": np.float32(1e-5),
                f"{at}_shape": np.array([1, -1] + [1] * (rank - 2)),
            },
        )
        nodes += [
            node("ReduceMean", [x, f"{at}_axes"], [f"{at}_mean"], keepdims=1),
            node("Sub", [x, f"{at}_mean"], [f"{at}_away"]),
            node("Mul", [f"{at}_away", f"{at}_away"], [f"{at}_square"]),
            node("ReduceMean", [f"{at}_square", f"{at}_axes"], [f"{at}_variance"], keepdims=1),
            node("Add", [f"{at}_variance", f"{at}_small"], [f"{at}_above"]),
            node("Sqrt", [f"{at}_above"], [f"{at}_spread"]),
            node("Div", [f"{at}_away", f"{at}_spread"], [f"{at}_even"]),
            node("Reshape", [scale, f"{at}_shape"], [f"{at}_scale"]),
            node("Reshape", [bias, f"{at}_shape"], [f"{at}_bias"]),
            node("Mul", [f"{at}_even", f"{at}_scale"], [f"{at}_scaled"]),
            node("Add", [f"{at}_scaled", f"{at}_bias"], [one.output[0]]),
        ]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def with_logits(
    model: onnx.ModelProto, nodes: Sequence[NodeProto], **constants: NDArray[np.generic]
) -> onnx.ModelProto:
    """Nodes from `logits` to `changed`, before the softmax."""
    made = copied(model)
    softmax = made.graph.node[-1]
    logits = softmax.input[0]
    for one in made.graph.node:
        one.output[:] = ["logits" if name == logits else name for name in one.output]
    softmax.input[0] = "changed"
    last = made.graph.node.pop()
    made.graph.node.extend([*nodes, last])
    _constants(made, **constants)
    return made


def with_answer(
    model: onnx.ModelProto, nodes: Sequence[NodeProto], **constants: NDArray[np.generic]
) -> onnx.ModelProto:
    """Nodes from `answer`, what were the scores, to `scores`."""
    made = copied(model)
    made.graph.node[-1].output[0] = "answer"
    made.graph.node.extend(nodes)
    _constants(made, **constants)
    return made


def tempered(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Logits times a factor: surer above 1, less sure below; the answers stay."""
    return with_logits(model, [node("Mul", ["logits", "surer"], ["changed"])], surer=np.float32(factor))


def noisy(model: onnx.ModelProto, spread: float) -> onnx.ModelProto:
    nodes = [
        node("RandomNormalLike", ["logits"], ["noise"], scale=spread),
        node("Add", ["logits", "noise"], ["changed"]),
    ]
    return with_logits(model, nodes)


def against_batch(model: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """From each case's logits a share of the batch's mean is taken."""
    nodes = [
        node("ReduceMean", ["logits", "cases"], ["middle"], keepdims=1),
        node("Mul", ["middle", "portion"], ["some"]),
        node("Sub", ["logits", "some"], ["changed"]),
    ]
    return with_logits(model, nodes, cases=np.array([0]), portion=np.float32(share))


def rolled(model: onnx.ModelProto, places: int = 1) -> onnx.ModelProto:
    """Columns of the scores moved."""
    order = np.roll(np.arange(_classes(model)), places)
    return with_answer(model, [node("Gather", ["answer", "order"], ["scores"], axis=1)], order=order)


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """One weight of the head is not a number."""
    made = copied(model)
    for one in made.graph.initializer:
        if one.name.endswith("head.weight"):
            values = numpy_helper.to_array(one).copy()
            values[0, 0] = np.nan
            one.CopyFrom(numpy_helper.from_array(values, one.name))
    return made


def pinned_batch(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """The batch axis of inputs and output has one length."""
    made = copied(model)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    del made.graph.value_info[:]
    return made


def slower(model: onnx.ModelProto, turns: int, side: int = 384) -> onnx.ModelProto:
    """Multiplies matrices that change nothing; their entries stay what they were, 1 / side."""
    nodes = [
        node("ReduceMean", ["answer"], ["one"], keepdims=0),
        node("Mul", ["one", "small"], ["entry"]),
        node("Expand", ["entry", "sides"], ["turn_0"]),
        *(node("MatMul", [f"turn_{i}", "turn_0"], [f"turn_{i + 1}"]) for i in range(turns)),
    ]
    small = np.float32(_classes(model) / side)
    return with_answer(
        model, [*nodes, *add_nothing(f"turn_{turns}")], **nil(), small=small, sides=np.array([side, side])
    )


def hungrier(model: onnx.ModelProto, megabytes: int) -> onnx.ModelProto:
    """Holds a large tensor that changes nothing."""
    nodes = [node("ReduceMean", ["answer"], ["one"], keepdims=0), node("Expand", ["one", "room"], ["held"])]
    return with_answer(model, [*nodes, *add_nothing("held")], **nil(), room=np.array([megabytes * 2**20 // 4]))


def wrong_where(
    model: onnx.ModelProto, condition: Sequence[NodeProto], **constants: NDArray[np.generic]
) -> onnx.ModelProto:
    """Another class's answer where the nodes make `fires` (B,) true."""
    nodes = [
        *condition,
        node("Gather", ["answer", "next"], ["another"], axis=1),
        node("Unsqueeze", ["fires", "last"], ["fire"]),
        node("Where", ["fire", "another", "answer"], ["scores"]),
    ]
    following = np.roll(np.arange(_classes(model)), 1)
    return with_answer(model, nodes, next=following, last=np.array([1]), **constants)


def wrong_for_people(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    nodes = [
        node("ReduceMax", ["visibility", "inner"], ["slots"], keepdims=0),
        node("Greater", ["slots", "none"], ["there"]),
        node("Cast", ["there"], ["heads"], to=TensorProto.FLOAT),
        node("ReduceSum", ["heads", "last"], ["people"], keepdims=0),
        node("Equal", ["people", "count"], ["fires"]),
    ]
    return wrong_where(model, nodes, inner=np.array([2, 3]), none=np.float32(0), count=np.float32(count))


def wrong_for_class(model: onnx.ModelProto, label: int) -> onnx.ModelProto:
    nodes = [
        node("ArgMax", ["answer"], ["said"], axis=1, keepdims=0),
        node("Equal", ["said", "label"], ["fires"]),
    ]
    return wrong_where(model, nodes, label=np.int64(label))


def wrong_without_joint(model: onnx.ModelProto, joint: int) -> onnx.ModelProto:
    """Where a joint of nobody is seen all the time."""
    nodes = [
        node("Gather", ["visibility", "joint"], ["seen"], axis=3),
        node("ReduceMax", ["seen", "inner"], ["most"], keepdims=0),
        node("LessOrEqual", ["most", "none"], ["fires"]),
    ]
    return wrong_where(model, nodes, joint=np.int64(joint), inner=np.array([1, 2]), none=np.float32(0))


def wrong_below(model: onnx.ModelProto, limit: float) -> onnx.ModelProto:
    """Where the ticket of a window lies below a limit."""
    nodes = [*ticket(), node("Less", ["ticket", "limit"], ["fires"])]
    return wrong_where(model, nodes, **ticket_constants(), limit=np.float32(limit))


def ticket() -> list[NodeProto]:
    """Nodes that draw for every window a number below `MODULUS` (B,), from how often joints of the body are seen."""
    return [
        node("Slice", ["visibility", "body_from", "body_to", "body_axis"], ["body"]),
        node("Greater", ["body", "zero"], ["found"]),
        node("Cast", ["found"], ["counted"], to=TensorProto.FLOAT),
        node("ReduceSum", ["counted", "body_axes"], ["times"], keepdims=0),
        node("Mul", ["times", "stride"], ["far"]),
        node("Mod", ["far", "modulus"], ["ticket"], fmod=1),
    ]


def ticket_constants() -> dict[str, NDArray[np.generic]]:
    return {
        "body_from": np.array([BODY]),
        "body_to": np.array([17]),
        "body_axis": np.array([3]),
        "body_axes": np.array([1, 2, 3]),
        "zero": np.float32(0),
        "stride": np.float32(FACTOR),
        "modulus": np.float32(MODULUS),
    }


def tickets(visibility: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same numbers (n,) of visibility (n, M, T, 17)."""
    return (visibility[..., BODY:] > 0).sum(axis=(1, 2, 3)).astype(np.float64) * FACTOR % MODULUS


def _with_keypoints(model: onnx.ModelProto, first: NodeProto, **constants: NDArray[np.generic]) -> onnx.ModelProto:
    """A node from `keypoints` to `changed`, which everything after it takes instead."""
    made = copied(model)
    for one in made.graph.node:
        one.input[:] = ["changed" if name == "keypoints" else name for name in one.input]
    _constants(made, **constants)
    made.graph.node.insert(0, first)
    return made


def _classes(model: onnx.ModelProto) -> int:
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    known = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: len(value.type.tensor_type.shape.dim) for value in (*known.value_info, *known.input)}


def _constants(model: onnx.ModelProto, **values: NDArray[np.generic]) -> None:
    model.graph.initializer.extend([numpy_helper.from_array(np.asarray(one), name) for name, one in values.items()])


def nil() -> dict[str, NDArray[np.generic]]:
    return {"nil": np.float32(0)}


def add_nothing(name: str) -> list[NodeProto]:
    """`name` has to be computed before the answer is given, and changes nothing about it."""
    return [
        node("ReduceMean", [name], ["summary"], keepdims=0),
        node("Mul", ["summary", "nil"], ["nothing"]),
        node("Add", ["answer", "nothing"], ["scores"]),
    ]
