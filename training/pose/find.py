"""Whom a network in training finds in labelled scenes: what validation and the parity gate look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recognizer.images import decode, letterbox
from recognizer.pose.answers import EVERYBODY
from recognizer.scenes import FoundPeople, Scene
from recognizer.suppression import Candidates, suppress
from training.models.rtmo import Finder, Rtmo, merged
from training.pose.augment import Size

BATCH = 16


def find(network: Rtmo, scenes: Sequence[Scene], size: Size, people: int, *, weighed: bool = True) -> list[FoundPeople]:
    """Everybody above a low score in each of n scenes, in pixels of the scene; `network` is left as it is.

    Args:
        size: (height, width) of the network's input.
        people: candidates of one picture.
        weighed: whether scores say how well joints are placed, which is taught last; else they are the anchors' own.
    """
    device = next(network.parameters()).device
    deployed = merged(network)
    if not weighed:
        deployed.quality = None
    finder = Finder(deployed, people).eval()
    found: list[FoundPeople] = []
    with torch.inference_mode():
        for start in range(0, len(scenes), BATCH):
            part = [scenes[place] for place in range(start, min(start + BATCH, len(scenes)))]
            placed = [letterbox(decode(scene.image), size) for scene in part]
            images = torch.from_numpy(np.stack([image for image, _ in placed])).to(device)
            answers = [answer.float().cpu().numpy() for answer in finder(images)]
            for i, (_, placement) in enumerate(placed):
                found.append(suppress(Candidates(*(answer[i] for answer in answers)), placement, EVERYBODY))
    return found
