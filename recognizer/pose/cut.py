"""Cutting images into train, validation and the frozen test so that none shares a subject with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recognizer.errors import SplitError
from recognizer.snapshot import SetName

FEWEST = 3


def cut_images(subjects: Sequence[str | None], shares: Mapping[SetName, float], *, seed: int = 0) -> list[SetName]:
    """The set of each of n images: whole subjects are drawn until a set has its share; the rest is `train`.

    An image of nobody known is a subject of its own. Each set that has a share gets one subject at least.

    Raises:
        SplitError: fewer than three subjects.
    """
    groups: dict[object, list[int]] = {}
    for place, subject in enumerate(subjects):
        groups.setdefault(place if subject is None else subject, []).append(place)
    if len(groups) < FEWEST:
        raise SplitError(
            f"{len(groups)} images or subjects cannot be cut into three sets",
            hint=f"give at least {FEWEST}; a hundred and more let a gate judge",
        )
    order = [list(groups.values())[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    chosen: list[SetName] = ["train"] * len(subjects)
    for name, share in shares.items():
        taken = 0
        while order and len(order) > 1 and (taken == 0 or taken < round(share * len(subjects))):
            for place in order[0]:
                chosen[place] = name
            taken += len(order.pop(0))
    return chosen
