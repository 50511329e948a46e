"""From weights to one ONNX file: the same weights give the same bytes, on whatever path they lie."""

from __future__ import annotations

import copy
import logging
import warnings

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from recognizer.skeleton import JOINTS
from recognizer.windows import WindowSpec
from training.action.params import ExportParams
from training.action.stgcn import Scorer, SkeletonNetwork
from training.provenance import forget_source

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
            Scorer(_folded(network)).eval(),
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
    forget_source(model)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _folded(network: SkeletonNetwork) -> SkeletonNetwork:
    """A copy for evaluation whose batch norms after a linear layer are part of its weights.

    onnxruntime folds them into convolutions by itself, but sees no linear layer behind a transpose; and 8-bit, each
    would be one more step that is not.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.blocks:
        block.space.weights = fuse_linear_bn_eval(block.space.weights, block.space_norm)
        block.space_norm = nn.Identity()
    return folded
