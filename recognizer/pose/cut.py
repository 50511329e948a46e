"""Cutting images into train, validation and the frozen test so that none shares a subject with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recognizer.errors import SplitError
from recognizer.snapshot import SetName

FEWEST = 3


def cut_images(
    subjects: Sequence[str | None],
    found: Sequence[int],
    shares: Mapping[SetName, float],
    least: Mapping[SetName, int],
    *,
    seed: int = 0,
) -> list[SetName]:
    """The set of each of n images: whole subjects are drawn until a set has its share; the rest is `train`.

    An image of nobody known is a subject of its own. Each set that has a share gets one subject at least.

    Args:
        found: (n,) people in each image who have to be found.
        least: of those people, which a set gets even beyond its share, as long as half of the images are left for
            `train`: from too few, nothing can be told.

    Raises:
        SplitError: fewer than three subjects.
    """
    n = len(subjects)
    groups: dict[object, list[int]] = {}
    for place, subject in enumerate(subjects):
        groups.setdefault(place if subject is None else subject, []).append(place)
    if len(groups) < FEWEST:
        raise SplitError(
            f"{len(groups)} images or subjects cannot be cut into three sets",
            hint=f"give at least {FEWEST}; a hundred and more let a gate judge",
        )
    every = [_Group(tuple(places), sum(found[place] for place in places)) for places in groups.values()]
    order = [every[place] for place in np.random.default_rng(seed).permutation(len(every))]
    chosen: list[SetName] = ["train"] * n
    for name, share in shares.items():
        lacking, people = max(round(share * n), 1), least.get(name, 0)
        while (which := _next(order, lacking > 0, people > 0, chosen.count("train") - n // 2)) is not None:
            group = order.pop(which)
            for place in group.places:
                chosen[place] = name
            lacking, people = lacking - len(group.places), people - group.people
    return chosen


class _Group(NamedTuple):
    """Images of one subject, and the people to be found in them."""

    places: tuple[int, ...]
    people: int


def _next(order: Sequence[_Group], lacks_images: bool, lacks_people: bool, spare: int) -> int | None:
    """Whom a set is given next; None for nobody. spare: images that `train` can do without."""
    if len(order) < 2:
        return None
    if lacks_images or not lacks_people:
        return 0 if lacks_images else None
    return next((at for at, group in enumerate(order) if group.people and len(group.places) <= spare), None)
