"""Batches of windows: a pure function of seed and epoch, so that a resumed training sees what it would have seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recognizer.sequences import SequenceSet
from recognizer.windows import WindowSpec, to_windows
from training.action.augment import augmented_window
from training.action.params import AugmentParams

Batch = tuple[Tensor, Tensor, Tensor]
"""Keypoints (B, M, T, V, 2), visibility (B, M, T, V), labels (B,)."""


@dataclass(frozen=True)
class TrainingBatches:
    """One epoch of augmented windows in random order."""

    sequences: SequenceSet
    spec: WindowSpec
    augment: AugmentParams
    batch: int
    seed: int
    epoch: int

    def _order(self) -> list[NDArray[np.int64]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.sequences))
        return [order[start : start + self.batch] for start in range(0, len(order), self.batch)]

    def __len__(self) -> int:
        return math.ceil(len(self.sequences) / self.batch)

    def __iter__(self) -> Iterator[Batch]:
        labels = self.sequences.labels
        for part in self._order():
            made = [self._window(int(index)) for index in part]
            keypoints, visibility = (torch.from_numpy(np.stack(side)) for side in zip(*made, strict=True))
            yield keypoints, visibility, torch.from_numpy(labels[part])

    def _window(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        clip = self.sequences.sequences[index]
        return augmented_window(
            clip.keypoints, clip.visibility, self.spec, self.augment, (self.seed, self.epoch, index)
        )


class PlainBatches:
    """The whole set as it is in service, in its own order; made once, read once per epoch."""

    def __init__(self, sequences: SequenceSet, spec: WindowSpec, batch: int) -> None:
        keypoints, visibility = (torch.from_numpy(side) for side in to_windows(sequences, spec))
        labels = torch.from_numpy(sequences.labels)
        self._batches = list(zip(keypoints.split(batch), visibility.split(batch), labels.split(batch), strict=True))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)
