"""Changes to a recording that should not change what a model answers: another place, size or side, a joint less.

Each is a pure function from sequence to sequence; name, label and subject stay. A joint that was not seen stays so, at
(0, 0): where it lies says nothing.
Source: Ribeiro, Wu, Guestrin, Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList"
(invariance tests), here for skeletons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import UsageError
from recognizer.sequences import SkeletonSequence
from recognizer.skeleton import JOINTS, MIRROR


def shift(sequence: SkeletonSequence, *, right: float, down: float) -> SkeletonSequence:
    """Everybody elsewhere in the picture, by shares of its width and height; joints may leave it, and are kept."""
    height, width = sequence.image_shape
    return _moved(sequence, sequence.keypoints.astype(np.float64) + np.array([right * width, down * height]))


def scale(sequence: SkeletonSequence, factor: float) -> SkeletonSequence:
    """The picture at another resolution: joints and image sides times `factor`.

    Raises:
        UsageError: the factor is not positive.
    """
    if factor <= 0:
        raise UsageError(f"a picture cannot be made {factor} times as large", hint="give a factor above 0")
    height, width = sequence.image_shape
    resized = replace(sequence, image_shape=(max(round(height * factor), 1), max(round(width * factor), 1)))
    return _moved(resized, sequence.keypoints.astype(np.float64) * factor)


def mirror(sequence: SkeletonSequence) -> SkeletonSequence:
    """The picture seen in a mirror: x becomes width - x, and left joints become right ones."""
    order = list(MIRROR)
    swapped = replace(sequence, visibility=sequence.visibility[:, :, order])
    points = sequence.keypoints[:, :, order].astype(np.float64)
    return _moved(swapped, np.array([sequence.image_shape[1], 0]) + points * (-1, 1))


def drop_joint(sequence: SkeletonSequence, joint: str) -> SkeletonSequence:
    """One joint of everybody hidden all the time; `joint` is a name of `recognizer.skeleton.JOINTS`.

    Raises:
        UsageError: no joint has this name.
    """
    if joint not in JOINTS:
        raise UsageError(f"no joint is called {joint!r}", hint=f"use one of: {', '.join(JOINTS)}")
    visibility = sequence.visibility.copy()
    visibility[:, :, JOINTS.index(joint)] = 0
    return _moved(replace(sequence, visibility=visibility), sequence.keypoints)


def thin(sequence: SkeletonSequence, *, step: int = 2) -> SkeletonSequence:
    """The first of every `step` frames: what a slower camera would have recorded.

    Raises:
        UsageError: a step below 1.
    """
    if step < 1:
        raise UsageError(f"every {step}th frame cannot be kept", hint="give a step of 1 or more")
    return replace(sequence, keypoints=sequence.keypoints[:, ::step], visibility=sequence.visibility[:, ::step])


def _moved(sequence: SkeletonSequence, points: NDArray[np.floating]) -> SkeletonSequence:
    """The sequence with points (M, T, 17, 2) where its joints are seen, and (0, 0) elsewhere."""
    seen = sequence.visibility[..., None] > 0
    return replace(sequence, keypoints=np.where(seen, points, 0).astype(np.float32))


UNIMPORTANT = ("left_eye", "right_eye", "left_ear", "right_ear")
"""Joints that hardly matter to what somebody does."""

CHANGES: Mapping[str, Callable[[SkeletonSequence, int], SkeletonSequence]] = {
    "shift": lambda case, _: shift(case, right=0.1, down=0.05),
    "scale": lambda case, _: scale(case, 0.5),
    "thin": lambda case, _: thin(case, step=2),
    "mirror": lambda case, _: mirror(case),
    "drop_joint": lambda case, place: drop_joint(case, UNIMPORTANT[place % len(UNIMPORTANT)]),
}
"""Change → the case as it is changed, by its place in the set."""
