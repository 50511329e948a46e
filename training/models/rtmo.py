"""RTMO: people and their joints in one look at an image.

Source: Lu et al. 2024, "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose Estimation"; heads and
boxes as in Ge et al. 2021, "YOLOX"; heat maps that are only there in training, and maps of one person, after Mao et al.
2021, "FCPose".
Axes: n images, A anchors (cells at stride 16, row by row, then at stride 32), V joints, K people that are answered.
Places are pixels of the input, x to the right and y down; boxes are x1, y1, x2, y2.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from training.models.coordinate_classifier import Bins, CoordinateClassifier, V
from training.models.csp import Convolution, CspDarknet
from training.models.hybrid_encoder import Branched, HybridEncoder
from training.models.instance_maps import InstanceMaps, Maps
from training.models.quality import Quality
from training.models.refiner import Refined, Refiner, looked_up
from training.models.region import Region
from training.models.second_look import SecondLook
from training.models.sizes import RtmoConfig

STRIDES = (16, 32)
RARE = 0.01
"""What score an untrained network gives: nearly all anchors see nobody (Lin et al. 2017, "Focal Loss")."""
LARGEST = 7.0
"""Upper bound of the logarithm of a box's size in strides, so that no weights give an infinite one."""


class Anchors(NamedTuple):
    """(A, 2) centres in pixels, and (A,) strides."""

    centres: Tensor
    strides: Tensor


class Dense(NamedTuple):
    """What every anchor says.

    Attributes:
        scores: (n, A) logits.
        boxes: (n, A, 4) pixels.
        visibility: (n, A, V) logits.
        vectors: (n, A, vector) what coordinate classifier, region and second look place joints by.
        proxies: (n, A, V, 2) pixels: joints told directly, by which training chooses anchors; None when deployed.
        heat: (n, V, h / 8, w / 8) logits: whether a joint of anybody can be seen there, by which the finest features
            learn; None when deployed.
        fine: (n, config.fine, h / 8, w / 8) features for region, maps and refiner.
        anchors: their centres and strides.
    """

    scores: Tensor
    boxes: Tensor
    visibility: Tensor
    vectors: Tensor
    proxies: Tensor | None
    heat: Tensor | None
    fine: Tensor
    anchors: Anchors


class Placed(NamedTuple):
    """Joints of P people.

    Attributes:
        bins: of the coordinate classifier.
        guesses: (P, V, 2) each: the refiner's, or without one the classifier's alone; the last one is the answer.
        looks: at the instance maps, the first and the second, where there is a refiner.
        refined: where there is a refiner.
    """

    bins: Bins
    guesses: list[Tensor]
    looks: list[Maps]
    refined: Refined | None


