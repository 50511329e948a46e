"""What is seen at places of each found person, as features of each of their joints.

Axes: P found people, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.coordinate_classifier import V, normed
from training.models.sizes import RtmoConfig


class PersonFeatures(nn.Module):
    """One hidden layer from what is seen of a person, what its anchor says, and where it lies, to features of joints.

    Args:
        seen: numbers that are seen of one person.
        lies: numbers that say where it is.
    """

    def __init__(self, seen: int, lies: int, config: RtmoConfig) -> None:
        super().__init__()
        inner = config.region_inner
        # No biases before the norm, which takes them away again, and no loss would see them.
        self.seen = nn.Linear(seen, inner, bias=False)
        self.known = nn.Linear(config.vector, inner, bias=False)
        self.lies = nn.Linear(lies, inner, bias=False)
        self.norm = nn.BatchNorm1d(inner)
        self.more = nn.Linear(inner, V * config.joint_features)
        nn.init.zeros_(self.more.weight)  # begins as nothing more
        nn.init.zeros_(self.more.bias)

    def told(self, seen: Tensor, vectors: Tensor, lies: Tensor) -> Tensor:
        """(P, V, joint_features) by (P, seen), (P, vector) of the anchors and (P, lies)."""
        x = torch.relu(normed(self.norm, self.seen(seen) + self.known(vectors) + self.lies(lies)))
        more: Tensor = self.more(x).unflatten(1, (V, -1))
        return more
