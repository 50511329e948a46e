"""From weights to one ONNX file that finds people: decoding and the choice of the surest inside, duplicates included.

Candidates come in the order of their anchors' scores, so `scores`, which also say how well joints are placed, need not
fall. What stands for the same person twice is left to whoever reads the answer (suppression has no fixed size, and
needs a threshold that a caller may choose).
"""

from __future__ import annotations

import logging
import warnings

import onnx
import torch

from training.models.rtmo import Finder, merged
from training.pose.params import STRIDE, ExportParams
from training.pose.weights import Weights
from training.provenance import forget_source

INPUT = "images"
SMALLEST, LARGEST = 128, 2048
"""Pixels of a side that a graph of any size takes."""
OUTPUTS = ("scores", "boxes", "joints", "visibility")


def to_onnx(weights: Weights, params: ExportParams) -> bytes:
    """The deployed graph; the same weights give the same bytes.

    Takes `images` (n, 3, h, w) float32 in [0, 1], red first; gives `scores` (n, K), `boxes` (n, K, 4) as x1, y1, x2,
    y2, `joints` (n, K, 17, 2) and `visibility` (n, K, 17), places in pixels of the input.
    """
    traced = [max(side, SMALLEST) if params.any_size else side for side in weights.spec.size]
    axes: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=params.largest_batch)}
    if params.any_size:
        axes[2] = STRIDE * torch.export.Dim("rows", min=SMALLEST // STRIDE, max=LARGEST // STRIDE)
        axes[3] = STRIDE * torch.export.Dim("columns", min=SMALLEST // STRIDE, max=LARGEST // STRIDE)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # warns that torchvision, which nobody needs, is missing
    with warnings.catch_warnings():
        # Lightning and onnxscript ask torch 2.13 questions in ways that torch has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.onnx.export(
            Finder(merged(weights.network), weights.people).eval(),
            (torch.zeros(2, 3, *traced),),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=params.opset,
            dynamic_shapes={INPUT: axes},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    forget_source(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
