"""What the network is taught by.

Sources: Lu et al. 2024, "RTMO" (OKS, visibility and coordinate losses, and their weights); Zhang et al. 2021,
"VarifocalNet" (score); Ge et al. 2021, "YOLOX" (box).
Axes: n images, A anchors, P anchors that are to find somebody, V joints, B bins.

Joints without a label give no loss anywhere. Hidden ones teach bins, maps and distance less than those that can be
seen (`LossParams.hidden`), and heat maps that they are not there: nobody could tell where many of them are, and what
cannot be told is noise to what can. OKS counts them like all others, as it will when people are judged.

Images without people teach the score alone. Of the anchors that are to find somebody, the best ones have their joints
placed by classifier, maps and refiner; for the others, those told directly say how much their score is to be.

As in RTMO, no loss looks at the place that the classifier expects over its bins: likelihood teaches which bins it
chooses, as it does which cells the instance maps choose; OKS and distance teach what the refiner makes of the maps'
place, and the joints that are told directly. How well joints are placed is taught after all this, by
`training.pose.quality`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from recognizer.scenes import HIDDEN, SEEN
from training.models.coordinate_classifier import Bins
from training.models.instance_maps import Maps, log_likelihood
from training.models.refiner import STRIDE
from training.models.rtmo import Dense, Rtmo
from training.pose.assign import Assignment, AssignParams, assign, iou
from training.pose.heat import heat_loss
from training.pose.params import LossParams
from training.pose.targets import Targets, oks, scaled_squares

LEAST = 1e-6
"""Where joints teach nothing at all, the mean of what they teach is 0."""


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
        if placed.looks:
            parts["maps"] = maps_loss(placed.looks, chosen.images[best], theirs[0], teaches[best])
            parts["oks"] = torch.stack([1 - one for one in reached]).mean()
            far += [distance_loss(guess, theirs[0], teaches[best], theirs[2]) for guess in guesses]
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
    return total / (2 * teaches.sum().clamp(min=LEAST))


def maps_loss(looks: Sequence[Maps], images: Tensor, joints: Tensor, teaches: Tensor) -> Tensor:
    """Negative log-likelihood of the true places (P, V, 2) in `images` (P,) under the instance maps.

    Mean over looks at the same pictures, and over joints inside the picture by how much they teach; the others have no
    cell.
    """
    h, w = looks[0].keys.shape[2:]
    size = torch.tensor([w, h], device=joints.device) * STRIDE
    teaches = teaches * ((joints >= 0) & (joints <= size)).all(dim=2)
    # Looks differ by queries and totals, and the likelihood's logarithm is linear in both: one for all of them.
    queries = torch.stack([look.queries.float() for look in looks]).mean(dim=0)
    total = torch.stack([look.total for look in looks]).mean(dim=0)
    likelihood = log_likelihood(looks[0]._replace(queries=queries, total=total), images, joints)
    return -(likelihood * teaches).sum() / teaches.sum().clamp(min=LEAST)


def distance_loss(guess: Tensor, joints: Tensor, teaches: Tensor, areas: Tensor) -> Tensor:
    """log(1 + d) of a guess (P, V, 2), d the distance in the unit of OKS; mean over joints by how much they teach."""
    far = (scaled_squares(guess, joints, areas) + 1e-6).sqrt()
    return (far.log1p() * teaches).sum() / teaches.sum().clamp(min=LEAST)


def visibility_loss(logits: Tensor, labelled: Tensor, unlabelled_is_hidden: bool) -> Tensor:
    """Binary cross-entropy of logits (P, V) against seen or hidden; mean over joints that teach."""
    teaches = torch.ones_like(logits) if unlabelled_is_hidden else (labelled >= HIDDEN).to(logits.dtype)
    seen = (labelled == SEEN).to(logits.dtype)
    loss = functional.binary_cross_entropy_with_logits(logits, seen, teaches, reduction="sum")
    return loss / teaches.sum().clamp(min=1)
