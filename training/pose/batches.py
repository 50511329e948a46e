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
"""Bytes of decoded pictures that are kept, among which are those beside one in a mosaic."""


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
        shown = _Shown(self.scenes, np.concatenate([order[:0], *mine]), self._held())
        ends = np.cumsum([len(part) for part in mine], dtype=int).tolist()
        return ahead(
            [partial(self._made, shown, range(end - len(part), end)) for part, end in zip(mine, ends, strict=True)]
        )

    def _held(self) -> int:
        """Pictures that stay decoded, each at most as large as `prepare` left it; one where none is shown twice."""
        if not self.together:
            return 1
        height, width = self.size
        return max(1, int(HELD / (3 * height * width * SPARE**2)))

    def _made(self, shown: _Shown, positions: range) -> Batch:
        return stacked([self._drawn(shown, position) for position in positions])

    def _drawn(self, shown: _Shown, position: int) -> Labelled:
        """The picture at one position of all that this epoch shows."""
        shown.go_on(position)
        random = np.random.default_rng((self.seed, self.epoch, int(shown.places[position])))
        if not self.together:
            return self._one(shown[position], random)
        first = self._whole(shown, position, random)
        if random.random() >= self.augment.mixup:
            return first
        return mixed(first, self._whole(shown, shown.earlier(random), random))

    def _whole(self, shown: _Shown, position: int, random: np.random.Generator) -> Labelled:
        if random.random() >= self.augment.mosaic:
            return self._one(shown[position], random)
        positions = [position, *(shown.earlier(random) for _ in range(int(random.choice(TILES)) - 1))]
        random.shuffle(positions)
        return mosaic([shown[one] for one in positions], self.size, self.augment, random)

    def _one(self, labelled: Labelled, random: np.random.Generator) -> Labelled:
        return augmented(*labelled, self.size, self.augment, random)


class _Shown:
    """The pictures of an epoch in their order, of which the last ones stay decoded.

    Those beside one in a mosaic are among these: else most pictures would be decoded three times. At 256 pixels they
    are so many (455) that one seldom returns within the steps over which the optimizer averages.

    Attributes:
        places: (n,) of the scenes.
    """

    def __init__(self, scenes: Sequence[Scene], places: NDArray[np.int64], most: int) -> None:
        self.places, self._scenes, self._most, self._now = places, scenes, most, 0
        self._decoded: dict[int, Labelled] = {}

    def go_on(self, position: int) -> None:
        """Show this position, the one after the last; the picture that is now too far back is given up."""
        self._now, n = position, len(self.places)
        if self._most + 1 < n:
            self._decoded.pop((position - self._most - 1) % n, None)

    def __getitem__(self, position: int) -> Labelled:
        if position not in self._decoded:
            scene = self._scenes[int(self.places[position])]
            self._decoded[position] = decode(scene.image), scene.people
        return self._decoded[position]

    def earlier(self, random: np.random.Generator) -> int:
        """The position of one of those shown before; before the first one comes the last."""
        n = len(self.places)
        return (self._now - int(random.integers(1, 1 + min(self._most, n)))) % n


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
