"""What the network is taught by.

Sources: Lu et al. 2024, "RTMO" (OKS, visibility and coordinate losses, and their weights); Zhang et al. 2021,
"VarifocalNet" (score); Ge et al. 2021, "YOLOX" (box).
Axes: n images, A anchors, P anchors that are to find somebody, V joints, B bins.

Joints without a label give no loss anywhere, and hidden ones less than those that can be seen (`LossParams.hidden`):
nobody could tell where many of them are, and what cannot be told is noise to what can. Images without people teach the
score alone. Of the anchors that are to find somebody, the best ones have their joints placed by classifier and refiner;
for the others, those told directly say how much their score is to be.

As in RTMO, no loss looks at the place that the classifier expects over its bins: likelihood teaches which bins it
chooses, as it does which cells the instance maps choose; OKS and distance teach what the refiner makes of that place,
and the joints that are told directly. How well joints are placed is taught after all this, by `training.pose.quality`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recognizer.evaluation.oks import SIGMAS
from recognizer.scenes import HIDDEN, SEEN
from training.models.coordinate_classifier import Bins
from training.models.instance_maps import Maps, log_likelihood
from training.models.refiner import STRIDE
from training.models.rtmo import Dense, Rtmo
from training.pose.assign import Assignment, AssignParams, assign, iou
from training.pose.params import LossParams
from training.pose.targets import Targets, oks, scaled_squares


def losses(
    network: Rtmo, dense: Dense, targets: Targets, weights: LossParams, choice: AssignParams
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and its parts by the names of `LossParams` (weighted too, without history)."""
    chosen = assign(dense, targets, choice)
    count = max(1, len(chosen.images))
    parts: dict[str, Tensor] = {}
    wanted = torch.zeros_like(dense.scores)
    if len(chosen.images):
        at = (chosen.images, chosen.anchors)
        whom = (chosen.images, chosen.people)
        truth = (targets.joints[whom], targets.labelled[whom], targets.areas[whom])
        best = chosen.best.nonzero()[:, 0]
        theirs = (truth[0][best], truth[1][best], truth[2][best])
        teaches = joint_weights(truth[1], weights.hidden)
        placed = network.place(dense, chosen.images[best], chosen.anchors[best])
        assert dense.proxies is not None
        told = oks(dense.proxies[at], *truth)
        similar = told.detach().clone()
        guesses = [guess.float() for guess in placed.guesses]
        reached = [oks(guess, *theirs) for guess in guesses]
        similar[best] = reached[-1].detach()
        wanted[at] = similar**weights.power
        parts["box"] = (1 - iou(dense.boxes[at], targets.boxes[whom]).square()).mean()
        parts["proxy"] = (1 - told).mean()
        parts["bins"] = bins_loss(placed.bins, theirs[0], teaches[best], theirs[2])
        far = [distance_loss(dense.proxies[at], truth[0], teaches, truth[2])]
        if placed.maps is not None:
            parts["maps"] = maps_loss(placed.maps, chosen.images[best], theirs[0], teaches[best])
            parts["oks"] = torch.stack([1 - one for one in reached[1:]]).mean()
            far += [distance_loss(guess, theirs[0], teaches[best], theirs[2]) for guess in guesses[1:]]
        parts["distance"] = torch.stack(far).mean()
        parts["visibility"] = visibility_loss(
            dense.visibility[at], targets.labelled[whom], weights.unlabelled_is_hidden
        )
    parts["score"] = score_loss(dense.scores, wanted, chosen) / count
    assert dense.heat is not None
    parts["heat"] = heat_loss(dense.heat, targets)
    weighted = {name: part * getattr(weights, name) for name, part in parts.items()}
    return torch.stack(list(weighted.values())).sum(), {name: part.detach() for name, part in weighted.items()}


