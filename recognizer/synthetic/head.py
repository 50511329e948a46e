"""Heads with a face on one side and hair on the other, which is how people tell where somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognizer.synthetic.canvas import Layers, Shape
from recognizer.synthetic.light import Light
from recognizer.synthetic.pose import Track
from recognizer.synthetic.solid import SHARES, crossed, ellipsoids, shades, sticks, tinted, unit
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import Person

FACE_JOINTS = (0, 1, 2, 3, 4)
NOSE_ANGLE = np.arctan(0.010 / 0.062)  # how far the nose is below the ears, seen from the middle of the head
# Half axes left, forward and up, and centres left, forward and up from between the ears, as shares of the height.
HAIR, HAIR_AT = (0.051, 0.053, 0.054), (0.0, -0.010, 0.014)
FACE, FACE_AT = (0.040, 0.046, 0.056), (0.0, 0.016, -0.010)
EAR, EYE, LIPS, LIPS_AT = (0.006, 0.011, 0.018), (0.0115, 0.004, 0.0065), (0.017, 0.006, 0.0055), (0, 0.053, -0.040)
EYE_AT, EAR_AT = (0.019, 0.048, 0.021), (0.045, 0.0, 0.010 - 0.010)
PUPIL, BROW = np.array([0.45, 1.0, 0.85]), np.array([1.25, 1.0, 0.35])
RIGHT = np.array([-1, 1, 1])
DETAILED = 3.0  # pixels of a head's half width; smaller heads have no eyes
WHITE, BLACK, RED = np.array([238.0, 236, 232]), np.array([32.0, 26, 24]), np.array([0.78, 0.52, 0.50])
# How far nose, eyes and ears may look away from the camera and still count as seen; eyes look a little sideways.
NOSE_AWAY, EYE_AWAY, EAR_AWAY, EYE_SIDE = -0.25, -0.1, -0.3, 0.6
# Ellipsoids of a head: hair in bands, face in bands, then these.
EARS, EYES, PUPILS, BROWS, MOUTH = (6, 7), (8, 9), (10, 11), (12, 13), 14
# Parts of the head as half axes and places, in the order above.
HALVES = (
    np.array(
        [HAIR] * 3 + [FACE] * 3 + [EAR] * 2 + [EYE] * 2 + [tuple(EYE * PUPIL)] * 2 + [tuple(EYE * BROW)] * 2 + [LIPS]
    )
    * np.concatenate([SHARES, SHARES, np.ones(9)])[:, None]
)
PLACES = np.array(
    [HAIR_AT] * 3
    + [FACE_AT] * 3
    + [EAR_AT, tuple(RIGHT * EAR_AT)]
    + [EYE_AT, tuple(RIGHT * EYE_AT)] * 2
    + [(0.019, 0.048, 0.035), (-0.019, 0.048, 0.035)]
    + [LIPS_AT]
)


@dataclass(frozen=True)
class Skulls:
    """The heads' own axes (n, 3, 3): rows left, forward and up in camera axes; and the middles (n, 3) of the ears."""

    middles: Track
    axes: Track

    @classmethod
    def of(cls, joints: Track) -> Skulls:
        """Of people's joints (n, 17, 3)."""
        middles = (joints[:, 3] + joints[:, 4]) / 2
        left = unit(joints[:, 3] - joints[:, 4])
        nose = joints[:, 0] - middles
        nose = unit(nose - left * (nose * left).sum(axis=1, keepdims=True))
        forward = nose * np.cos(NOSE_ANGLE) + crossed(nose, left) * np.sin(NOSE_ANGLE)
        return cls(middles, np.stack([left, forward, crossed(forward, left)], axis=1))

    def at(self, places: Track) -> Track:
        """(n, k, 3) in camera axes, of places (n, k, 3) left, forward and up."""
        return np.asarray(self.middles[:, None] + places @ self.axes)


def turned_away(skulls: Skulls) -> list[frozenset[int]]:
    """For each head, which of its joints are on the side that the camera does not see."""
    left, forward, _ = np.moveaxis((skulls.axes * -unit(skulls.middles)[:, None]).sum(axis=-1), 1, 0)
    ahead = np.sqrt(1 - EYE_SIDE**2) * forward
    looks = np.stack([forward, ahead + EYE_SIDE * left, ahead - EYE_SIDE * left, left, -left], axis=1)
    hidden = looks < np.array([NOSE_AWAY, EYE_AWAY, EYE_AWAY, EAR_AWAY, EAR_AWAY])
    return [frozenset(np.flatnonzero(row).tolist()) for row in hidden]


