"""The window a client sends: any number of people and frames, checked before a model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError
from recognizer.skeleton import JOINTS

Array = NDArray[np.float32]

SHAPES = f"[people, frames, {len(JOINTS)}, 2 or 3] or, for one person, [frames, {len(JOINTS)}, 2 or 3]"


@dataclass(frozen=True)
class ActionWindow:
    """One request of the action task.

    Attributes:
        keypoints: (M, T, 17, 2) pixels of the image.
        visibility: (M, T, 17) in [0, 1]; 0 where the joint was not seen.
    """

    keypoints: Array
    visibility: Array


def make_window(keypoints: NDArray[np.generic], visibility: NDArray[np.generic] | None = None) -> ActionWindow:
    """Check what was sent and bring it into the one form.

    Args:
        keypoints: (M, T, 17, 2), (M, T, 17, 3), (T, 17, 2) or (T, 17, 3); a third channel is the visibility.
        visibility: (M, T, 17) or (T, 17) in [0, 1]. Without it (and without a third channel) a joint at (0, 0)
            was not seen and every other one was.

    Raises:
        InputError: no numbers, wrong dimensions or joint count, no people or frames, NaN or infinite values,
            visibility outside [0, 1] or given twice, or no joint seen at all.
    """
    points = _numbers(keypoints, "keypoints")
    if points.ndim == 3:
        points = points[None]
    if points.ndim != 4 or points.shape[3] not in (2, 3):
        raise _bad(f"has shape {list(keypoints.shape)}, expected {SHAPES}", "keypoints")
    if points.shape[2] != len(JOINTS):
        raise _bad(
            f"has {points.shape[2]} joints a frame, expected the {len(JOINTS)} COCO joints",
            "keypoints",
            f"send them in this order: {', '.join(JOINTS)}",
        )
    if points.shape[0] < 1 or points.shape[1] < 1:
        raise _bad(
            f"has {points.shape[0]} people and {points.shape[1]} frames",
            "keypoints",
            "send at least 1 person and 1 frame; leave the window out when nobody is in the picture",
        )
    _finite(points, "keypoints")
    seen = _visibility(points, visibility)
    if not seen.any():
        raise _bad(
            "no joint is seen in any frame",
            "keypoints",
            "send a window in which somebody is visible; without visibility, (0, 0) means not seen",
        )
    return ActionWindow(np.ascontiguousarray(points[..., :2]), seen)


def _visibility(points: Array, given: NDArray[np.generic] | None) -> Array:
    """(M, T, 17) from whichever place the client used."""
    if given is None:
        if points.shape[3] == 2:
            return (points != 0).any(axis=3).astype(np.float32)
        seen = points[..., 2]
    else:
        if points.shape[3] == 3:
            raise _bad("is given twice, as the third channel too", "visibility", "send it in one place")
        seen = _numbers(given, "visibility")
        seen = seen[None] if seen.ndim == 2 else seen
        if seen.shape != points.shape[:3]:
            raise _bad(f"has shape {list(given.shape)}, expected {list(points.shape[:3])}", "visibility")
        _finite(seen, "visibility")
    if seen.min() < 0 or seen.max() > 1:
        low, high = float(seen.min()), float(seen.max())
        raise _bad(f"ranges from {low:g} to {high:g}, expected [0, 1]", "visibility", "clip it to [0, 1]")
    return np.ascontiguousarray(seen)


def _numbers(array: NDArray[np.generic], name: str) -> Array:
    if array.dtype.kind not in "fiu":
        raise _bad("is no array of numbers of one shape", name)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which `_finite` refuses
        return np.asarray(array, np.float32)


def _finite(array: Array, name: str) -> None:
    if not np.isfinite(array).all():
        person, frame, joint = np.argwhere(~np.isfinite(array))[0][:3]
        raise _bad(
            f"has NaN or infinite values, first at person {person}, frame {frame}, {JOINTS[joint]}",
            name,
            "send (0, 0) and visibility 0 where a joint was not seen",
        )


def _bad(what: str, where: str, hint: str = f"send {SHAPES}") -> InputError:
    return InputError(what, where=where, hint=hint)
