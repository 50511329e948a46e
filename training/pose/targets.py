"""The people of a batch of images as tensors of one size: what assignment and losses compare the network with.

Axes: n images, M people (the most in one image), V joints. Places are pixels of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recognizer.evaluation.oks import SIGMAS
from recognizer.scenes import People
from recognizer.skeleton import JOINTS

SMALLEST_AREA = 1.0
"""Square pixels; smaller ones would turn a rounding error into an infinite distance."""


class Targets(NamedTuple):
    """Everybody labelled.

    Attributes:
        joints: (n, M, V, 2) pixels, 0 where unlabelled.
        labelled: (n, M, V) uint8 of `recognizer.scenes.UNLABELLED`, `HIDDEN`, `SEEN`.
        boxes: (n, M, 4) x1, y1, x2, y2.
        areas: (n, M) square pixels of the segment, at least 1.
        counted: (n, M) whom the network has to find.
        ignored: (n, M) who is neither to be found nor to be missed: crowds, and people without any labelled joint.
            Neither of the two is an empty place.
    """

    joints: Tensor
    labelled: Tensor
    boxes: Tensor
    areas: Tensor
    counted: Tensor
    ignored: Tensor


def collate(batch: Sequence[People]) -> Targets:
    """People of n images, whose places are in pixels of the network's input already, to one `Targets`."""
    n, most, v = len(batch), max(1, *(len(people) for people in batch)), len(JOINTS)
    joints = np.zeros((n, most, v, 2), np.float32)
    labelled = np.zeros((n, most, v), np.uint8)
    boxes = np.zeros((n, most, 4), np.float32)
    areas = np.ones((n, most), np.float32)
    counted, ignored = np.zeros((n, most), bool), np.zeros((n, most), bool)
    for i, people in enumerate(batch):
        m = len(people)
        known = people.labelled > 0
        joints[i, :m] = people.joints * known[..., None]
        labelled[i, :m] = people.labelled
        boxes[i, :m, :2] = people.boxes[:, :2]
        boxes[i, :m, 2:] = people.boxes[:, :2] + people.boxes[:, 2:]
        areas[i, :m] = np.maximum(people.areas, SMALLEST_AREA)
        # Without a width or a height there is no box to find, as little as there is a pose without joints.
        counted[i, :m] = people.counted & (people.boxes[:, 2:] > 0).all(axis=1)
        ignored[i, :m] = ~counted[i, :m]
    return Targets(*(torch.from_numpy(part) for part in (joints, labelled, boxes, areas, counted, ignored)))


def oks(found: Tensor, joints: Tensor, labelled: Tensor, areas: Tensor) -> Tensor:
    """Object keypoint similarity in [0, 1]; 0 for people without labelled joints.

    Args:
        found: (..., V, 2) pixels.
        joints: (..., V, 2) the truth.
        labelled: (..., V) above 0 where there is one.
        areas: (...) square pixels.

    Source: COCO keypoint evaluation: the mean over labelled joints of exp(-d^2 / (2 area (2 sigma)^2)).
    """
    known = (labelled > 0).to(found.dtype)
    close = torch.exp(-scaled_squares(found, joints, areas) / 2)
    return (close * known).sum(dim=-1) / known.sum(dim=-1).clamp(min=1)


def scaled_squares(found: Tensor, joints: Tensor, areas: Tensor) -> Tensor:
    """(..., V): squared distance over area (2 sigma)^2, the unit in which OKS measures."""
    sigmas = torch.tensor(SIGMAS, dtype=found.dtype, device=found.device)
    squares = (found - joints).square().sum(dim=-1)
    return squares / (areas[..., None] * (2 * sigmas).square())
