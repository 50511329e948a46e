"""Rounded solids as flat outlines with bands of light: sticks between two points, hulls around rings, ellipsoids.

A solid is painted as a few outlines, each narrower than the one before and ending at the same edge, so that their
colours step from one side of the solid to the other. Everything is worked out for many solids at once: a scene has
hundreds, and numpy is slow one by one.
"""

from __future__ import annotations

import cv2
import numpy as np

from recognizer.synthetic.canvas import Outline, outline
from recognizer.synthetic.light import Light
from recognizer.synthetic.pose import Track
from recognizer.synthetic.view import View

# Share of the width that each band keeps, and where across the solid (-1 to 1) its light is measured.
SHARES, ACROSS = np.array([1.0, 0.72, 0.4]), np.array([-0.8, -0.1, 0.6])
BANDS = len(SHARES)
ARC = np.linspace(0, 1, 6)
TURN = np.linspace(0, 2 * np.pi, 12, endpoint=False)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


def unit(vectors: Track) -> Track:
    """(..., k) of length 1; a vector of length 0 stays."""
    return np.asarray(vectors / np.maximum(np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)), 1e-9))


def crossed(first: Track, second: Track) -> Track:
    """(..., 3) cross products; numpy's own takes several times as long on few vectors."""
    found = np.empty(np.broadcast_shapes(first.shape, second.shape))
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        found[..., x] = first[..., y] * second[..., z] - first[..., z] * second[..., y]
    return found


def shades(axis: Track, middle: Track, light: Light) -> tuple[Track, Track]:
    """How much light the bands of solids with this axis and middle (n, 3) get, (n, bands), and which way is across.

    Returns:
        The light, and the unit vector (n, 3) across each solid, as the camera sees it, towards the last band.
    """
    towards = -unit(middle)
    sideways = unit(crossed(axis, towards))
    normals = ACROSS[:, None] * sideways[:, None] + np.sqrt(1 - ACROSS**2)[:, None] * towards[:, None]
    return light.on(normals), sideways


def sticks(first: Track, second: Track, radii: Track, sideways: Track, view: View) -> tuple[Outline, Track]:
    """Outlines (n, bands, 12, 2) of n sticks with round ends, and their thickness (n,) in pixels.

    Args:
        first, second: (n, 3) the two ends in camera axes.
        radii: (n, 2) metres at the two ends.
        sideways: (n, 3) see `shades`.
    """
    ends = np.stack([first, second], axis=1)
    flat, thick = view.pixels(ends), view.scale(ends) * radii
    along = flat[:, 1] - flat[:, 0]
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)
    # Both ends' circles are shifted towards the last band's edge while they shrink.
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None]
    normal *= np.where((normal * sideways[:, :2]).sum(axis=1) < 0, -1, 1)[:, None]
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None, None]
    radius = SHARES[:, None] * thick[:, None]  # (n, bands, 2)
    centres = flat[:, None] + ((1 - SHARES)[:, None] * thick[:, None])[..., None] * normal[:, None, None]
    beside = np.arccos(np.clip((radius[..., 0] - radius[..., 1]) / length[:, None], -1, 1))[..., None]
    turn = np.stack([angle + beside + ARC * (2 * np.pi - 2 * beside), angle - beside + ARC * (2 * beside)], axis=2)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    points = centres[..., None, :] + radius[..., None, None] * circle
    return outline(points.reshape(len(first), BANDS, -1, 2)), thick.max(axis=1)


def rings(centres: Track, sides: Track, fronts: Track) -> Track:
    """(..., 12, 3) points of ellipses around centres with half axes `sides` and `fronts`, all (..., 3)."""
    return np.asarray(
        centres[..., None, :] + CIRCLE[:, :1] * sides[..., None, :] + CIRCLE[:, 1:] * fronts[..., None, :]
    )


def banded(circles: Track, sideways: Track, view: View) -> Outline:
    """Rings (n, bands, m, k, 2) of n solids from their rings (n, m, k, 3); hulls around them are outlines."""
    flat = view.pixels(circles)
    normal = unit(sideways[:, :2])[:, None, None]
    where = (flat * normal).sum(axis=-1)
    room = where.max(axis=-1, keepdims=True) - where
    shift = (1 - SHARES)[None, :, None, None, None] * (room[..., None] * normal)[:, None]
    return outline(flat[:, None] + shift)


def ellipsoids(centres: Track, axes: Track, view: View) -> Outline:
    """Outlines (n, 12, 2) of ellipsoids around (n, 3) with half axes (n, 3, 3), one a row, as seen from far away."""
    x, y = axes[..., 0], axes[..., 1]
    # Cholesky's square root of the shadow's 2x2 matrix.
    a = np.sqrt((x * x).sum(axis=-1) + 1e-9)
    b = (x * y).sum(axis=-1) / a
    c = np.sqrt(np.maximum((y * y).sum(axis=-1) - b * b, 1e-9))
    scale = view.scale(centres)[:, None]
    points = np.stack(
        [scale * a[:, None] * CIRCLE[:, 0], scale * (b[:, None] * CIRCLE[:, 0] + c[:, None] * CIRCLE[:, 1])], -1
    )
    return outline(view.pixels(centres)[:, None] + points)


def joined(lines: Outline) -> Outline:
    """The hull of outlines (..., 2)."""
    return np.asarray(cv2.convexHull(lines.reshape(-1, 2))[:, 0])


def tinted(colours: Track, light: Track) -> list[list[list[float]]]:
    """Colours (n, 3) under light (n, bands), as nested lists for OpenCV: n, bands, 3."""
    found: list[list[list[float]]] = np.minimum(colours[:, None] * light[..., None], 255).tolist()
    return found
