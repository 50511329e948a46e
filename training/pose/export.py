"""From weights to one ONNX file that finds people: decoding and the choice of the surest inside, duplicates included.

`scores` fall along K; what stands for the same person twice is left to whoever reads the answer (non-maximum
suppression has no fixed size, and needs a threshold that a caller may choose).
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import onnx
import torch

from training.action.provenance import forget_source
from training.models.rtmo import Finder, Rtmo, merged

INPUT = "images"
OUTPUTS = ("scores", "boxes", "joints", "visibility")
STRIDE = 32


@dataclass(frozen=True)
class ExportShape:
    """What the graph takes and gives.

    Attributes:
        size: (height, width) of the input in pixels, multiples of 32.
        any_size: other multiples of 32 from 128 to 2048 are taken too; `size` is then only what it is traced with.
        people: K, the most that are answered for one image; each person may be answered several times, so give about
            four times as many as there may be people. Each costs time.
        largest_batch: n is 1 to this.
        opset: of ONNX.

    Raises:
        ValueError: a size that is no multiple of 32.
    """

    size: tuple[int, int] = (256, 256)
    any_size: bool = True
    people: int = 24
    largest_batch: int = 64
    opset: int = 20

    def __post_init__(self) -> None:
        if any(side % STRIDE or side < 2 * STRIDE for side in self.size):
            raise ValueError(f"size {self.size}: give multiples of {STRIDE}, at least {2 * STRIDE}")


def to_onnx(network: Rtmo, shape: ExportShape) -> bytes:
    """The deployed graph; the same weights give the same bytes.

    Takes `images` (n, 3, h, w) float32 in [0, 1], red first; gives `scores` (n, K), `boxes` (n, K, 4) as x1, y1, x2,
    y2, `joints` (n, K, 17, 2) and `visibility` (n, K, 17), places in pixels of the input.
    """
    axes: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=shape.largest_batch)}
    if shape.any_size:
        axes[2] = STRIDE * torch.export.Dim("rows", min=4, max=64)
        axes[3] = STRIDE * torch.export.Dim("columns", min=4, max=64)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # warns that torchvision, which nobody needs, is missing
    with warnings.catch_warnings():
        # Lightning and onnxscript ask torch 2.13 questions in ways that torch has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.onnx.export(
            Finder(merged(network), shape.people).eval(),
            (torch.zeros(2, 3, *shape.size),),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=shape.opset,
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
