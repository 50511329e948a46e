"""Teaching the trained network how well it places joints, which it is asked for at every candidate.

The network itself stays as it is, so this is a matter of seconds, and sees the candidates as they will be: all of a
picture, duplicates and errors among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from recognizer.evaluation.oks import HIT
from recognizer.scenes import Scene
from training.models.rtmo import Dense, Rtmo, surest
from training.pose.assign import ignored_anchors
from training.pose.augment import Size
from training.pose.batches import Batch, TrainingBatches
from training.pose.params import AugmentParams, TrainParams
from training.pose.targets import Targets, oks

LOOKS, PASSES = 6000, 3
"""Pictures that are looked at, each so many times at most."""
BATCH = 8
LEARNING_RATE, DECAY = 3e-3, 0.01


def fit_quality(network: Rtmo, scenes: Sequence[Scene], size: Size, params: TrainParams) -> None:
    """Fit `network.quality` in place, by the OKS that candidates reach in training pictures.

    Goes on from the weights it has, and with the same ones gives the same again. On the CPU, whatever the network was
    trained on: only the smallest has a refiner, and a network without one has no quality, so nothing is done.

    Args:
        size: (height, width) of the network's input.
        params: of the training that made the network.
    """
    quality = network.quality
    if quality is None:
        return
    steps = max(1, min(LOOKS, PASSES * len(scenes)) // BATCH)
    optimizer = torch.optim.AdamW(quality.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)
    network.eval()
    with closing(_batches(scenes, size, params)) as batches:
        for step, (images, targets) in enumerate(islice(batches, steps)):
            with torch.no_grad():
                dense = network(images, dense=False)
                which, anchors, each = surest(dense, params.people)
                placed = network.place(dense, which, anchors, each)
                joints = placed.guesses[-1].unflatten(0, (-1, each))
                reached, counts = _reached(dense, targets, joints, anchors)
            expected = network.expected(dense, which, anchors, placed)
            loss = functional.binary_cross_entropy_with_logits(expected, reached, counts, reduction="sum")
            (loss / counts.sum().clamp(min=1)).backward()
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 - step / steps)
            optimizer.step()
            optimizer.zero_grad()


def _batches(scenes: Sequence[Scene], size: Size, params: TrainParams) -> Iterator[Batch]:
    """Pictures by themselves, half of them mirrored, in another order in every pass."""
    plain = AugmentParams(flip=params.augment.flip)
    for turn in range(PASSES):
        yield from TrainingBatches(scenes, size, plain, BATCH, params.seed, params.epochs + turn, together=False)


def _reached(dense: Dense, targets: Targets, joints: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """(n * K,) the best OKS with anybody who counts, 0 where there is nobody; and whether that teaches: 0 for whoever
    is in the box of somebody ignored, and may well be right, unless somebody else is found there, else 1.

    Args:
        joints: (n, K, V, 2) pixels.
        anchors: (n * K,).
    """
    n, k = joints.shape[:2]
    similar = oks(
        joints[:, :, None], targets.joints[:, None], targets.labelled[:, None], targets.areas[:, None]
    ) * targets.counted[:, None].to(joints.dtype)
    best = similar.amax(dim=2)
    ignored = ignored_anchors(dense, targets).gather(1, anchors.reshape(n, k))
    return best.flatten(), (~ignored | (best >= HIT)).to(joints.dtype).flatten()