def heads(people: Sequence[Person], skulls: Skulls, joints: Track, view: View, light: Light) -> list[Shape]:
    """The heads of people with joints (n, 17, 3) in camera axes."""
    tall = np.array([person.body.height for person in people])[:, None, None]
    skin, hair = (np.array([getattr(person, name) for person in people]) for name in ("skin", "hair"))
    middles, towards = skulls.middles, -unit(skulls.middles)
    bands = np.sort(shades(skulls.axes[:, 2], middles, light)[0], axis=1)
    lit = light.on(towards)[:, None]
    # Brighter bands are smaller and nearer to the lamp, along the picture's plane.
    places = skulls.at(tall * PLACES)
    to_lamp = np.append(light.direction[:2], 0.0) * HAIR[0] * tall
    places[:, :6] += np.tile(1 - SHARES, 2)[:, None] * to_lamp
    halves = skulls.axes[:, None] * (tall * HALVES)[..., None]
    lines = ellipsoids(places.reshape(-1, 3), halves.reshape(-1, 3, 3), view).reshape(len(people), len(PLACES), -1, 2)
    ones = np.ones((len(people), 2))
    factors = np.concatenate([bands, bands, 0.86 * lit * ones, lit * ones, ones, 0.8 * lit * ones, lit], axis=1)
    colours = np.stack(
        [hair] * 3 + [skin] * 5 + [WHITE + 0 * skin] * 2 + [BLACK + 0 * skin] * 2 + [hair] * 2 + [skin * RED], 1
    )
    shown = np.minimum(colours * factors[..., None], 255).tolist()
    extra = _tails_and_noses(skulls, joints, tall, skin, hair, lit, view)
    left, forward = ((skulls.axes[:, axis] * towards).sum(axis=1).tolist() for axis in (0, 1))
    sizes = (view.scale(middles) * HAIR[0] * tall[:, 0, 0]).tolist()
    ends = np.stack([middles, middles], axis=1)
    found = []
    for number, person in enumerate(people):
        pairs = list(zip(lines[number], shown[number], strict=True))
        tail, nose, ridge = extra[number]
        back = [*([tail] if person.long_hair else []), *pairs[:3]]
        front = pairs[3:6]
        front += [
            pairs[ear]
            for ear, side in zip(EARS, (1, -1), strict=True)
            if side * left[number] > EAR_AWAY and not person.long_hair
        ]
        if sizes[number] > DETAILED:
            for eye, side in ((0, 0.45), (1, -0.45)):
                if 0.9 * forward[number] + side * left[number] > 0.1:
                    front += [pairs[EYES[eye]], pairs[PUPILS[eye]], pairs[BROWS[eye]]]
            front += [pairs[MOUTH]] if forward[number] > 0.05 else []
            front += [nose, ridge] if forward[number] > -0.2 else []
        found.append(
            Shape(
                depth=float(middles[number, 2]) - 0.03,
                layers=back + front if forward[number] > -0.15 else front + back,
                joints=FACE_JOINTS,
                axis=ends[number],
                radius=HAIR[0] * person.body.height,
            )
        )
    return found


def _tails_and_noses(
    skulls: Skulls, joints: Track, tall: Track, skin: Track, hair: Track, lit: Track, view: View
) -> list[Layers]:
    """For each head long hair behind the neck, the nose and its ridge."""
    ends = skulls.at(tall * np.array([[0, -0.02, 0.01], [0, -0.035, -0.09], [0, 0.056, 0.016]]))
    first = ends[:, [0, 2]].reshape(-1, 3)
    second = np.stack([ends[:, 1], joints[:, 0]], axis=1).reshape(-1, 3)
    radii = (tall * np.array([[0.046, 0.034], [0.005, 0.0095]])).reshape(-1, 2)
    lines, _ = sticks(first, second, radii, np.repeat(skulls.axes[:, 0], 2, axis=0), view)
    tails, noses = lines[::2], lines[1::2]
    colours = (tinted(colour, factor * lit) for colour, factor in ((hair, 0.9), (skin, 0.84), (skin, 1.06)))
    return [
        [(tail[0], dark[0]), (nose[0], shade[0]), (nose[2], ridge[0])]
        for tail, nose, dark, shade, ridge in zip(tails, noses, *colours, strict=True)
    ]
