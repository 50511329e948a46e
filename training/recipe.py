"""What every training does alike: the course of the learning rate, the average of the weights, and the same digits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def blend(average: list[Tensor], current: list[Tensor], done: Tensor | int, *, decay: float) -> None:
    """Move the average towards the current values, in place; `done` counts the updates before.

    Young averages forget faster. At full decay the initial running variances of batch norm would outweigh the
    thousand times smaller ones of velocities for hundreds of steps, and validation would see another network.
    """
    share = 1 - min(decay, (1 + int(done)) / (10 + int(done)))
    for old, new in zip(average, current, strict=True):
        if old.is_floating_point():
            old.lerp_(new, share)
        else:
            old.copy_(new)


def one_cycle(step: int, *, steps: int, warm_up: float) -> float:
    """Factor on the learning rate: rises evenly over the share `warm_up` of the steps, then falls as a cosine."""
    rising = max(1, round(steps * warm_up))
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2


def linear_decay(step: int, *, steps: int, warm_up: float) -> float:
    """Factor on the learning rate: rises evenly over the share `warm_up` of the steps, then falls evenly to 0.

    Source: Defazio et al. 2023, "Optimal Linear Decay Learning Rate Schedules and Further Refinements".
    """
    rising = max(1, round(steps * warm_up))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, 1 - (step - rising) / max(1, steps - rising))


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Fix what bit-identical results depend on, and give it back afterwards.

    Memory that is wholly written before it is read needs no filling first, which would cost a pass over all of it.
    """
    deterministic = torch.utils.deterministic
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled_before = deterministic.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(strict_before)
            deterministic.fill_uninitialized_memory = filled_before
