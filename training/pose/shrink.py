"""Large pictures made smaller once, instead of every time that training looks at them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from recognizer.images import Placement, decode
from recognizer.scenes import Scene
from training.pose.augment import Size, scaled

SPARE = 1.5
"""Sides of the network's input that are kept: a picture may be shown larger than it just fits."""
QUALITY = 95
"""Of the JPEG file."""


def shrunk(scene: Scene, size: Size) -> Scene:
    """The scene at 1.5 times the network's input (height, width), where it is larger than that; else as it is."""
    roomy = (round(size[0] * SPARE), round(size[1] * SPARE))
    placement = Placement.of(scene.shape, roomy)
    if max(placement.scale_x, placement.scale_y) >= 1:
        return scene
    height, width = round(scene.shape[0] * placement.scale_y), round(scene.shape[1] * placement.scale_x)
    image = cv2.resize(decode(scene.image), (width, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(np.asarray(image, np.uint8), cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    people = scaled(scene.people, placement.scale_x, placement.scale_y)
    return replace(scene, image=content, shape=(height, width), people=people)
