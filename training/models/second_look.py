"""What is seen where a person's joints were found, by which they are looked for once more.

Once it is known roughly where somebody's joints are, what is seen at all of them together says which of them are
right, and where the others should be. The idea is that of Dollar et al. 2010, "Cascaded Pose Regression" (features read
at places that move with the pose found so far); here it asks the instance maps again, so that a joint may end
anywhere.
Axes: P found people, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.coordinate_classifier import V, normed
from training.models.refiner import looked_up
from training.models.sizes import RtmoConfig

LEAST = 1.0
"""Pixels: least side of a box that places are measured in."""


class SecondLook(nn.Module):
    """What is seen at all joints of each of P people, as features of each of them."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        c, inner = config.region_features, config.region_inner
        # No biases before the norm, which takes them away again, and no loss would see them.
        self.seen = nn.Linear(V * c, inner, bias=False)
        self.known = nn.Linear(config.vector, inner, bias=False)
        self.lies = nn.Linear(V * 2, inner, bias=False)
        self.norm = nn.BatchNorm1d(inner)
        self.more = nn.Linear(inner, V * config.joint_features)
        nn.init.zeros_(self.more.weight)  # begins as nothing more
        nn.init.zeros_(self.more.bias)

    def forward(
        self, rows: Tensor, size: torch.Size, images: Tensor, boxes: Tensor, joints: Tensor, vectors: Tensor
    ) -> Tensor:
        """(P, V, joint_features) that are added to what is known of each joint.

        Args:
            rows: (n * h * w, region_features) of the region, what can be looked up at stride 8.
            size: h and w of it.
            images: (P,) which of the n images each person is in.
            boxes: (P, 4) x1, y1, x2, y2.
            joints: (P, V, 2) pixels: where they were found; this is no way to learn to find them.
            vectors: (P, vector) what the anchors say of the pose.
        """
        joints = joints.detach()
        low, high = boxes[:, None, :2], boxes[:, None, 2:]
        lies = (joints - (low + high) / 2) / (high - low).clamp(min=LEAST)
        seen = looked_up(rows, size, images, joints)
        x = torch.relu(normed(self.norm, self.seen(seen.flatten(1)) + self.known(vectors) + self.lies(lies.flatten(1))))
        more: Tensor = self.more(x).unflatten(1, (V, -1))
        return more
