"""What `params.yaml` says under `prepare`, `train` and `export` for the task `pose`.

Kept free of torch, so that reading parameters (`recognizer tasks`, the training identity) costs nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training.models.sizes import SIZES
from training.params import Positive, Section, Share, Warmed
from training.precision import Precision

STRIDE = 32
Factor = Annotated[float, Field(gt=0, le=10)]


class PrepareParams(Section):
    """Size of the network's input.

    `validation_share` and `contract` stand in the same section for those who come before the trainer: the cut into
    sets at ingest and the data contract.
    """

    validation_share: Share = 0.1
    contract: dict[str, Any] = Field(default_factory=dict)
    height: int = Field(default=256, ge=2 * STRIDE, le=2048, multiple_of=STRIDE)
    width: int = Field(default=256, ge=2 * STRIDE, le=2048, multiple_of=STRIDE)


class AugmentParams(Section):
    """Random changes to training pictures; 0 (or factors of 1) turns one off."""

    flip: Share = Field(default=0.5, description="share of pictures mirrored, left and right joints swapped")
    rotation: float = Field(
        default=0.0, ge=0, le=180, description="degrees either way, of pictures that are not put together"
    )
    scale: tuple[Factor, Factor] = Field(default=(1.0, 1.0), description="size, from and to")
    shift: Share = Field(
        default=0.0, description="up to this share of the side either way, of pictures that are not put together"
    )
    colour: Share = Field(default=0.0, description="standard deviation of the logarithm of the brightness")
    mosaic: Share = Field(default=0.0, description="share of pictures put together of two or four")
    mosaic_scale: tuple[Factor, Factor] = Field(
        default=(0.7, 1.1),
        description="the most of its place that somebody's box may take, of whom it is of; what is over 1 is cut",
    )
    mixup: Share = Field(default=0.0, description="share of pictures that are the mean of two")

    @model_validator(mode="after")
    def _in_order(self) -> AugmentParams:
        if self.scale[0] > self.scale[1] or self.mosaic_scale[0] > self.mosaic_scale[1]:
            raise ValueError(f"scale {self.scale} or mosaic_scale {self.mosaic_scale}: give from and to")
        return self


class LossParams(Section):
    """Weights of the losses.

    Attributes:
        score: varifocal, over all anchors, per positive one.
        box: 1 - IoU^2.
        proxy: 1 - OKS of the joints that anchors tell directly, by which they are chosen.
        bins: negative log-likelihood of the coordinate classifier.
        maps: negative log-likelihood of the instance maps, mean of both looks; nothing for a network without refiner.
        oks: 1 - OKS of the refiner's guesses; nothing for a network without refiner.
        distance: logarithm of the distance of those guesses and of the direct ones: it still pulls where OKS is flat.
        heat: focal, of the maps of joints that can be seen, which are only there in training. Labels that call every
            joint hidden teach them nothing.
        visibility: binary cross-entropy; 1 is a joint that can be seen, 0 one that something hides.
        hidden: how much a hidden joint teaches bins, maps and distance, where one that can be seen teaches 1.
        power: the target of a score is the OKS its joints reach to this power.
        unlabelled_is_hidden: joints without label teach visibility 0; off, they teach nothing.
    """

    score: Positive = 1.0
    box: Positive = 5.0
    proxy: Positive = 10.0
    bins: Positive = 1.0
    maps: Positive = 1.0
    oks: Positive = 5.0
    distance: Positive = 1.0
    heat: Positive = 1.0
    visibility: Positive = 1.0
    hidden: float = Field(default=1.0, gt=0, le=1)
    power: Positive = 0.5
    unlabelled_is_hidden: bool = False


class TrainParams(Warmed):
    """How the network is fitted."""

    size: str = Field(default="micro", description="of the network, see training/models/sizes.py")
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, ge=1)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=0, ge=0, description="0 is all GPUs there are, and one process on the CPU")
    precision: Precision = "auto"
    epochs: int = Field(default=6, ge=1)
    batch: int = Field(default=32, ge=2)
    learning_rate: Positive = 0.02
    weight_decay: float = Field(default=0.05, ge=0)
    warm_up: Share = 0.1
    average: Share = 0.998
    largest_gradient: Positive = 10.0
    plain_epochs: int = Field(default=2, ge=0, description="last epochs, in which pictures are not put together")
    people: int = Field(
        default=24,
        ge=1,
        le=1000,
        description="the most that are answered for one picture; each person may be answered several times, so give "
        "about four times as many as there may be people. Each costs time",
    )
    loss: LossParams = LossParams()
    augment: AugmentParams = AugmentParams()

    @model_validator(mode="after")
    def _known(self) -> TrainParams:
        if self.size not in SIZES:
            raise ValueError(f"no size {self.size!r}: use one of {', '.join(SIZES)}")
        return self


class ExportParams(Section):
    """How the network becomes ONNX."""

    opset: int = Field(default=20, ge=18)
    largest_batch: int = Field(default=64, ge=2)
    any_size: bool = Field(default=True, description="other multiples of 32 from 128 to 2048 are taken too")
