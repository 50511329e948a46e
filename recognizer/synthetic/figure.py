"""Clothed bodies: from the 17 joints of people to flat shapes with depths, lit from one side.

Everything is in camera axes and metres until it is projected. Nothing is coloured by left or right: what tells them
apart is the face, the way knees and feet point, and the order of what hides what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognizer.synthetic.canvas import Layers, Outline, Shape
from recognizer.synthetic.head import Skulls, heads, turned_away
from recognizer.synthetic.light import Light
from recognizer.synthetic.limbs import limbs
from recognizer.synthetic.pose import Track
from recognizer.synthetic.solid import banded, crossed, joined, rings, shades, sticks, tinted, unit
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import Outfit, Person

AVERAGE = 1.71  # metres, of the person that the lengths below are for
NECK = (0.056, 0.054)
FAR_SIDE = -0.8  # shoulders and hips that point away from the camera by this much are behind the trunk


@dataclass(frozen=True)
class Trunks:
    """Middles of shoulders and hips, (n, 3), and the unit vectors left, forward and up at both, in camera axes."""

    shoulders: Track
    hips: Track
    left: tuple[Track, Track]
    forward: tuple[Track, Track]
    up: Track

    @classmethod
    def of(cls, joints: Track) -> Trunks:
        shoulders, hips = (joints[:, 5] + joints[:, 6]) / 2, (joints[:, 11] + joints[:, 12]) / 2
        left = unit(joints[:, 5] - joints[:, 6]), unit(joints[:, 11] - joints[:, 12])
        up = unit(shoulders - hips)
        return cls(shoulders, hips, left, (unit(crossed(left[0], up)), unit(crossed(left[1], up))), up)


def figures(
    people: Sequence[Person], outfits: Sequence[Outfit], joints: Track, view: View, light: Light
) -> tuple[list[Shape], list[frozenset[int]]]:
    """Everybody's shapes, and for each person the joints on the side of head and trunk that faces away.

    Args:
        joints: (n, 17, 3) in camera axes, metres; person i owns shapes with `owner` i.
    """
    trunks, skulls = Trunks.of(joints), Skulls.of(joints)
    size = np.array([person.body.height / AVERAGE for person in people])
    wide = size * np.array([person.girth for person in people])
    shapes = []
    parts = (
        [[head] for head in heads(people, skulls, joints, view, light)],
        _trunks(people, outfits, joints, trunks, wide, view, light),
        limbs(people, outfits, joints, trunks.forward[1], size, wide, view, light),
    )
    for kind in parts:
        for owner, own in enumerate(kind):
            for shape in own:
                shape.owner = owner
            shapes += own
    faces = turned_away(skulls)
    return shapes, [face | far for face, far in zip(faces, _far_side(trunks), strict=True)]


def _far_side(trunks: Trunks) -> list[frozenset[int]]:
    """Shoulders and hips behind the trunk, in a view from the side."""
    looks = [
        sign * (left * -unit(middle)).sum(axis=1)
        for left, middle in zip(trunks.left, (trunks.shoulders, trunks.hips), strict=True)
        for sign in (1, -1)
    ]
    return [
        frozenset(joint for joint, look in zip((5, 6, 11, 12), row, strict=True) if look < FAR_SIDE)
        for row in np.stack(looks, axis=1)
    ]


def _trunks(
    people: Sequence[Person],
    outfits: Sequence[Outfit],
    joints: Track,
    trunks: Trunks,
    wide: Track,
    view: View,
    light: Light,
) -> list[list[Shape]]:
    """Each person's top, bottom and neck."""
    lines, tones = _trunk_outlines(people, outfits, trunks, wide, view, light)
    tops, bottoms, skins = (
        tinted(np.array(colours), factor * tones)
        for colours, factor in (
            ([outfit.top for outfit in outfits], 1.0),
            ([outfit.bottom for outfit in outfits], 1.0),
            ([person.skin for person in people], 0.88),
        )
    )
    neck = trunks.shoulders + 0.03 * wide[:, None] * trunks.up
    skull = (joints[:, 3] + joints[:, 4]) / 2
    necks, _ = sticks(neck, skull, np.array([NECK]) * wide[:, None], trunks.left[0], view)
    # Ends of the three solids' axes.
    spines = np.stack([trunks.hips, trunks.shoulders, trunks.hips, trunks.hips, neck, skull], axis=1)
    found = []
    for number, outfit in enumerate(outfits):
        spine, radius = spines[number], 0.11 * float(wide[number])
        hips, shoulders, _, _, low, high = spine[:, 2].tolist()
        chest, belly, seat = (
            [joined(band[part]) for band in lines[number]] for part in (slice(0, 4), [3, 4, 5], [3, 5, 6])
        )
        # Chest and belly of one band together, so that no edge runs across the top.
        top: Layers = []
        for upper, lower, colour in zip(chest, belly, tops[number], strict=True):
            top += [(upper, colour), (lower, colour)]
        found.append(
            [
                Shape(
                    depth=(hips + shoulders) / 2 - 0.02,
                    layers=top,
                    outlines=[chest[0], belly[0]],
                    joints=(5, 6, 11, 12),
                    axis=spine[0:2],
                    radius=radius,
                    pattern=outfit.pattern[0],
                ),
                Shape(
                    depth=hips - 0.01,
                    layers=list(zip(seat, bottoms[number], strict=True)),
                    outlines=seat[:1],
                    joints=(11, 12),
                    axis=spine[2:4],
                    radius=radius,
                    pattern=outfit.pattern[1],
                ),
                Shape(
                    depth=(low + high) / 2 - 0.025,
                    layers=list(zip(necks[number], skins[number], strict=True)),
                    outlines=[necks[number, 0]],
                    axis=spine[4:6],
                    radius=NECK[0] * float(wide[number]),
                ),
            ]
        )
    return found


