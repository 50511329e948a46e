"""Found people as arrays of one size, n images along the first axis, and back.

A model's answer is everybody above a score so low that average precision sees the whole curve; those who are shown to
a caller are the surest of them, from the model's own threshold on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from recognizer.answers import Answers
from recognizer.errors import InputError
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS
from recognizer.suppression import Suppression

MOST = 20
"""People kept of one image, the surest first: so many COCO's evaluators look at."""
ARRAYS = {"joints": (len(JOINTS), 2), "visibility": (len(JOINTS),), "boxes": (4,), "scores": ()}
"""Array → its shape for one person; see `recognizer.scenes.FoundPeople`."""
COUNT, SHOWN = "count", "shown"
"""Arrays (n,) beside them: people in all, and how many of them, the first ones, are shown."""
EVERYBODY = Suppression(score=0.01, people=MOST)
"""Who is an answer at all."""


def stack(found: Sequence[FoundPeople], threshold: float = 0.0) -> Answers:
    """Arrays (n, `MOST`, …) of the people found in n images, the surest first; what is beyond their `count` is 0.

    threshold: score from which on they are shown.
    """
    n = len(found)
    arrays = {name: np.zeros((n, MOST, *shape), np.float32) for name, shape in ARRAYS.items()}
    for row, people in enumerate(found):
        for name, array in arrays.items():
            kept = getattr(people, name)[:MOST]
            array[row, : len(kept)] = kept
    counts = [min(len(people), MOST) for people in found]
    shown = [int((people.scores[:MOST] >= threshold).sum()) for people in found]
    return {**arrays, COUNT: np.array(counts, np.int64), SHOWN: np.array(shown, np.int64)}


def unstack(answers: Answers) -> list[FoundPeople]:
    """Everybody found in each image.

    Raises:
        InputError: these are no such arrays.
    """
    n = len(answers[COUNT]) if COUNT in answers and SHOWN in answers else -1
    for name, shape in ARRAYS.items():
        if name not in answers or answers[name].shape != (n, MOST, *shape):
            raise InputError(
                f"{name} of shape {answers[name].shape if name in answers else None}, expected {(n, MOST, *shape)}",
                hint="give what `recognizer.pose.answers.stack` makes",
            )
    counts = answers[COUNT].tolist()
    return [FoundPeople(**{name: answers[name][row, :count] for name in ARRAYS}) for row, count in enumerate(counts)]


def unstack_shown(answers: Answers) -> list[FoundPeople]:
    """The people of each image whom a caller is shown; raises as `unstack`."""
    return [_first(people, int(count)) for people, count in zip(unstack(answers), answers[SHOWN], strict=True)]


def _first(people: FoundPeople, count: int) -> FoundPeople:
    return replace(people, **{field.name: getattr(people, field.name)[:count] for field in fields(people)})
