"""What is seen in the box of a found person, by which its joints are looked for.

An anchor tells everything of a person from one cell at stride 16 or 32. What is seen at places all over the box, on
finer features, tells more of each joint, and tells it alike whichever anchor found the person. The idea is
that of Girshick 2015, "Fast R-CNN" (features of one size from a box of any), read at places instead of pooled.
Axes: n images, P found people, V joints, h and w rows and columns of cells at stride 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.person_features import PersonFeatures
from training.models.refiner import STRIDE, log_sides, looked_up, rows_of
from training.models.sizes import RtmoConfig

REACH = 1.15
"""Places are spread over the box times this, so that the outermost ones are near its sides."""


class Region(PersonFeatures):
    """What is seen all over the box of each of P people, as features of their joints."""

    grid: Tensor

    def __init__(self, config: RtmoConfig) -> None:
        grid = grid_of(*config.region)
        super().__init__(seen=len(grid) * config.region_features, lies=6, config=config)
        # Without a bias, as the norm would take it away again.
        self.project = nn.Conv2d(config.fine, config.region_features, 1, bias=False)
        self.register_buffer("grid", grid, persistent=False)

    def table(self, fine: Tensor) -> Tensor:
        """(n * h * w, region_features) all that can be looked up in features (n, fine, h, w) at stride 8."""
        return rows_of(self.project(fine))

    def forward(
        self, table: Tensor, size: torch.Size, images: Tensor, boxes: Tensor, anchors: Tensor, vectors: Tensor
    ) -> Tensor:
        """(P, V, joint_features) that are added to what the classifier knows of each joint.

        Args:
            table: (n * h * w, region_features) what can be looked up.
            size: h and w of it.
            images: (P,) which of the n images each person is in.
            boxes: (P, 4) x1, y1, x2, y2.
            anchors: (P, 2) centres of the anchors that found them.
            vectors: (P, vector) what these say of the pose.
        """
        low, high = boxes[:, :2], boxes[:, 2:]
        places = ((low + high) / 2)[:, None] + (high - low)[:, None] * self.grid
        seen = looked_up(table, size, images, places).flatten(1)
        # Where the box is from the anchor, in cells of the coarser heads, and how large.
        cell = 4 * STRIDE
        lies = torch.cat([(low - anchors) / cell, (high - anchors) / cell, log_sides(boxes)], dim=1)
        return self.told(seen, vectors, lies)


def grid_of(rows: int, columns: int) -> Tensor:
    """(rows * columns, 2) x and y of places in a box, row by row, from its middle and in its sides."""
    y, x = ((torch.arange(count) + 0.5) / count - 0.5 for count in (rows, columns))
    return torch.stack([x[None].expand(rows, columns), y[:, None].expand(rows, columns)], dim=2).reshape(-1, 2) * REACH
