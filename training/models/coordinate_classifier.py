"""Dynamic Coordinate Classifier: where each joint of a found person is, as a choice among bins over x and over y.

Source: Lu et al. 2024, "RTMO"; attention between joints after Hua et al. 2022, "Transformer Quality in Linear Time".
Axes: P found people (anchors), V joints, B bins. Places are pixels of the network's input.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recognizer.skeleton import JOINTS
from training.models.sizes import RtmoConfig

V = len(JOINTS)
TEMPERATURE = 300.0
"""Longest wave of the encoding of bins, in pixels, over 2 pi."""
WIDEST = 0.1
"""Upper bound of the deviation that is learned, as a share of the person's size."""


def exact_product(first: Tensor, second: Tensor) -> Tensor:
    """The matrix product in fp32, under autocast too.

    In bf16, neighbouring bins were the same place, and what OKS taught by the place expected over them was noise: its
    gradient was 5 to 25 times as long as in fp32, and longer the surer the classifier was (docs/models/pose.md).
    """
    device = first.device.type
    if not torch.is_autocast_enabled(device):  # nothing to turn off, and no such step in an exported graph
        return torch.matmul(first, second)
    with torch.autocast(device, enabled=False):
        return torch.matmul(first.float(), second.float())


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """(P, C) of P people through a norm, or through nothing where it was merged into the layer before it."""
    # One person has no variance to learn from. SyncBatchNorm is no BatchNorm1d: it counts the people of all processes,
    # and waits until each of them has asked it.
    if isinstance(norm, nn.BatchNorm1d) and norm.training and len(x) == 1:
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    found: Tensor = norm(x)
    return found


class Bins(NamedTuple):
    """What the classifier says of P people.

    Attributes:
        x, y: (P, V, B) logits.
        x_places, y_places: (P, B) where the bins are, pixels.
        deviation: (P, V) expected error as a share of the root of the person's area, in (0.001, 0.1).
        features: (P, V, joint_features) that were compared with the bins.
    """

    x: Tensor
    y: Tensor
    x_places: Tensor
    y_places: Tensor
    deviation: Tensor
    features: Tensor

    def joints(self) -> Tensor:
        """(P, V, 2): the expected place over the bins."""
        x = exact_product(torch.softmax(self.x, dim=2), self.x_places[:, :, None])
        y = exact_product(torch.softmax(self.y, dim=2), self.y_places[:, :, None])
        return torch.cat([x, y], dim=2)


class JointAttention(nn.Module):
    """Gated attention between the joints of one person; (P, V, F) stays."""

    def __init__(self, features: int, expansion: int) -> None:
        super().__init__()
        self.gated, self.shared = expansion * features, features
        self.gain = nn.Parameter(torch.ones(features))
        self.inner = nn.Linear(features, 2 * self.gated + self.shared, bias=False)
        self.scale = nn.Parameter(torch.ones(2, self.shared))
        self.names = nn.Parameter(torch.randn(V, self.shared) * 0.02)
        self.offset = nn.Parameter(torch.zeros(2, self.shared))
        self.outer = nn.Linear(self.gated, features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        even = x * torch.rsqrt(x.square().mean(dim=2, keepdim=True) + 1e-5) * self.gain
        widths = [self.gated, self.gated, self.shared]
        gates, values, shared = torch.split(functional.silu(self.inner(even)), widths, dim=2)
        queries = shared * self.scale[0] + self.offset[0] + self.names
        keys = shared * self.scale[1] + self.offset[1] + self.names
        weights = functional.relu(torch.matmul(queries, keys.transpose(1, 2)) * self.shared**-0.5).square()
        found: Tensor = self.outer(gates * torch.matmul(weights, values))
        return x + found


class CoordinateClassifier(nn.Module):
    """Pose vectors (P, C) of anchors and the boxes found there to `Bins`."""

    waves: Tensor
    turns: Tensor
    x_bins: Tensor
    y_bins: Tensor

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        f, encoding = config.joint_features, config.encoding
        self.padding = config.padding
        self.split = nn.Linear(config.vector, V * f)
        self.norm = nn.BatchNorm1d(V * f)
        self.attention = JointAttention(f, config.joint_expansion) if config.joint_expansion else nn.Identity()
        # A bias on the encoding of a bin would be the same for all bins of a joint, and softmax would not see it.
        self.along_x = nn.Linear(f, encoding, bias=False)
        self.along_y = nn.Linear(f, encoding, bias=False)
        self.doubt = nn.Linear(config.vector, V)
        half = encoding // 2
        waves = TEMPERATURE ** (-torch.arange(half) / half)
        self.register_buffer("waves", torch.cat([waves, waves])[:, None], persistent=False)
        # A cosine is a sine a quarter of a turn later: one step for both.
        turns = torch.cat([torch.full((half,), math.pi / 2), torch.zeros(half)])
        self.register_buffer("turns", turns[:, None], persistent=False)
        self.register_buffer("x_bins", torch.linspace(-0.5, 0.5, config.bins[0]), persistent=False)
        self.register_buffer("y_bins", torch.linspace(-0.5, 0.5, config.bins[1]), persistent=False)

    def forward(self, vectors: Tensor, boxes: Tensor, anchors: Tensor) -> Bins:
        """Vectors (P, C), boxes (P, 4) as x1, y1, x2, y2, anchors (P, 2) their centres."""
        # What tells bins apart is in fp32 under autocast too: a bin is less of a picture than 8 bits can say.
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - anchors
        size = (boxes[:, 2:] - boxes[:, :2]) * self.padding
        x_places = centre[:, :1] + size[:, :1] * self.x_bins
        y_places = centre[:, 1:] + size[:, 1:] * self.y_bins
        features = self.attention(normed(self.norm, self.split(vectors)).reshape(-1, V, self.along_x.in_features))
        # The reference brings each bin to the joint's features; bringing joints to the bins is the same product for
        # a tenth of the work, as there are fewer joints than bins.
        x = exact_product(self.along_x(features), self._encoded(x_places))
        y = exact_product(self.along_y(features), self._encoded(y_places))
        deviation = (torch.sigmoid(self.doubt(vectors)) * WIDEST).clamp(min=1e-3)
        return Bins(x, y, x_places + anchors[:, :1], y_places + anchors[:, 1:], deviation, features)

    def _encoded(self, places: Tensor) -> Tensor:
        """(P, B) pixels from the anchor to (P, encoding, B)."""
        return torch.sin(self.waves * places[:, None] + self.turns)
