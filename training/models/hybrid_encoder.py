"""Hybrid encoder: attention inside the coarsest level, convolutions across the levels.

Source: Zhao et al. 2024, "DETRs Beat YOLOs on Real-time Object Detection" (RT-DETR); as RTMO uses it.
Axes: n images, c channels, h and w rows and columns of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.csp import CHANNELS, Convolution, activation
from training.models.sizes import RtmoConfig

TEMPERATURE = 10_000.0
"""Longest wave of the encoding of places, in cells, over 2 pi."""


def place_encoding(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """(h * w, channels) sines and cosines of column and row, a quarter of the channels each.

    Source: Vaswani et al. 2017, "Attention Is All You Need", in two dimensions.
    """
    quarter = channels // 4
    waves = TEMPERATURE ** (-torch.arange(quarter, dtype=like.dtype, device=like.device) / quarter)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)[:, None] * waves
    rows = torch.arange(height, dtype=like.dtype, device=like.device)[:, None] * waves
    along_x = torch.cat([columns.sin(), columns.cos()], dim=1)[None].expand(height, width, 2 * quarter)
    along_y = torch.cat([rows.sin(), rows.cos()], dim=1)[:, None].expand(height, width, 2 * quarter)
    return torch.cat([along_x, along_y], dim=2).reshape(height * width, channels)


class Attention(nn.Module):
    """Every cell of a level looks at every other: one layer of a transformer's encoder; (n, c, h, w) stays."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        c = config.hidden
        self.heads = config.attention_heads
        self.looking = nn.Linear(c, 2 * c)  # queries and keys: they know their place, values do not
        self.values = nn.Linear(c, c)
        self.mixed = nn.Linear(c, c)
        self.norm = nn.LayerNorm(c)
        act = nn.ReLU() if config.activation == "relu" else nn.GELU()
        self.after = nn.Sequential(nn.Linear(c, config.feedforward), act, nn.Linear(config.feedforward, c))
        self.after_norm = nn.LayerNorm(c)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        cells = x.flatten(2).transpose(1, 2)
        queries, keys = self.looking(cells + place_encoding(h, w, c, cells)).chunk(2, dim=2)
        split = [part.reshape(n, h * w, self.heads, -1).transpose(1, 2) for part in (queries, keys, self.values(cells))]
        found = functional.scaled_dot_product_attention(*split).transpose(1, 2).reshape(n, h * w, c)
        cells = self.norm(cells + self.mixed(found))
        cells = self.after_norm(cells + self.after(cells))
        level: Tensor = cells.transpose(1, 2).reshape(n, c, h, w)
        return level


class Branched(nn.Module):
    """3x3 and 1x1 convolutions of the same input, added: easier to train, and one 3x3 convolution once trained.

    Source: Ding et al. 2021, "RepVGG". Without `branches` it is that one convolution from the start.
    """

    def __init__(self, channels: int, act: str, branches: bool) -> None:
        super().__init__()
        self.wide = Convolution(channels, channels, 3, None)
        self.narrow = Convolution(channels, channels, 1, None) if branches else None
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x)
        out: Tensor = self.act(y if self.narrow is None else y + self.narrow(x))
        return out

    def merged(self) -> nn.Sequential:
        """The same for evaluation, as one convolution."""
        wide = self.wide.merged()
        if self.narrow is not None:
            narrow = self.narrow.merged()
            assert wide.bias is not None
            assert narrow.bias is not None
            with torch.no_grad():
                wide.weight += functional.pad(narrow.weight, (1, 1, 1, 1))
                wide.bias += narrow.bias
        return nn.Sequential(wide, self.act)


class Fusion(nn.Module):
    """Two levels of one size, of c channels each, side by side, become one: (n, 2c, h, w) to (n, c, h, w)."""

    def __init__(self, c: int, config: RtmoConfig) -> None:
        super().__init__()
        inner, act = config.inner, config.activation
        self.through = Convolution(2 * c, inner, 1, act)
        self.past = Convolution(2 * c, inner, 1, act)
        self.blocks = nn.Sequential(*[Branched(inner, act, config.branches) for _ in range(config.inner_blocks)])
        self.last = nn.Identity() if inner == c else Convolution(inner, c, 1, act)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = torch.cat([fine, coarse], dim=1)
        y: Tensor = self.last(self.blocks(self.through(x)) + self.past(x))
        return y


class HybridEncoder(nn.Module):
    """Levels of the backbone to (n, fine, h / 8, w / 8) and two of (n, 2 * score_width, ...) at strides 16 and 32."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        c, act, groups = config.hidden, config.activation, config.stride_groups
        widths = (config.fine, c, c)
        self.inputs = nn.ModuleList(
            [Convolution(config.channels(base), width, 1, None) for base, width in zip(CHANNELS, widths, strict=True)]
        )
        self.attention = Attention(config) if config.attention_heads else nn.Identity()
        self.laterals = nn.ModuleList([Convolution(c, c, 1, act) for _ in range(2)])
        self.narrow = nn.Identity() if config.fine == c else Convolution(c, config.fine, 1, act)
        self.down_fusions = nn.ModuleList([Fusion(c, config), Fusion(config.fine, config)])
        self.strided = nn.ModuleList([Convolution(w, c, 3, act, stride=2, groups=groups) for w in widths[:2]])
        self.up_fusions = nn.ModuleList([Fusion(c, config) for _ in range(2)])
        self.outputs = nn.ModuleList([Convolution(c, 2 * config.score_width, 1, None) for _ in range(2)])

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        fine, middle, coarse = (layer(level) for layer, level in zip(self.inputs, levels, strict=True))
        coarse = self.laterals[0](self.attention(coarse))
        middle = self.laterals[1](self.down_fusions[0](_doubled(coarse), middle))
        fine = self.down_fusions[1](_doubled(self.narrow(middle)), fine)
        middle = self.up_fusions[0](self.strided[0](fine), middle)
        coarse = self.up_fusions[1](self.strided[1](middle), coarse)
        return fine, [self.outputs[0](middle), self.outputs[1](coarse)]


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
