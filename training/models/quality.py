"""How well somebody's joints are placed, told by what is seen where they ended.

An anchor scores a person before the joints are placed, so of several that found one person the surest is often not
the best. The idea is that of Huang et al. 2019, "Mask Scoring R-CNN", for joints.
Axes: P found people, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.coordinate_classifier import WIDEST, V
from training.models.refiner import log_sides
from training.models.sizes import RtmoConfig

PER_JOINT, INNER = 16, 128
"""Channels of one joint, and of the person that they make up."""


class Quality(nn.Module):
    """Answers the logit of the OKS that is to be expected."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        seen = 3 * config.refine_features + 3
        self.joint = nn.Linear(seen, PER_JOINT)
        self.person = nn.Linear(V * PER_JOINT + 3, INNER)
        self.answer = nn.Linear(INNER, 1)
        nn.init.zeros_(self.answer.weight)  # begins as the same for everybody
        nn.init.zeros_(self.answer.bias)

    def forward(
        self, seen: Tensor, deviation: Tensor, peak: Tensor, visibility: Tensor, scores: Tensor, boxes: Tensor
    ) -> Tensor:
        """(P,) logits.

        Args:
            seen: (P, V, 3 * refine_features) what the refiner's last step went by, and what is at its answer.
            deviation: (P, V) of the classifier.
            peak: (P, V) of the last look at the instance maps.
            visibility: (P, V) logits.
            scores: (P,) logits of the anchors.
            boxes: (P, 4) x1, y1, x2, y2.
        """
        told = torch.stack([deviation * (2 / WIDEST), peak / 2, visibility / 3], dim=2)
        joints = torch.relu(self.joint(torch.cat([seen, told], dim=2))).flatten(1)
        person = torch.cat([joints, scores[:, None], log_sides(boxes)], dim=1)
        answer: Tensor = self.answer(torch.relu(self.person(person)))
        return answer[:, 0]
