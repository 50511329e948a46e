"""Batches of pictures, read from disk as they are needed: memory does not grow with their number.

A pure function of seed and epoch, so that a resumed training sees what it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recognizer.images import decode
from recognizer.scenes import Scene
from training.pose.augment import Labelled, Size, augmented, mixed, mosaic
from training.pose.params import AugmentParams
from training.pose.targets import Targets, collate

Batch = tuple[Tensor, Targets]
"""Images (n, 3, h, w) in [0, 1], red first, and who is in them."""

TILES = (2, 4)
"""Pictures in a mosaic, one as likely as the other."""


@dataclass(frozen=True)
class TrainingBatches:
    """One epoch of augmented pictures in random order; the last batch holds what is left.

    Attributes:
        scenes: read one at a time, by a thread that is one batch ahead.
        size: (height, width) of the network's input.
        together: whether pictures may be put together (mosaic, mixup).
        share: which of how many processes this one is; each takes other batches.
    """

    scenes: Sequence[Scene]
    size: Size
    augment: AugmentParams
    batch: int
    seed: int
    epoch: int
    together: bool = True
    share: tuple[int, int] = (0, 1)

    def __len__(self) -> int:
        return math.ceil(math.ceil(len(self.scenes) / self.batch) / self.share[1])

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.scenes))
        parts = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
        process, processes = self.share
        # As many for every process: they wait for each other after each batch.
        mine = [parts[(place * processes + process) % len(parts)] for place in range(len(self))]
        return ahead([partial(self._made, part) for part in mine])

    def _made(self, part: NDArray[np.int64]) -> Batch:
        return stacked([self._drawn(int(place)) for place in part])

    def _drawn(self, place: int) -> Labelled:
        """The picture of one place, as this epoch shows it."""
        random = np.random.default_rng((self.seed, self.epoch, place))
        if not self.together:
            return self._one(place, random)
        first = self._whole(place, random)
        if random.random() >= self.augment.mixup:
            return first
        return mixed(first, self._whole(self._other(random), random))

    def _whole(self, place: int, random: np.random.Generator) -> Labelled:
        if random.random() >= self.augment.mosaic:
            return self._one(place, random)
        places = [place, *(self._other(random) for _ in range(int(random.choice(TILES)) - 1))]
        random.shuffle(places)
        return mosaic([self._read(one) for one in places], self.size, self.augment, random)

    def _one(self, place: int, random: np.random.Generator) -> Labelled:
        return augmented(*self._read(place), self.size, self.augment, random)

    def _other(self, random: np.random.Generator) -> int:
        return int(random.integers(len(self.scenes)))

    def _read(self, place: int) -> Labelled:
        scene = self.scenes[place]
        return decode(scene.image), scene.people


@contextmanager
def opencv_alone() -> Iterator[None]:
    """OpenCV on one thread: its others would take the cores that the network is trained on."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def stacked(labelled: Sequence[Labelled]) -> Batch:
    """Pictures of one shape as a batch, its channels last in memory, which convolutions are a third faster on.

    Computed by numpy: torch would start a team of threads for this thread too, and OpenMP, seeing more threads than
    cores, no longer lets those spin that train the network: they slept at every step, and training took half as long
    again.
    """
    images = np.stack([image for image, _ in labelled], dtype=np.float32)
    images /= 255
    return torch.from_numpy(images).permute(0, 3, 1, 2), collate([people for _, people in labelled])


def ahead(jobs: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """The jobs' results in order; one thread makes the next one while the last one is used."""
    with ThreadPoolExecutor(1, "pictures") as pool:
        waiting: list[Future[Batch]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > 1:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
