"""What is seen where a person's joints were found, by which they are looked for once more.

Once it is known roughly where somebody's joints are, what is seen at all of them together says which of them are
right, and where the others should be. The idea is that of Dollár et al. 2010, "Cascaded Pose Regression" (features read
at places that move with the pose found so far); here it asks the instance maps again, so that a joint may end
anywhere.
Axes: n images, P found people, V joints, h and w rows and columns of cells at stride 8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.models.coordinate_classifier import V
from training.models.person_features import PersonFeatures
from training.models.refiner import looked_up, sides
from training.models.sizes import RtmoConfig


class SecondLook(PersonFeatures):
    """What is seen at all joints of each of P people, as features of each of them."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__(seen=V * config.region_features, lies=V * 2, config=config)

    def forward(
        self, table: Tensor, size: torch.Size, images: Tensor, boxes: Tensor, joints: Tensor, vectors: Tensor
    ) -> Tensor:
        """(P, V, joint_features) that are added to what is known of each joint.

        Args:
            table: (n * h * w, region_features) of the region, what can be looked up.
            size: h and w of it.
            images: (P,) which of the n images each person is in.
            boxes: (P, 4) x1, y1, x2, y2.
            joints: (P, V, 2) pixels: where they were found; this is no way to learn to find them.
            vectors: (P, vector) what the anchors say of the pose.
        """
        joints = joints.detach()
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        lies = (joints - middles[:, None]) / sides(boxes)[:, None]
        seen = looked_up(table, size, images, joints)
        return self.told(seen.flatten(1), vectors, lies.flatten(1))
