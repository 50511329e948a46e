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
from training.pose.shrink import SPARE
from training.pose.targets import Targets, collate

Batch = tuple[Tensor, Targets]
"""Images (n, 3, h, w) in [0, 1], red first, and who is in them."""

TILES = (2, 4)
"""Pictures in a mosaic, one as likely as the other."""
HELD = 192 * 2**20
"""Bytes of decoded pictures that are kept, from which those beside one in a mosaic are drawn."""


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
        shown = np.concatenate(mine) if mine else order
        held = _Held(self.scenes, max(self.batch, int(HELD / (np.prod(self.size) * 3 * SPARE**2))))
        starts = np.cumsum([0, *map(len, mine)])[:-1].tolist()
        return ahead([partial(self._made, held, shown, start, len(part)) for start, part in zip(starts, mine, strict=True)])

    def _made(self, held: _Held, shown: NDArray[np.int64], start: int, number: int) -> Batch:
        return stacked([self._drawn(held, shown, position) for position in range(start, start + number)])

    def _drawn(self, held: _Held, shown: NDArray[np.int64], position: int) -> Labelled:
        """The picture at this position of all that are `shown`, as this epoch shows it."""
        random = np.random.default_rng((self.seed, self.epoch, int(shown[position])))

        def one(place: int) -> Labelled:
            return augmented(*held(place), self.size, self.augment, random)

        def other() -> int:
            # One of those before, which is still decoded: four of five pictures would have to be decoded three times.
            return int(shown[position - int(random.integers(1, 1 + min(held.most, len(shown))))])

        def whole(place: int) -> Labelled:
            if random.random() >= self.augment.mosaic:
                return one(place)
            places = [place, *(other() for _ in range(int(random.choice(TILES)) - 1))]
            random.shuffle(places)
            return mosaic([held(one) for one in places], self.size, self.augment, random)

        place = int(shown[position])
        if not self.together:
            return one(place)
        first = whole(place)
        return mixed(first, whole(other())) if random.random() < self.augment.mixup else first


class _Held:
    """Decoded pictures of the last places that were asked for first.

    Attributes:
        most: how many.
    """

    def __init__(self, scenes: Sequence[Scene], most: int) -> None:
        self.most, self._scenes = most, scenes
        self._kept: dict[int, Labelled] = {}

    def __call__(self, place: int) -> Labelled:
        if place not in self._kept:
            if len(self._kept) > self.most:
                del self._kept[next(iter(self._kept))]
            scene = self._scenes[place]
            self._kept[place] = decode(scene.image), scene.people
        return self._kept[place]


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
