"""From weights to one ONNX file: the same weights give the same bytes, on whatever path they lie."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch

from recognizer.skeleton import JOINTS
from recognizer.windows import WindowSpec
from training.action.params import ExportParams
from training.action.stgcn import Scorer, SkeletonNetwork

INPUTS = ("keypoints", "visibility")
OUTPUT = "scores"


def to_onnx(network: SkeletonNetwork, spec: WindowSpec, params: ExportParams) -> bytes:
    """The deployed graph: keypoints (B, M, T, 17, 2) and visibility (B, M, T, 17) to scores (B, K), B dynamic."""
    shape = (2, spec.people, spec.frames, len(JOINTS))
    batch = torch.export.Dim("batch", min=1, max=params.largest_batch)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # warns that torchvision, which nobody needs, is missing
    with warnings.catch_warnings():
        # Lightning and onnxscript ask torch 2.13 questions in ways that torch has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        # Both inputs share one batch axis; that is what is wanted.
        warnings.filterwarnings("ignore", message=".*shares the same shape constraints.*")
        program = torch.onnx.export(
            Scorer(network).eval(),
            (torch.zeros(*shape, 2), torch.ones(shape)),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            opset_version=params.opset,
            dynamic_shapes={name: {0: batch} for name in INPUTS},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_source(model)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _forget_source(model: onnx.ModelProto) -> None:
    """Drop what tells where and by which lines the graph was made: paths of this machine are not the model."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = [*graph.value_info]
        if isinstance(graph, onnx.GraphProto):
            values += [*graph.input, *graph.output, *graph.initializer]
        for part in (*graph.node, *values):
            part.doc_string = ""
            del part.metadata_props[:]
