"""Moves each joint by what is seen where it was thought to be, on features finer than those that found the person.

Anchors at strides 16 and 32 know limb ends badly; at stride 8 a hand is a few cells. The idea is that of iterative
refinement in Zhu et al. 2021, "Deformable DETR", for single joints.
Axes: P found people, V joints, S places that are looked at around a joint, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.models.sizes import RtmoConfig

STRIDE = 8
CROSS = ((0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))
"""Places around a joint, in its person's units."""


USUAL = 4.0
"""Logarithm of a usual side of a person's box."""


class Refined(NamedTuple):
    """What came of a first guess.

    Attributes:
        guesses: (P, V, 2) each, one a step; the last one is the answer.
        known: (P, V, 2 * refine_features) what the last step went by.
        rows: (n * h * w, refine_features) all that can be looked up.
    """

    guesses: list[Tensor]
    known: Tensor
    rows: Tensor


class Refiner(nn.Module):
    """Joints (P, V, 2) in pixels to `refine` better guesses of them, one after the other."""

    cross: Tensor

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        c, inner = config.refine_features, 2 * config.refine_features
        self.project = nn.Conv2d(config.fine, c, 1)
        self.seen = nn.ModuleList([nn.Linear(c * len(CROSS), inner) for _ in range(config.refine)])
        self.known = nn.ModuleList([nn.Linear(config.joint_features, inner, bias=False) for _ in range(config.refine)])
        self.hidden = nn.ModuleList([nn.Linear(inner, inner) for _ in range(config.refine)])
        moves = [nn.Linear(inner, 2) for _ in range(config.refine)]
        for move in moves:  # begins as no move at all
            nn.init.zeros_(move.weight)
            nn.init.zeros_(move.bias)
        self.moves = nn.ModuleList(moves)
        self.register_buffer("cross", torch.tensor(CROSS), persistent=False)

    def forward(self, fine: Tensor, images: Tensor, boxes: Tensor, joints: Tensor, features: Tensor) -> Refined:
        """Refine.

        Args:
            fine: (n, fine, h, w) features at stride 8.
            images: (P,) which of the n images each person is in.
            boxes: (P, 4) x1, y1, x2, y2.
            joints: (P, V, 2) first guess.
            features: (P, V, joint_features) of classifier, region and second look: which joint it is, and of whom.
        """
        rows, size = rows_of(self.project(fine)), fine.shape[2:]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        # Half a cell at least, and more for large people, whose limbs are larger.
        unit = (STRIDE / 2 + 0.04 * area.clamp(min=0).sqrt())[:, None, None]
        guesses, x = [], features
        for seen, known, hidden, move in zip(self.seen, self.known, self.hidden, self.moves, strict=True):
            places = joints[:, :, None] + self.cross * unit[..., None]
            looked = looked_up(rows, size, images, places.flatten(1, 2)).reshape(*joints.shape[:2], -1)
            x = torch.relu(hidden(torch.relu(seen(looked) + known(features))))
            joints = joints + move(x).to(joints.dtype) * unit
            guesses.append(joints)
            joints = joints.detach()  # where to look next is no way to learn where the joint is
        return Refined(guesses, x, rows)


def rows_of(features: Tensor) -> Tensor:
    """(n, C, h, w) features as the table (n * h * w, C) that `looked_up` reads."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def sides(boxes: Tensor) -> Tensor:
    """(P, 2) width and height of boxes (P, 4), a pixel at least."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)


def log_sides(boxes: Tensor) -> Tensor:
    """(P, 2) logarithms of width and height of boxes (P, 4), less that of a side of about 55 pixels: around 0."""
    return sides(boxes).log() - USUAL


def looked_up(rows: Tensor, size: torch.Size, images: Tensor, places: Tensor) -> Tensor:
    """(P, S, C) features between the four nearest cells, the border repeated outside.

    Rows of a table instead of a resampled picture: onnxruntime copies rows ten times faster than it samples.

    Args:
        rows: (n * h * w, C) features of n images at stride 8.
        size: h and w.
        images: (P,) which image.
        places: (P, S, 2) pixels.
    """
    h, w = size
    furthest = torch.tensor([w - 1.0, h - 1.0], dtype=places.dtype, device=places.device)
    cells = torch.minimum((places / STRIDE - 0.5).clamp(min=0), furthest)
    corner = torch.minimum(cells.floor(), furthest - 1)
    right, low = torch.chunk(cells - corner, 2, dim=2)
    column, row = torch.chunk(corner.long(), 2, dim=2)
    first = ((images[:, None, None] * h + row) * w + column).flatten()

    def take(offset: int) -> Tensor:
        return rows.index_select(0, first + offset).reshape(*places.shape[:2], -1)

    # One sum of four would be fewer steps, but onnxruntime is slow at sums over an axis in the middle.
    above = _between(take(0), take(1), right)
    below = _between(take(w), take(w + 1), right)
    return _between(above, below, low)


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    # torch.lerp would do, but is exported as a choice between two formulas.
    return first + (second - first) * share
