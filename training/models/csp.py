"""CSPDarknet: the backbone that turns an image into features at strides 8, 16 and 32.

Sources: Wang et al. 2020, "CSPNet"; Ge et al. 2021, "YOLOX" (the form and the channels).
Axes: n images, c channels, h and w rows and columns of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.models.sizes import RtmoConfig

STRIDES = (8, 16, 32)
CHANNELS = (256, 512, 1024)
"""Of the three levels, at width 1."""


def activation(name: str) -> nn.Module:
    return nn.ReLU() if name == "relu" else nn.SiLU()


class Convolution(nn.Sequential):
    """Convolution that keeps the size (but for its stride), batch norm, activation; (n, c, h, w) to (n, c', h', w')."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, act: str | None, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        ]
        if act is not None:
            layers.append(activation(act))
        super().__init__(*layers)

    def merged(self) -> nn.Conv2d:
        """Convolution and norm as one convolution, for evaluation; without the activation."""
        convolution, norm = self[0], self[1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return fuse_conv_bn_eval(convolution, norm)


class Block(nn.Module):
    """Convolutions of these kernels one after the other, added to what came in where it is `residual`."""

    def __init__(self, channels: int, kernels: tuple[int, ...], act: str, residual: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(*[Convolution(channels, channels, kernel, act) for kernel in kernels])
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class CrossStage(nn.Module):
    """Half of the channels go through the blocks, the other half past them."""

    def __init__(self, channels: int, blocks: int, kernels: tuple[int, ...], act: str, residual: bool = True) -> None:
        super().__init__()
        half = channels // 2
        self.through = Convolution(channels, half, 1, act)
        self.past = Convolution(channels, half, 1, act)
        self.blocks = nn.Sequential(*[Block(half, kernels, act, residual) for _ in range(blocks)])
        self.last = Convolution(2 * half, channels, 1, act)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([self.blocks(self.through(x)), self.past(x)], dim=1))
        return y


class SpatialPyramid(nn.Module):
    """The largest value around each place, over 5, 9 and 13 cells, beside the place itself.

    Source: He et al. 2015, "Spatial Pyramid Pooling in Deep Convolutional Networks". Three maxima over 5 cells one
    after the other are those over 5, 9 and 13, for less.
    """

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        half = channels // 2
        self.first = Convolution(channels, half, 1, act)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.last = Convolution(4 * half, channels, 1, act)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        y: Tensor = self.last(torch.cat(levels, dim=1))
        return y


class CspDarknet(nn.Module):
    """(n, 3, h, w) to levels at strides 8, 16 and 32; h and w are multiples of 32."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        act = config.activation
        widths = [config.channels(base) for base in (64, 128, *CHANNELS)]
        # The reference puts the four pixels of each 2 x 2 block side by side, then a 3x3 convolution; with 6 pixels
        # this is the same.
        self.stem = Convolution(3, widths[0], config.stem, act, stride=2)
        self.stages = nn.ModuleList()
        for i, blocks in enumerate(config.blocks):
            coarsest = i == 3
            layers: list[nn.Module] = [Convolution(widths[i], widths[i + 1], 3, act, stride=2)]
            if coarsest and config.pyramid:
                layers.append(SpatialPyramid(widths[i + 1], act))
            if blocks:
                layers.append(CrossStage(widths[i + 1], blocks, config.kernels, act, residual=not coarsest))
            self.stages.append(nn.Sequential(*layers))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels[1:]
