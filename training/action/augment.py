"""Random changes to training clips, each switched by a parameter of its own.

Every change is a pure function of (parameters, generator): the same seed, epoch and clip give the same window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recognizer.skeleton import JOINTS, MIRROR
from recognizer.windows import WindowSpec, to_window
from training.action.params import AugmentParams

Array = NDArray[np.float32]


def augmented_window(
    keypoints: Array, visibility: Array, spec: WindowSpec, params: AugmentParams, seed: tuple[int, ...]
) -> tuple[Array, Array]:
    """A random window of one clip.

    Args:
        keypoints: (M, T, 17, 2) in pixels.
        visibility: (M, T, 17).
        spec: as in service; time is cut and joints are hidden before it, the rest happens in its body units.
        params: which changes, how strong.
        seed: e.g. (seed, epoch, clip).

    Returns:
        As `recognizer.windows.to_window`.
    """
    random = np.random.default_rng(seed)
    keypoints, visibility = _crop(keypoints, visibility, params, random)
    visibility = _hide(visibility, params, random)
    window, seen = to_window(keypoints, visibility, spec)
    if random.random() < params.flip:
        window, seen = window[:, :, list(MIRROR)] * np.array([-1, 1], np.float32), seen[:, :, list(MIRROR)]
    window = window @ _turn(params, random).T
    window = window + random.uniform(-1, 1, (len(window), 1, 1, 2)) * params.shift
    if params.noise > 0:
        window = window + random.normal(0, params.noise, window.shape)
    return np.where(seen[..., None] > 0, window, 0).astype(np.float32), seen


def _crop(
    keypoints: Array, visibility: Array, params: AugmentParams, random: np.random.Generator
) -> tuple[Array, Array]:
    """A random stretch of time, unless nobody would be seen in it."""
    frames = keypoints.shape[1]
    length = round(frames * random.uniform(params.shortest, 1.0))
    start = int(random.integers(0, max(frames - length, 0) + 1))
    stretch = slice(start, start + max(length, 1))
    if random.random() >= params.crop or not visibility[:, stretch].any():
        return keypoints, visibility
    return keypoints[:, stretch], visibility[:, stretch]


def _hide(visibility: Array, params: AugmentParams, random: np.random.Generator) -> Array:
    """Joints that a detector loses: one for the whole clip, single ones in single frames."""
    hidden = random.random(visibility.shape, dtype=np.float32) < params.blink
    joint = int(random.integers(len(JOINTS)))
    if random.random() < params.hide:
        hidden[..., joint] = True
    left = np.where(hidden, 0, visibility).astype(np.float32)
    return left if left.any() else visibility


def _turn(params: AugmentParams, random: np.random.Generator) -> Array:
    """(2, 2): rotation, then slant, then height against width (a camera that looks down), then size."""
    angle = np.deg2rad(random.uniform(-params.rotation, params.rotation))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.eye(2)
    slant[0, 1], slant[1, 0] = random.uniform(-params.shear, params.shear, 2)
    size = np.diag([1, 1 + random.uniform(-params.stretch, params.stretch)])
    size *= 1 + random.uniform(-params.scale, params.scale)
    return np.asarray(size @ slant @ turn, dtype=np.float32)
