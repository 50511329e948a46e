"""What lies behind people: a wall and a floor, and flat clutter that can be taken for limbs and heads."""

from __future__ import annotations

import cv2
import numpy as np

from recognizer.synthetic.canvas import SHIFT, outline
from recognizer.synthetic.light import Image
from recognizer.synthetic.pose import Track
from recognizer.synthetic.texture import surface
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import SKINS, Colour, dyed

SIDES = np.array([-60.0, 60.0])  # metres to both sides, further than any picture sees


def backdrop(view: View, wall: float, shadows: Track, generator: np.random.Generator) -> Image:
    """(h, w, 3) RGB: the wall `wall` metres away and the floor in front of it, with people's shadows.

    Args:
        shadows: (n, 3) where people stand: x and y in the room, and the radius of their shadow in metres.
    """
    height, width = view.shape
    image = surface(view.shape, generator)
    corner = np.array([[wall, -side, 0.0] for side in SIDES])
    foot = view.pixels(view.seen(corner))
    for _ in range(int(generator.integers(2, 9))):
        _clutter(image, generator)
    if foot[:, 1].min() < height:
        mask = np.zeros((height, width), np.uint8)
        below = np.array([[foot[1, 0], 4 * height], [foot[0, 0], 4 * height]])
        cv2.fillConvexPoly(mask, outline(np.concatenate([foot, below])), 255, cv2.LINE_8, SHIFT)
        cv2.copyTo(surface(view.shape, generator), mask, image)
        if generator.random() < 0.4:
            ends = outline(foot)
            cv2.line(image, ends[0], ends[1], dyed(generator, 0.2), int(generator.integers(1, 5)), cv2.LINE_AA, SHIFT)
    if generator.random() < 0.75:
        image = _shadowed(image, view, shadows, generator)
    return image


def _shadowed(image: Image, view: View, shadows: Track, generator: np.random.Generator) -> Image:
    height, width = view.shape
    dark = np.full((height, width), 255, np.uint8)
    depth = generator.uniform(0.45, 0.85)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for x, y, radius in shadows:
        ring = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn), np.zeros(14)], axis=1)
        cv2.fillConvexPoly(dark, outline(view.pixels(view.seen(ring))), 255 * depth, cv2.LINE_8, SHIFT)
    blurred = cv2.blur(dark, (9, 9))
    return np.asarray(cv2.multiply(image, cv2.merge([blurred, blurred, blurred]), scale=1 / 255))


def _clutter(image: Image, generator: np.random.Generator) -> None:
    """One flat thing: a frame, a window, a cable, a ball, writing, or sticks that look like limbs; in place."""
    height, width = image.shape[:2]
    unit = min(height, width)
    middle = generator.uniform(0, 1, 2) * (width, height)
    x, y = middle.tolist()
    colour = _any_colour(generator)
    kind = generator.random()
    if kind < 0.35:
        half = np.exp(generator.uniform(np.log(0.04), np.log(0.35), 2)) * unit
        corners = outline(np.array([middle - half, middle + half]))
        cv2.rectangle(image, corners[0], corners[1], colour, -1, cv2.LINE_AA, SHIFT)
        inner = outline(np.array([middle - 0.85 * half, middle + 0.85 * half]))
        cv2.rectangle(image, inner[0], inner[1], dyed(generator, 0.3), -1, cv2.LINE_AA, SHIFT)
    elif kind < 0.5:
        far = generator.uniform(-0.3, 1.3, (2, 2)) * (width, height)
        ends = outline(far)
        cv2.line(image, ends[0], ends[1], colour, int(generator.integers(1, 4)), cv2.LINE_AA, SHIFT)
    elif kind < 0.65:
        radius = int(generator.uniform(0.02, 0.09) * unit) + 1
        cv2.circle(image, (int(x), int(y)), radius, colour, -1, cv2.LINE_AA)
    elif kind < 0.75:
        for row in range(int(generator.integers(2, 6))):
            for letter in range(int(generator.integers(4, 12))):
                start = (int(x + letter * 0.02 * unit), int(y + row * 0.035 * unit))
                cv2.rectangle(image, start, (start[0] + unit // 80, start[1] + unit // 60), colour, -1)
    else:
        _branches(image, middle, colour, unit, generator)


def _branches(image: Image, start: Track, colour: Colour, unit: float, generator: np.random.Generator) -> None:
    """Two to five sticks end to end, as long and as thick as limbs."""
    thick = max(1, int(generator.uniform(0.012, 0.06) * unit))
    angle = generator.uniform(0, 2 * np.pi)
    for _ in range(int(generator.integers(2, 6))):
        end = start + generator.uniform(0.06, 0.2) * unit * np.array([np.cos(angle), np.sin(angle)])
        ends = outline(np.stack([start, end]))
        cv2.line(image, ends[0], ends[1], colour, thick, cv2.LINE_AA, SHIFT)
        start, angle = end, angle + generator.normal(0, 0.9)
        colour = colour if generator.random() < 0.6 else _any_colour(generator)


def _any_colour(generator: np.random.Generator) -> Colour:
    return SKINS[generator.integers(len(SKINS))] if generator.random() < 0.2 else dyed(generator, 0.35)