def _trunk_outlines(
    people: Sequence[Person], outfits: Sequence[Outfit], trunks: Trunks, wide: Track, view: View, light: Light
) -> tuple[Outline, Track]:
    """Seven rings (n, bands, 7, k, 2): collar, shoulders, chest, waist, hem, seat, crotch; light (n, bands)."""
    shoulders = np.array([person.body.shoulders / 2 for person in people])
    hips = np.array([person.body.hips / 2 for person in people])
    hem = np.array([max(outfit.hem, -0.01) for outfit in outfits])
    cloth = np.array([1 + 0.35 * (outfit.loose - 1) for outfit in outfits])
    spine = trunks.shoulders - trunks.hips
    # Where along the spine (0 the hips, 1 the shoulders) and how many metres above, half width, half depth.
    zero = 0 * wide
    along = np.array([1.0, 1.0, 0.78, 0.35, 0.0, 0.0, 0.0])
    above = np.stack([0.045 * wide, zero, zero, zero, -hem, zero, -0.13 * wide], axis=1)
    half = np.stack(
        [
            0.065 * wide,
            shoulders + 0.005,
            shoulders - 0.01 + 0.02 * wide,
            0.4 * shoulders + 0.085 * wide,
            0.62 * hips + 0.075 * wide,
            0.6 * hips + 0.075 * wide,
            0.55 * hips + 0.05 * wide,
        ],
        axis=1,
    )
    deep = np.array([0.06, 0.075, 0.115, 0.115, 0.12, 0.118, 0.085]) * wide[:, None]
    centres = trunks.hips[:, None] + along[:, None] * spine[:, None] + above[..., None] * trunks.up[:, None]
    at = np.array([0, 0, 0, 1, 1, 1, 1])
    left, front = (np.stack(pair, axis=1)[:, at] for pair in (trunks.left, trunks.forward))
    circles = rings(centres, (half * cloth[:, None])[..., None] * left, (deep * cloth[:, None])[..., None] * front)
    tones, sideways = shades(trunks.up, centres[:, 3], light)
    return banded(circles, sideways, view), tones
