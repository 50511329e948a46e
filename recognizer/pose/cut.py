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
    people = dict.fromkeys(shares, 0)

    def give(name: SetName, group: _Group) -> int:
        for place in group.places:
            chosen[place] = name
        people[name] += group.people
        return len(group.places)

    for name, share in shares.items():
        lacking = max(round(share * n), 1)
        while lacking > 0 and len(order) > 1:
            lacking -= give(name, order.pop(0))
    for name, few in least.items():
        while people[name] < few and (which := _fitting(order, chosen.count("train") - n // 2)) is not None:
            give(name, order.pop(which))
    return chosen


class _Group(NamedTuple):
    """Images of one subject, and the people to be found in them."""

    places: tuple[int, ...]
    people: int


def _fitting(order: Sequence[_Group], spare: int) -> int | None:
    """The first with people among those that `train` can do without, which are at most `spare` images; None of none."""
    return next((at for at, group in enumerate(order) if group.people and len(group.places) <= spare), None)
