"""Changes to an image that should not change whom a model finds: seen in a mirror, darker, at another resolution.

Each gives a scene of the same name; `restored` brings what was found in it back into the image as it was.
Source: Ribeiro, Wu, Guestrin, Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList"
(invariance tests), here for images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.images import Image, decode
from recognizer.scenes import FoundPeople, Scene
from recognizer.skeleton import MIRROR

DARKER = 0.6
HALF = 0.5
SMALLEST = 2


class Change(NamedTuple):
    """The image as it is changed, and what was found in it as it is in an image of so many pixels (height, width)."""

    image: Callable[[Image], Image]
    back: Callable[[FoundPeople, tuple[int, int]], FoundPeople]


def _mirrored(found: FoundPeople, shape: tuple[int, int]) -> FoundPeople:
    order, width = list(MIRROR), shape[1]
    joints = found.joints[:, order] * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)
    boxes = found.boxes.copy()
    boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    return replace(found, joints=joints, visibility=found.visibility[:, order], boxes=boxes)


def _smaller(image: Image) -> Image:
    return np.asarray(cv2.resize(image, _half(image.shape[:2])[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _larger(found: FoundPeople, shape: tuple[int, int]) -> FoundPeople:
    factor = np.array([full / part for full, part in zip(shape, _half(shape), strict=True)], np.float32)[::-1]
    return replace(found, joints=found.joints * factor, boxes=found.boxes * np.tile(factor, 2))


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = (max(round(side * HALF), SMALLEST) for side in shape)
    return height, width


CHANGES: Mapping[str, Change] = {
    "mirror": Change(lambda image: np.ascontiguousarray(image[:, ::-1]), _mirrored),
    "dark": Change(lambda image: (image * DARKER).astype(np.uint8), lambda found, _: found),
    "scale": Change(_smaller, _larger),
}


def changed(name: str, scene: Scene) -> Scene:
    """The scene with its image changed, as PNG, which loses nothing; its labels stay those of the image as it was."""
    image = CHANGES[name].image(decode(scene.image))
    return replace(scene, image=_png(image), shape=(image.shape[0], image.shape[1]))


def restored(name: str, found: FoundPeople, shape: tuple[int, int]) -> FoundPeople:
    """What was found in the changed image, in pixels of the image as it was; shape: that one's (height, width)."""
    return CHANGES[name].back(found, shape)


def _png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
