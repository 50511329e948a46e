"""People drawn into their picture: bones, joints and boxes.

Left is blue, right is orange and the middle is white, each with a dark rim: told apart by whoever sees colours
differently, and on every background. Colours: Okabe and Ito 2008, "Color Universal Design".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.images import Image
from recognizer.scenes import FoundPeople
from recognizer.skeleton import LEFT, RIGHT

LIMBS: tuple[tuple[int, int], ...] = (
    *((0, 1), (0, 2), (1, 3), (2, 4)),
    *((5, 6), (5, 11), (6, 12), (11, 12)),
    *((5, 7), (7, 9), (6, 8), (8, 10)),
    *((11, 13), (13, 15), (12, 14), (14, 16)),
)
"""Lines that are drawn. `recognizer.skeleton.BONES` lead inwards to the nose, which is right for movements and looks
like a tent."""
FACE = 5
"""Joints before this one belong to the head; they are drawn small."""
HIDDEN_BELOW = 0.5
"""Visibility below which a joint is drawn hollow, and the lines to it thin."""
NOWHERE_BELOW = 0.05
"""Visibility below which it is not drawn."""
Colour = tuple[int, int, int]
BLUE, ORANGE, WHITE, DARK = (86, 180, 233), (230, 120, 0), (255, 255, 255), (20, 20, 20)
_SUBPIXEL = 4
"""Bits after the point of the coordinates that lines are drawn with."""
_FAR = 16_384.0
"""Pixels: what lies further away is drawn so far away; larger numbers overflow in the drawing library."""


class _Pen(NamedTuple):
    """What a pass draws with: first all dark rims, then all colours, so that no rim cuts another line.

    Attributes:
        rim: pixels by which everything is wider, in dark; 0 in the pass of the colours.
        line: width of a line in pixels.
    """

    rim: int
    line: int

    @property
    def thin(self) -> int:
        return max(1, self.line // 2)

    @property
    def radius(self) -> int:
        return self.line + (self.line + 1) // 2

    def stroke(self, colour: Colour, width: int) -> tuple[Colour, int]:
        """Colour (BGR) and width as the drawing library takes them."""
        red, green, blue = DARK if self.rim else colour
        return (blue, green, red), width + 2 * min(self.rim, width)


def draw(image: Image, people: FoundPeople) -> bytes:
    """PNG bytes of a copy of the picture with the people in it; the surest one is drawn last.

    Args:
        image: (h, w, 3) RGB.
    """
    canvas = np.ascontiguousarray(image[..., ::-1])  # files are written from BGR
    for i in reversed(range(len(people))):
        line = line_width(image.shape[:2], people.boxes[i, 2:])
        for rim in (max(1, line // 3), 0):
            _draw_person(canvas, people, i, _Pen(rim, line))
    _, content = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(content)


def line_width(picture: tuple[int, ...], person: NDArray[Any]) -> int:
    """Pixels, by the sides of the picture and of the person, who must not vanish under them."""
    return max(1, round(min(min(picture) / 150, float(max(person)) / 60)))


def _draw_person(canvas: Image, people: FoundPeople, i: int, pen: _Pen) -> None:
    x, y, width, height = people.boxes[i].astype(np.float64)
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    cv2.polylines(canvas, [_fixed(corners)], True, *pen.stroke(WHITE, pen.thin), cv2.LINE_AA, _SUBPIXEL)
    points, seen = _fixed(people.joints[i]), people.visibility[i]
    for a, b in LIMBS:
        sure = min(seen[a], seen[b])
        if sure >= NOWHERE_BELOW:
            thin = sure < HIDDEN_BELOW or max(a, b) < FACE
            stroke = pen.stroke(_colour(a, b), pen.thin if thin else pen.line)
            cv2.line(canvas, points[a].tolist(), points[b].tolist(), *stroke, cv2.LINE_AA, _SUBPIXEL)
    for joint, point in enumerate(points):
        if seen[joint] >= NOWHERE_BELOW:
            _draw_joint(canvas, joint, point, pen, hollow=bool(seen[joint] < HIDDEN_BELOW))


def _draw_joint(canvas: Image, joint: int, point: NDArray[np.int32], pen: _Pen, *, hollow: bool) -> None:
    radius = (pen.line if joint < FACE else pen.radius) + pen.rim
    colour, _ = pen.stroke(_colour(joint, joint), 1)

    def disc(pixels: int, fill: Colour) -> None:
        cv2.circle(canvas, point.tolist(), pixels << _SUBPIXEL, fill, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL)

    disc(radius, colour)
    if hollow and not pen.rim:
        disc(max(1, radius - max(1, round(pen.line / 2))), DARK)


def _colour(a: int, b: int) -> Colour:
    """Of the line between two joints; the nose is on either side."""
    if {a, b} <= {0, *LEFT} and max(a, b):
        return BLUE
    return ORANGE if {a, b} <= {0, *RIGHT} and max(a, b) else WHITE


def _fixed(points: NDArray[Any]) -> NDArray[np.int32]:
    """(n, 2) pixels as the drawing library takes them: its pixels' middles are whole numbers."""
    fixed: NDArray[np.int32] = np.rint((points.clip(-_FAR, _FAR) - 0.5) * 2**_SUBPIXEL).astype(np.int32)
    return fixed
