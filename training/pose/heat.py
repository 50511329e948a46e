"""Heat maps of everybody's joints, which are only there in training: by them the finest features learn.

Sources: Mao et al. 2021, "FCPose" (maps for training alone); Law, Deng 2018, "CornerNet" (penalty-reduced focal loss).
Axes: n images, M people, V joints, h and w rows and columns of cells of `STRIDE` pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recognizer.evaluation.oks import SIGMAS
from recognizer.scenes import SEEN
from training.models.refiner import STRIDE
from training.pose.targets import Targets


def heat_loss(logits: Tensor, targets: Targets, focus: float = 2.0, slack: float = 4.0) -> Tensor:
    """Focal loss of heat maps, per joint that can be seen.

    Each is a bell of height 1 around its cell, as wide as OKS is about it, at least half a cell; cells on its slopes
    count less as cells without a joint. Where a joint is hidden there is none. Cells in the box of somebody ignored
    teach nothing.

    Args:
        logits: (n, V, h, w) of cells of `STRIDE` pixels.
        focus: power of the doubt in a cell's weight.
        slack: power by which slopes count less.
    """
    wanted, peaks = _bells(targets, logits.shape[2:])
    told = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    found = (1 - told) ** focus * told.log()
    absent = (1 - wanted) ** slack * told**focus * (1 - told).log()
    loss = -torch.where(peaks, found, absent)
    return (loss * _teaching(targets, logits.shape[2:])[:, None]).sum() / peaks.sum().clamp(min=1)


def _bells(targets: Targets, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """(n, V, h, w) the highest of all bells, and whether a joint's middle is in the cell."""
    h, w = shape
    joints, places = targets.joints / STRIDE, targets.joints
    known = (targets.labelled == SEEN) & targets.counted[..., None]
    columns = torch.arange(w, device=places.device) + 0.5
    rows = torch.arange(h, device=places.device) + 0.5
    sigmas = 2 * torch.tensor(SIGMAS, device=places.device)
    width = (targets.areas.sqrt()[..., None] * sigmas / STRIDE).clamp(min=0.5)[..., None]
    # A bell is the product of one along x and one along y: the outer product alone has the size of the map. One picture
    # after the other, as most have far fewer people than the one that has most.
    along_x = torch.exp(-((columns - joints[..., :1]) ** 2) / (2 * width**2)) * known[..., None]
    along_y = torch.exp(-((rows - joints[..., 1:]) ** 2) / (2 * width**2))
    bells = joints.new_zeros(len(joints), joints.shape[2], h, w)
    for highest, x, y, there in zip(bells, along_x, along_y, known.any(dim=2), strict=True):
        if there.any():
            torch.amax(y[there, :, :, None] * x[there, :, None, :], dim=0, out=highest)
    peaks = torch.zeros_like(bells, dtype=torch.bool)
    image, person, joint = known.nonzero(as_tuple=True)
    cells = joints[image, person, joint].long()
    peaks[image, joint, cells[:, 1].clamp(0, h - 1), cells[:, 0].clamp(0, w - 1)] = True
    return bells, peaks


def _teaching(targets: Targets, shape: torch.Size) -> Tensor:
    """(n, h, w) 0 in the boxes of those who are ignored, else 1."""
    h, w = shape
    columns = (torch.arange(w, device=targets.boxes.device) + 0.5) * STRIDE
    rows = (torch.arange(h, device=targets.boxes.device) + 0.5) * STRIDE
    boxes = targets.boxes[..., None]
    inside_x = (columns > boxes[:, :, 0]) & (columns < boxes[:, :, 2]) & targets.ignored[..., None]
    inside_y = (rows > boxes[:, :, 1]) & (rows < boxes[:, :, 3])
    return 1.0 - (inside_y[..., :, None] & inside_x[..., None, :]).any(dim=1).float()
