"""Found people as arrays of one size, n images along the first axis, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recognizer.answers import Answers
from recognizer.errors import InputError
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS

MOST = 20
"""People kept of one image, the surest first: so many COCO's evaluators look at."""
ARRAYS = {"joints": (len(JOINTS), 2), "visibility": (len(JOINTS),), "boxes": (4,), "scores": ()}
"""Array → its shape for one person; see `recognizer.scenes.FoundPeople`. Beside them stands `count` (n,)."""
COUNT = "count"


def stack(found: Sequence[FoundPeople]) -> Answers:
    """Arrays (n, `MOST`, …) of the people found in n images, and their `count` (n,); what is beyond it is 0."""
    n = len(found)
    arrays = {name: np.zeros((n, MOST, *shape), np.float32) for name, shape in ARRAYS.items()}
    for row, people in enumerate(found):
        for name, array in arrays.items():
            kept = getattr(people, name)[:MOST]
            array[row, : len(kept)] = kept
    return {**arrays, COUNT: np.array([min(len(people), MOST) for people in found], np.int64)}


def unstack(answers: Answers) -> list[FoundPeople]:
    """The people of each image.

    Raises:
        InputError: these are no such arrays.
    """
    n = len(answers[COUNT]) if COUNT in answers else -1
    for name, shape in ARRAYS.items():
        if name not in answers or answers[name].shape != (n, MOST, *shape):
            raise InputError(
                f"{name} of shape {answers[name].shape if name in answers else None}, expected {(n, MOST, *shape)}",
                hint="give what `recognizer.pose.answers.stack` makes",
            )
    counts = answers[COUNT].tolist()
    return [FoundPeople(**{name: answers[name][row, :count] for name in ARRAYS}) for row, count in enumerate(counts)]
