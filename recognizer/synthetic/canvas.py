"""Flat shapes with a depth, and the canvas that paints the farthest first and remembers what every pixel shows.

Outlines are (k, 2) int32 in sixteenths of a pixel, as OpenCV's polygons with a `shift` of 4 take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.synthetic.light import Image
from recognizer.synthetic.pose import Track

SHIFT = 4
FARTHEST = 30_000  # pixels; OpenCV's corners do not reach much further
MOST = 255  # shapes of one canvas: every pixel remembers its shape in 8 bits
NOBODY = -1
Outline = NDArray[np.int32]
Layers = list[tuple[Outline, Sequence[float]]]


@dataclass(slots=True)
class Shape:
    """One solid thing as the camera sees it: a limb, a head, a table.

    Attributes:
        depth: metres from the camera; nearer shapes hide farther ones.
        layers: outlines with their colours, painted in this order.
        outlines: what the shape covers, all of it; those of the layers by themselves where left out.
        owner: index of the person it belongs to, or `NOBODY`.
        joints: those of the person that lie inside of this shape, and are not hidden by it.
        axis: (2, 3) its two ends in camera axes, metres; None for things.
        radius: metres from the axis to the surface.
        pattern: strength of the cloth's or material's pattern, grey levels.
    """

    depth: float
    layers: Layers
    outlines: list[Outline] = field(default_factory=list)
    owner: int = NOBODY
    joints: tuple[int, ...] = ()
    axis: Track | None = None
    radius: float = 0.0
    pattern: float = 0.0


@dataclass(frozen=True)
class Painted:
    """A picture and what it shows.

    Attributes:
        image: (h, w, 3) RGB.
        ids: (h, w) 0 for the background, otherwise one more than the index of the shape in `shapes`.
        shapes: those that were painted, the farthest first.
    """

    image: Image
    ids: NDArray[np.uint8]
    shapes: tuple[Shape, ...]

    @property
    def owners(self) -> NDArray[np.int8]:
        """(h, w) whose every pixel is: the index of a person, or `NOBODY`."""
        owner = np.full(MOST + 1, NOBODY, np.int8)
        owner[1 : len(self.shapes) + 1] = [shape.owner for shape in self.shapes]
        return np.asarray(owner[self.ids])


def outline(points: Track) -> Outline:
    """Pixels (..., 2) as an outline."""
    return np.asarray((points.clip(-FARTHEST, FARTHEST) * (1 << SHIFT)).astype(np.int32))


def cover(shapes: Sequence[Shape], size: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[Shape, ...]]:
    """Which shape every pixel of a picture of (height, width) shows; see `Painted.ids`, and the shapes in order."""
    ids = np.zeros(size, np.uint8)
    ordered = tuple(sorted(shapes, key=lambda shape: -shape.depth)[-MOST:])
    for number, shape in enumerate(ordered, 1):
        for line in shape.outlines or [line for line, _ in shape.layers]:
            cv2.fillConvexPoly(ids, line, number, cv2.LINE_8, SHIFT)
    return ids, ordered


def paint(backdrop: Image, ids: NDArray[np.uint8], ordered: tuple[Shape, ...], cloth: NDArray[np.float32]) -> Painted:
    """Paint onto the backdrop (h, w, 3), in place, the shapes that `cover` has put into order.

    Args:
        cloth: (h, w) in [-1, 1], the pattern of all materials.
    """
    for shape in ordered:
        for line, colour in shape.layers:
            cv2.fillConvexPoly(backdrop, line, colour, cv2.LINE_AA, SHIFT)
    strength = np.zeros(MOST + 1, np.float32)
    strength[1 : len(ordered) + 1] = [shape.pattern for shape in ordered]
    woven = cv2.multiply(cv2.LUT(ids, strength), cloth)
    image = cv2.add(backdrop, cv2.merge([woven, woven, woven]), dtype=cv2.CV_8U)
    return Painted(image, ids, ordered)
