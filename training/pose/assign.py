"""Which anchors are to find which person: SimOTA, with OKS in place of overlap for how many.

Sources: Ge et al. 2021, "YOLOX" (SimOTA); Lu et al. 2024, "RTMO" (costs of score, box and pose; k from OKS).
Axes: n images, M people, A anchors, V joints.

An anchor is a candidate for a person when its centre is inside the person's box, or within 2.5 strides of the middle
of the labelled joints; candidates that are both come first. Each person takes the k cheapest candidates, k being the
sum of the ten highest OKS that candidates reach, at least six, as OKS is near 0 for everybody at first, and one anchor
a person would teach little; an anchor that several take goes to the one it costs
least for.

A crowd, and a person without labelled joints, is given no anchors, and anchors whose centre is in its box, unless
somebody took them, are left out of the loss: they learn neither that somebody is there nor that nobody is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.models.rtmo import Dense
from training.pose.targets import Targets, oks

NEVER = 1e8
"""Cost of an anchor that is no candidate."""
BEST = 2
"""How many of a person's anchors, the cheapest, have their joints placed in training: that costs more than all else."""


@dataclass(frozen=True)
class AssignParams:
    """Weights of the costs.

    Attributes:
        radius: of the middle of a person, in strides.
        most: anchors that one person may take, and OKS that are summed for k.
        least: anchors that one person takes, where there are so many candidates.
        box: of -log IoU.
        pose: of -log OKS.
        outside: added where an anchor is not both in the box and near the middle.
    """

    radius: float = 2.5
    most: int = 10
    least: int = 6
    box: float = 3.0
    pose: float = 3.0
    outside: float = 1e5


class Assignment(NamedTuple):
    """P anchors that are to find somebody, by image, then anchor.

    Attributes:
        images: (P,) which image.
        anchors: (P,) which anchor.
        people: (P,) which of the M people there.
        ignored: (n, A) anchors that are neither among them nor to find nobody.
        best: (P,) whether it is among the `BEST` of its person.
    """

    images: Tensor
    anchors: Tensor
    people: Tensor
    ignored: Tensor
    best: Tensor


@torch.no_grad()
def assign(dense: Dense, targets: Targets, params: AssignParams) -> Assignment:
    """Choose anchors by what they say at present; needs `dense.proxies`."""
    assert dense.proxies is not None
    candidate, sure = _candidates(dense, targets, params.radius)
    # Most pairs are none: what pairs cost is computed for candidates alone.
    images, people, anchors = pairs = candidate.nonzero(as_tuple=True)
    said, whom = (images, anchors), (images, people)
    overlap = iou(targets.boxes[whom], dense.boxes[said])
    similar = oks(dense.proxies[said], targets.joints[whom], targets.labelled[whom], targets.areas[whom])
    # Binary cross-entropy against 1, of the root of the score, as with YOLOX's product of two scores.
    unsure = -functional.logsigmoid(dense.scores[said]) / 2
    price = unsure - params.box * (overlap + 1e-8).log() - params.pose * (similar + 1e-8).log()
    price = torch.where(sure[pairs], price, price + params.outside)
    cost = torch.full(candidate.shape, NEVER, device=price.device).index_put(pairs, price)
    reached = torch.zeros(candidate.shape, device=price.device).index_put(pairs, similar)

    most = min(params.most, cost.shape[2])
    wanted = reached.topk(most, dim=2).values.sum(dim=2).int().clamp(min=params.least)
    cheapest, where = cost.topk(most, dim=2, largest=False, sorted=True)
    taken = (torch.arange(most, device=cost.device) < wanted[..., None]) & (cheapest < NEVER)
    cost = torch.full_like(cost, NEVER).scatter(2, where, torch.where(taken, cheapest, NEVER))
    least, person = cost.min(dim=1)
    positive = least < NEVER
    images, anchors = positive.nonzero(as_tuple=True)
    who = person[images, anchors]
    first = torch.zeros_like(cost, dtype=torch.bool).scatter(2, where[..., :BEST], taken[..., :BEST])
    return Assignment(images, anchors, who, ignored_anchors(dense, targets) & ~positive, first[images, who, anchors])


def _candidates(dense: Dense, targets: Targets, radius: float) -> tuple[Tensor, Tensor]:
    """(n, M, A) which anchors may find whom, and which of them are sure to be about that person."""
    inside = _inside(dense, targets.boxes)
    known = (targets.labelled > 0).float()
    middle = (targets.joints * known[..., None]).sum(dim=2) / known.sum(dim=2).clamp(min=1)[..., None]
    away = (dense.anchors.centres - middle[:, :, None]).abs().amax(dim=3)
    near = away < radius * dense.anchors.strides
    counted = targets.counted[..., None]
    return (inside | near) & counted, inside & near & counted


def _inside(dense: Dense, boxes: Tensor) -> Tensor:
    """(n, M, A): whether the centre of the anchor is in the box."""
    centres = dense.anchors.centres
    return ((centres > boxes[:, :, None, :2]) & (centres < boxes[:, :, None, 2:])).all(dim=3)


def ignored_anchors(dense: Dense, targets: Targets) -> Tensor:
    """(n, A): whether the anchor is in the box of somebody ignored."""
    return (_inside(dense, targets.boxes) & targets.ignored[..., None]).any(dim=1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) as x1, y1, x2, y2."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    sizes = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1) for boxes in (first, second)]
    return both / (sizes[0] + sizes[1] - both).clamp(min=1e-6)