class Head(nn.Module):
    """One level: (n, 2 * score_width, h, w), half of it for the score, half for box, visibility and pose."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        act, inputs, pose = config.activation, config.score_width, config.pose_width
        self.score_branch = nn.Sequential(
            *[Convolution(inputs, inputs, 3, act) for _ in range(config.score_convolutions)]
        )
        groups = config.head_groups
        rest = [Convolution(pose, pose, 3, act, groups=groups) for _ in range(config.pose_convolutions - 1)]
        self.pose_branch = nn.Sequential(Convolution(inputs, pose, 3, act), *rest)
        self.score = nn.Conv2d(inputs, 1, 1)
        self.answers = nn.Conv2d(pose, 4 + V + config.vector, 1)
        self.proxies = nn.Conv2d(pose, V * 2, 1)
        nn.init.constant_(self.score.bias, math.log(RARE / (1 - RARE)))  # type: ignore[arg-type]

    def ends(self) -> list[nn.Module]:
        return [self.score, self.answers, self.proxies]

    def forward(self, x: Tensor, dense: bool) -> list[Tensor]:
        """Score, box with visibility and vector, and, when `dense`, proxies: (n, h * w, channels) each."""
        of_score, of_pose = x.chunk(2, dim=1)
        of_pose = self.pose_branch(of_pose)
        found = [self.score(self.score_branch(of_score)), self.answers(of_pose)]
        if dense:
            found.append(self.proxies(of_pose))
        return [part.flatten(2).transpose(1, 2) for part in found]


class Rtmo(nn.Module):
    """Images (n, 3, h, w), red, green, blue in [0, 1], h and w multiples of 32 and at least 64, to what anchors say."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = CspDarknet(config)
        self.encoder = HybridEncoder(config)
        self.heads = nn.ModuleList([Head(config) for _ in STRIDES])
        self.heat = nn.Conv2d(config.fine, V, 1)
        nn.init.constant_(self.heat.bias, math.log(RARE / (1 - RARE)))  # type: ignore[arg-type]
        self.classifier = CoordinateClassifier(config)
        self.region = Region(config) if config.refine else None
        self.maps = InstanceMaps(config) if config.refine else None
        self.second_look = SecondLook(config) if config.refine else None
        self.refiner = Refiner(config) if config.refine else None
        self.quality = Quality(config) if config.refine else None

    def forward(self, images: Tensor, dense: bool = True) -> Dense:
        fine, levels = self.encoder(self.backbone(images))
        parts = zip(*[head(level, dense) for head, level in zip(self.heads, levels, strict=True)], strict=True)
        # Places are in fp32 under autocast too.
        scores, answers, *proxies = [torch.cat(part, dim=1).float() for part in parts]
        anchors = anchors_of([level.shape[2:] for level in levels], fine)
        box, visibility, vectors = torch.split(answers, [4, V, self.config.vector], dim=2)
        return Dense(
            scores=scores[..., 0],
            boxes=_decoded(box, anchors),
            visibility=visibility,
            vectors=vectors,
            proxies=_offset(proxies[0], anchors) if proxies else None,
            heat=self.heat(fine).float() if dense else None,
            fine=fine,
            anchors=anchors,
        )

    def inner_weights(self) -> list[nn.Parameter]:
        """Weights of all layers between two others: neither the first layer nor those that answer."""
        ends = [self.backbone.stem, self.heat, *(layer for head in self.heads for layer in head.ends())]
        if self.refiner is not None:
            ends.append(self.refiner.moves)
        if self.quality is not None:
            ends.append(self.quality)
        outside = {layer for end in ends for layer in end.modules()}
        layers = (layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
        return [layer.weight for layer in layers if layer not in outside]

    def place(self, dense: Dense, images: Tensor, anchors: Tensor, each: int | None = None) -> Placed:
        """Where the joints of the people at P anchors are.

        Args:
            dense: what all anchors say.
            images: (P,) which image, rising.
            anchors: (P,) which anchor there.
            each: how many of them each image has, where all have as many.
        """
        rows = images * dense.scores.shape[1] + anchors
        boxes = dense.boxes.flatten(0, 1).index_select(0, rows).detach()  # joints do not teach the box
        vectors = dense.vectors.flatten(0, 1).index_select(0, rows)
        centres = dense.anchors.centres.index_select(0, anchors)
        bins = self.classifier(vectors, boxes, centres)
        if self.region is None or self.maps is None or self.second_look is None or self.refiner is None:
            return Placed(bins, [bins.joints()], [], None)
        table, size = self.region.table(dense.fine), dense.fine.shape[2:]
        features = bins.features + self.region(table, size, images, boxes, centres, vectors)
        first = self.maps(dense.fine, images, bins, features, each)
        features = features + self.second_look(table, size, images, boxes, first.joints, vectors)
        second = self.maps.again(first, images, features, each)
        refined = self.refiner(dense.fine, images, boxes, second.joints, features)
        return Placed(bins, refined.guesses, [first, second], refined)

    def score(self, dense: Dense, images: Tensor, anchors: Tensor, placed: Placed) -> Tensor:
        """(P,) in [0, 1], how sure to be of those whom `place` placed at these anchors.

        The geometric mean of the anchor's score and of the OKS that the placed joints are expected to reach; the score
        alone for a network without refiner.
        """
        rows = images * dense.scores.shape[1] + anchors
        sure = torch.sigmoid(dense.scores.flatten().index_select(0, rows))
        if self.quality is None:
            return sure
        return (sure * torch.sigmoid(self.expected(dense, images, anchors, placed))).sqrt()

    def expected(self, dense: Dense, images: Tensor, anchors: Tensor, placed: Placed) -> Tensor:
        """(P,) logits of the OKS that joints which `place` placed are expected to reach; needs a refiner."""
        assert self.quality is not None
        assert placed.refined is not None
        rows = images * dense.scores.shape[1] + anchors
        there = looked_up(placed.refined.rows, dense.fine.shape[2:], images, placed.guesses[-1])
        logits: Tensor = self.quality(
            torch.cat([placed.refined.known, there], dim=2),
            placed.bins.deviation,
            placed.looks[-1].peak,
            dense.visibility.flatten(0, 1).index_select(0, rows),
            dense.scores.flatten().index_select(0, rows),
            dense.boxes.flatten(0, 1).index_select(0, rows),
        )
        return logits


def surest(dense: Dense, people: int) -> tuple[Tensor, Tensor, int]:
    """(n * K,) each: image and anchor of the K anchors with the highest scores of each image; and K, which is `people`
    or as many as there are.
    """
    n, a = dense.scores.shape
    k = min(people, a)
    anchors = torch.topk(dense.scores, k, dim=1).indices
    images = torch.arange(n, device=anchors.device)[:, None].expand(n, k).reshape(-1)
    return images, anchors.reshape(-1), k


class Finder(nn.Module):
    """The network as it is deployed: the K surest anchors of each image, duplicates included.

    Everything an anchor says is decoded, joints for those K alone.
    """

    def __init__(self, network: Rtmo, people: int) -> None:
        super().__init__()
        self.network = network
        self.people = people

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, 3, h, w) to scores (n, K), boxes (n, K, 4), joints (n, K, V, 2) and visibility (n, K, V)."""
        dense = self.network(images, dense=False)
        n, a = dense.scores.shape
        which, anchors, k = surest(dense, self.people)
        rows = which * a + anchors
        placed = self.network.place(dense, which, anchors, k)
        boxes = dense.boxes.flatten(0, 1).index_select(0, rows)
        visibility = dense.visibility.flatten(0, 1).index_select(0, rows)
        return (
            self.network.score(dense, which, anchors, placed).reshape(n, k),
            boxes.reshape(n, k, 4),
            placed.guesses[-1].reshape(n, k, V, 2),
            torch.sigmoid(visibility).reshape(n, k, V),
        )


def merged(network: Rtmo) -> Rtmo:
    """A copy for evaluation with fewer steps: branches become one layer each, and so does the classifier with its norm.

    onnxruntime folds norms into their convolutions by itself; those of region and second look, behind sums, stay.
    """
    copied = copy.deepcopy(network).eval()
    for part in copied.encoder.modules():
        if isinstance(part, nn.Sequential):
            for name, child in part.named_children():
                if isinstance(child, Branched):
                    part.register_module(name, child.merged())
    classifier = copied.classifier
    classifier.split = fuse_linear_bn_eval(classifier.split, classifier.norm)
    classifier.norm = nn.Identity()  # type: ignore[assignment]
    return copied


def anchors_of(sizes: list[torch.Size], like: Tensor) -> Anchors:
    """Anchors of levels of these heights and widths."""
    centres, strides = [], []
    for (h, w), stride in zip(sizes, STRIDES, strict=True):
        x = (torch.arange(w, device=like.device, dtype=torch.float32) + 0.5) * stride
        y = (torch.arange(h, device=like.device, dtype=torch.float32) + 0.5) * stride
        grid = torch.stack([x[None].expand(h, w), y[:, None].expand(h, w)], dim=2)
        centres.append(grid.reshape(-1, 2))
        strides.append(torch.full((h * w,), float(stride), device=like.device))
    return Anchors(torch.cat(centres), torch.cat(strides))


def _decoded(box: Tensor, anchors: Anchors) -> Tensor:
    """(n, A, 4) as told, centre in strides from the anchor and logarithm of the size in strides, to corners."""
    strides = anchors.strides[:, None]
    centre = box[..., :2] * strides + anchors.centres
    half = box[..., 2:].clamp(max=LARGEST).exp() * strides / 2
    return torch.cat([centre - half, centre + half], dim=2)


def _offset(joints: Tensor, anchors: Anchors) -> Tensor:
    """(n, A, 2V) as told, in strides from the anchor, to (n, A, V, 2) pixels."""
    n, a, _ = joints.shape
    return joints.reshape(n, a, V, 2) * anchors.strides[:, None, None] + anchors.centres[:, None]
