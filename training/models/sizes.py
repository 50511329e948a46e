"""The sizes of the RTMO network: what a configuration says, and the named ones.

Kept free of torch, so that reading parameters costs nothing.
Source of `t`, `s`, `m`, `l`: Lu et al. 2024, "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose
Estimation", and the configurations published with it. `micro` is our own, for a CPU: without the
attentions and with one convolution a block, which makes it faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class RtmoConfig:
    """Shape of the network.

    Attributes:
        width: factor on the channels of backbone (64 to 1024 at 1) and heads (256).
        stem: width of the first convolution in pixels, 6 or 3; the reference's is one of 6.
        blocks: of each of the backbone's four stages; 0 leaves only the convolution that halves the size.
        kernels: sides of the convolutions of one of these blocks; the reference's are 1 and 3.
        pyramid: whether the coarsest stage pools over growing places, as the reference does before its attention.
        hidden: channels of the levels at strides 16 and 32 inside the encoder.
        fine: channels of the level at stride 8 there.
        inner: channels of the encoder's blocks.
        inner_blocks: of each fusion of two levels.
        stride_groups: of the encoder's convolutions that halve the size.
        feedforward: channels between the two layers after the attention.
        attention_heads: of the attention over the coarsest level; 0 leaves the attention out.
        activation: SiLU is the reference's; ReLU is what onnxruntime folds into a convolution on a CPU.
        branches: blocks of the encoder are trained as a 3x3 and a 1x1 convolution side by side, deployed as one.
        score_convolutions: how many stand in the score branch of each head.
        pose_convolutions: how many stand in the pose branch.
        head_groups: of those but the first.
        pose_width: channels of the pose branch.
        joint_features: channels of one joint in the coordinate classifier.
        encoding: channels of the sine encoding of a bin, half of them cosines.
        bins: of the coordinate classifier, over x and over y.
        joint_expansion: joints of one person look at each other before they are placed, with this many times
            joint_features; 0 leaves that out.
        padding: the bins cover the person's box times this.
        refine: how many times joints, looked for among all cells at stride 8, are moved by what is seen at them there;
            0 is the reference, which does neither and uses none of what follows.
        region: rows and columns of places in a person's box; by what is seen there its joints are looked for.
        region_features: channels that are looked up there, and for a second look at the joints.
        region_inner: channels that all that is seen of one person becomes in between, in each of both.
        map_features: channels in which a joint asks cells whether it is there.
        refine_features: channels that are looked up around each joint.

    Raises:
        ValueError: a shape that cannot be built; says which.
    """

    width: float = 0.25
    stem: Literal[3, 6] = 3
    blocks: tuple[int, int, int, int] = (0, 3, 3, 2)
    kernels: tuple[int, ...] = (3,)
    pyramid: bool = False
    hidden: int = 128
    fine: int = 64
    inner: int = 64
    inner_blocks: int = 2
    stride_groups: int = 4
    feedforward: int = 640
    attention_heads: int = 0
    activation: Literal["relu", "silu"] = "relu"
    branches: bool = False
    score_convolutions: int = 1
    pose_convolutions: int = 2
    head_groups: int = 1
    pose_width: int = 128
    joint_features: int = 64
    encoding: int = 32
    bins: tuple[int, int] = (96, 128)
    joint_expansion: int = 0
    padding: float = 1.25
    refine: int = 1
    region: tuple[int, int] = (7, 5)
    region_features: int = 32
    region_inner: int = 192
    map_features: int = 48
    refine_features: int = 32

    def __post_init__(self) -> None:
        if self.hidden % 4 or (self.attention_heads and self.hidden % self.attention_heads):
            raise ValueError(
                f"hidden {self.hidden} must be a multiple of 4 and of attention_heads {self.attention_heads}"
            )
        if self.encoding % 2 or min(self.bins) < 2:
            raise ValueError(f"encoding {self.encoding} must be even, and bins {self.bins} at least 2")
        if min(self.width, self.padding, self.score_convolutions, self.pose_convolutions) <= 0:
            raise ValueError("width, padding, score_convolutions and pose_convolutions must be positive")
        if min(*self.blocks, self.inner_blocks, self.joint_expansion, self.refine) < 0:
            raise ValueError("blocks, inner_blocks, joint_expansion and refine must not be negative")
        if not self.kernels or any(side < 1 or side % 2 == 0 for side in self.kernels):
            raise ValueError(f"kernels {self.kernels} must be odd, and one at least")
        least = min(*self.region, self.region_features, self.region_inner, self.map_features, self.refine_features)
        if self.refine and least < 1:
            raise ValueError(
                "region, its channels, map_features and refine_features must be at least 1 where refine is"
            )

    def channels(self, base: int) -> int:
        """What `base` channels at width 1 are here."""
        return int(base * self.width)

    @property
    def score_width(self) -> int:
        return self.channels(256)

    @property
    def vector(self) -> int:
        """Channels of the pose vector of one anchor."""
        return self.channels(512)


def _reference(width: float, depth: float) -> RtmoConfig:
    def deep(blocks: int) -> int:
        return round(blocks * depth)

    return RtmoConfig(
        width=width,
        stem=6,
        blocks=(deep(3), deep(9), deep(9), deep(3)),
        kernels=(1, 3),
        pyramid=True,
        hidden=256,
        fine=256,
        inner=int(256 * width),
        inner_blocks=deep(3),
        stride_groups=1,
        feedforward=1024,
        attention_heads=8,
        activation="silu",
        branches=True,
        score_convolutions=2,
        pose_convolutions=4,
        head_groups=8,
        pose_width=8 * int(36 * width),
        joint_features=128,
        encoding=128,
        bins=(192, 256),
        joint_expansion=2,
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