def score_loss(scores: Tensor, wanted: Tensor, chosen: Assignment, share: float = 0.75, focus: float = 2.0) -> Tensor:
    """Varifocal loss, summed over anchors that are not ignored.

    Args:
        scores: (n, A) logits.
        wanted: (n, A) in [0, 1], 0 where nobody is to be found.
        chosen: whose anchors are positive, whatever is wanted of them, and which are ignored.
        share: weight of anchors that are to find nobody.
        focus: power of their score in their weight: those who know it hardly count.

    An anchor that is to find somebody weighs as much as is wanted of it, so that the best ones teach most.
    """
    weight = share * torch.sigmoid(scores.detach()) ** focus
    at = (chosen.images, chosen.anchors)
    weight[at] = wanted[at]
    weight = weight.masked_fill(chosen.ignored, 0.0)
    return functional.binary_cross_entropy_with_logits(scores, wanted, weight, reduction="sum")


def heat_loss(logits: Tensor, targets: Targets, focus: float = 2.0, slack: float = 4.0) -> Tensor:
    """Focal loss of heat maps, per joint that can be seen.

    Each is a bell of height 1 around its cell, as wide as OKS is about it, at least half a cell; cells on its slopes
    count less as cells without a joint. Cells in the box of somebody ignored teach nothing.

    Args:
        logits: (n, V, h, w) of cells of `STRIDE` pixels.
        focus: power of the doubt in a cell's weight.
        slack: power by which slopes count less.

    Source: Law, Deng 2018, "CornerNet" (penalty-reduced focal loss).
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


def joint_weights(labelled: Tensor, hidden: float) -> Tensor:
    """(P, V) how much joints teach: 1 that can be seen, `hidden` that are hidden, and 0 without a label."""
    return (labelled == SEEN).float() + hidden * (labelled == HIDDEN).float()


def bins_loss(bins: Bins, joints: Tensor, teaches: Tensor, areas: Tensor) -> Tensor:
    """Negative log-likelihood of the true places under the bins, mean over joints by how much they teach, and axes.

    A bin says that the joint is around it with a Laplace distribution whose deviation, a share of the root of the
    area, is learned per joint; the whole is their mixture by the bins' probabilities.
    """
    scale = 2 * bins.deviation * areas[:, None].sqrt()
    total = teaches.new_zeros(())
    for axis, (logits, places) in enumerate(((bins.x, bins.x_places), (bins.y, bins.y_places))):
        away = (joints[..., axis, None] - places[:, None]).abs() / scale[..., None]
        likelihood = torch.logsumexp(functional.log_softmax(logits.float(), dim=2) - away, dim=2)
        total = total + (teaches * (bins.deviation.log() - likelihood)).sum()
    return total / (2 * teaches.sum().clamp(min=1))


def maps_loss(maps: Maps, images: Tensor, joints: Tensor, teaches: Tensor) -> Tensor:
    """Negative log-likelihood of the true places (P, V, 2) in `images` (P,) under the instance maps.

    Mean over joints inside the picture by how much they teach; the others have no cell.
    """
    h, w = maps.keys.shape[2:]
    size = torch.tensor([w, h], device=joints.device) * STRIDE
    teaches = teaches * ((joints >= 0) & (joints <= size)).all(dim=2)
    return -(log_likelihood(maps, images, joints) * teaches).sum() / teaches.sum().clamp(min=1)


def distance_loss(guess: Tensor, joints: Tensor, teaches: Tensor, areas: Tensor) -> Tensor:
    """log(1 + d) of a guess (P, V, 2), d the distance in the unit of OKS; mean over joints by how much they teach."""
    far = (scaled_squares(guess, joints, areas) + 1e-6).sqrt()
    return (far.log1p() * teaches).sum() / teaches.sum().clamp(min=1)


def visibility_loss(logits: Tensor, labelled: Tensor, unlabelled_is_hidden: bool) -> Tensor:
    """Binary cross-entropy of logits (P, V) against seen or hidden; mean over joints that teach."""
    teaches = torch.ones_like(logits) if unlabelled_is_hidden else (labelled >= HIDDEN).to(logits.dtype)
    seen = (labelled == SEEN).to(logits.dtype)
    loss = functional.binary_cross_entropy_with_logits(logits, seen, teaches, reduction="sum")
    return loss / teaches.sum().clamp(min=1)
