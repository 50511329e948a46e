"""Slices: groups of cases in which a model may be worse than in the whole.

Source: Chung, Kraska, Polyzotis, Tae, Whang 2019, "Slice Finder: Automated Data Slicing for Model Validation".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recognizer.sequences import SequenceSet, SkeletonSequence

KINDS = ("class", "subject", "people", "length", "visibility")
OTHERS = "others"
PARTS = 3
"""Into so many parts of about equal size numbers are cut."""

Slices = Mapping[str, tuple[str | None, ...]]
"""Kind → (n,) the slice of each case; None for a case that is in none."""


def sequence_slices(cases: SequenceSet, least: int = 1) -> Slices:
    """The slices of skeleton sequences, of every kind.

    Args:
        least: cases of a slice; smaller ones of a kind are one slice, `others`. A class is never put together with
            another: it is asked for by name.
    """
    seen = np.array([_share_seen(case) for case in cases])
    return {
        "class": tuple(cases.classes[case.label] for case in cases),
        "subject": joined(cases.subjects, least),
        "people": joined([_people(case.people) for case in cases], least),
        "length": thirds(np.array([case.frames for case in cases], np.float64), "{} frames"),
        "visibility": thirds(np.round(100 * seen), "{} % of the joints seen"),
    }


def joined(names: Sequence[str | None], least: int) -> tuple[str | None, ...]:
    """(n,) the names, those of fewer than `least` cases together under one."""
    sizes = Counter(name for name in names if name is not None)
    return tuple(OTHERS if name is not None and sizes[name] < least else name for name in names)


def thirds(numbers: NDArray[np.float64], words: str) -> tuple[str, ...]:
    """(n,) numbers cut into parts of about equal size, named by their bounds; equal numbers stay together.

    Args:
        words: with a place for the bounds, such as `{} frames`.
    """
    if len(numbers) == 0:
        return ()
    cuts = np.unique(np.quantile(numbers, np.arange(1, PARTS) / PARTS, method="lower"))
    part = np.searchsorted(cuts, numbers, side="left")
    names = {}
    for one in np.unique(part):
        inside = numbers[part == one]
        low, high = f"{inside.min():,.0f}", f"{inside.max():,.0f}"
        names[one] = words.format(low if low == high else f"{low} to {high}")
    return tuple(names[one] for one in part)


def _share_seen(case: SkeletonSequence) -> float:
    """Of the joints of those who are seen at all."""
    people = case.visibility[case.visibility.any(axis=(1, 2))]
    return float((people > 0).mean()) if len(people) else 0.0


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
