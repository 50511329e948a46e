"""What `params.yaml` says under `prepare`, `train` and `export` for the task `action`.

Kept free of torch, so that reading parameters (`recognizer tasks`, the training identity) costs nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from training.params import Positive, Section, Share, Warmed
from training.precision import Precision


class PrepareParams(Section):
    """Size of the window that the network sees.

    `validation_share` and `contract` stand in the same section for those who come before the trainer: the cut into
    sets at ingest and the data contract.
    """

    validation_share: Share = 0.2
    contract: dict[str, Any] = Field(default_factory=dict)
    frames: int = Field(default=100, ge=1, le=1000)
    people: int = Field(default=4, ge=1, le=16)


class NetworkParams(Section):
    """Shape of the ST-GCN; one entry of `channels` and `strides` per block (strides are over time)."""

    channels: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1)
    kernel: int = Field(default=9, ge=1)
    dropout: Share = 0.0
    head_dropout: Share = 0.3

    @model_validator(mode="after")
    def _fits(self) -> NetworkParams:
        if not self.channels or len(self.channels) != len(self.strides):
            raise ValueError(
                f"{len(self.channels)} channels and {len(self.strides)} strides: give one of each per block"
            )
        if min(*self.channels, *self.strides) < 1 or self.kernel % 2 == 0:
            raise ValueError("channels and strides must be at least 1 and the kernel odd")
        return self


class AugmentParams(Section):
    """Random changes to training clips; 0 turns one off. Body units are torso lengths."""

    crop: Share = Field(default=0.0, description="share of clips that are cut to a random stretch of time")
    shortest: Share = Field(default=0.4, description="the shortest stretch, as a share of the clip")
    flip: Share = Field(default=0.0, description="share of clips mirrored, left and right joints swapped")
    rotation: float = Field(default=0.0, ge=0, le=180, description="turn in the picture, degrees either way")
    scale: Share = Field(default=0.0, description="size, up to this share larger or smaller")
    stretch: Share = Field(default=0.0, description="height against width, up to this share more or less")
    shear: Share = Field(default=0.0, description="slant, up to this much along each axis")
    shift: float = Field(default=0.0, ge=0, description="place, body units either way")
    noise: float = Field(default=0.0, ge=0, description="standard deviation of each joint, body units")
    hide: Share = Field(default=0.0, description="share of clips in which a random joint is hidden all the time")
    blink: Share = Field(default=0.0, description="share of single joints hidden in single frames")


class TrainParams(Warmed):
    """How the network is fitted."""

    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, ge=1)
    precision: Precision = "auto"
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=32, ge=2)
    learning_rate: Positive = 3e-3
    weight_decay: float = Field(default=0.05, ge=0)
    label_smoothing: Share = 0.1
    warm_up: Share = 0.2
    average: Share = 0.98
    patience: int = Field(default=10, ge=1)
    network: NetworkParams = NetworkParams()
    augment: AugmentParams = AugmentParams()


class ExportParams(Section):
    """How the network becomes ONNX."""

    opset: int = Field(default=20, ge=18)
    largest_batch: int = Field(default=64, ge=2)
    int8: bool = Field(default=False, description="whether an 8-bit form is made besides")
