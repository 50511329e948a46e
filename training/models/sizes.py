"""The sizes of the RTMO network: what a configuration says, and the named ones.

Kept free of torch, so that reading parameters costs nothing.
Source of `t`, `s`, `m`, `l`: Lu et al. 2024, "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose
Estimation", and the configurations published with it. `micro` is our own, for a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class RtmoConfig:
    """Shape of the network.

    Attributes:
        width: factor on the channels of backbone (64 to 1024 at 1), encoder blocks and heads.
        depth: factor on the number of blocks in a row.
        hidden: channels of every level inside the encoder.
        feedforward: channels between the two layers after the attention.
        attention_heads: of the attention over the coarsest level; 0 leaves the attention out.
        activation: SiLU is the reference's; ReLU is what onnxruntime folds into a convolution on a CPU.
        branches: blocks of the encoder are trained as a 3x3 and a 1x1 convolution side by side, deployed as one.
        head_groups: of the convolutions in the pose branch; grouped ones are slow on a CPU.
        pose_convolutions: how many stand in the pose branch of each head; the score branch has two.
        joint_features: channels of one joint in the coordinate classifier.
        encoding: channels of the sine encoding of a bin, half of them cosines.
        bins: of the coordinate classifier, over x and over y.
        joint_attention: joints of one person look at each other before they are placed.
        padding: the bins cover the person's box times this.
        refine: how many times joints are moved by what is seen at them at stride 8; 0 is the reference.
        refine_features: channels that are looked up there.

    Raises:
        ValueError: a shape that cannot be built; says which.
    """

    width: float = 0.25
    depth: float = 0.33
    hidden: int = 128
    feedforward: int = 256
    attention_heads: int = 4
    activation: Literal["relu", "silu"] = "relu"
    branches: bool = False
    head_groups: int = 1
    pose_convolutions: int = 2
    joint_features: int = 64
    encoding: int = 64
    bins: tuple[int, int] = (96, 128)
    joint_attention: bool = True
    padding: float = 1.25
    refine: int = 2
    refine_features: int = 32

    def __post_init__(self) -> None:
        if self.hidden % 4 or (self.attention_heads and self.hidden % self.attention_heads):
            raise ValueError(f"hidden {self.hidden} must be a multiple of 4 and of {self.attention_heads} attention heads")
        if self.encoding % 2 or min(self.bins) < 2:
            raise ValueError(f"encoding {self.encoding} must be even, and bins {self.bins} at least 2")
        if min(self.width, self.depth, self.padding) <= 0 or self.refine < 0 or self.pose_convolutions < 1:
            raise ValueError("width, depth, padding and pose_convolutions must be positive, refine not negative")

    def channels(self, base: int) -> int:
        """What `base` channels at width 1 are here."""
        return int(base * self.width)

    def blocks(self, base: int) -> int:
        """What `base` blocks in a row at depth 1 are here."""
        return max(1, round(base * self.depth))

    @property
    def score_width(self) -> int:
        return self.channels(256)

    @property
    def pose_width(self) -> int:
        """Each of the reference's 8 groups has 36 channels at width 1; without groups, what suits a CPU's vectors."""
        return self.head_groups * self.channels(36) if self.head_groups > 1 else self.channels(256)

    @property
    def vector(self) -> int:
        """Channels of the pose vector of one anchor."""
        return self.channels(512)


def _reference(width: float, depth: float) -> RtmoConfig:
    return RtmoConfig(
        width=width,
        depth=depth,
        hidden=256,
        feedforward=1024,
        attention_heads=8,
        activation="silu",
        branches=True,
        head_groups=8,
        pose_convolutions=4,
        joint_features=128,
        encoding=128,
        bins=(192, 256),
        refine=0,
    )


SIZES = MappingProxyType(
    {
        "micro": RtmoConfig(),
        "t": _reference(0.375, 0.33),
        "s": _reference(0.5, 0.33),
        "m": _reference(0.75, 0.67),
        "l": _reference(1.0, 1.0),
    }
)
"""micro for frames of 256 to 320 pixels, t for 416, s, m and l for 640."""
