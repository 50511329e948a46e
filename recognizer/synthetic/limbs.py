"""Arms and legs, hands and feet: skin, and over it a sleeve, a trouser leg or a skirt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recognizer.synthetic.canvas import Layers, Outline, Shape
from recognizer.synthetic.light import Light
from recognizer.synthetic.pose import Track
from recognizer.synthetic.solid import BANDS, joined, shades, sticks, tinted, unit
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import Outfit, Person

# Left arm, right arm, left leg, right leg, from the trunk outwards.
LIMBS = ((5, 7), (7, 9), (9,), (6, 8), (8, 10), (10,), (11, 13), (13, 15), (15,), (12, 14), (14, 16), (16,))
BONES = [0, 1, 3, 4, 6, 7, 9, 10]  # those between two joints; only they are clothed
STARTS, ENDS = [5, 7, 6, 8, 11, 13, 12, 14], [7, 9, 8, 10, 13, 15, 14, 16]
HANDS, FEET = [2, 5], [8, 11]
THIGHS = (6, 9)
# Radii at the two ends, metres, of a person of average height and girth.
ARM, LEG = [(0.046, 0.038), (0.038, 0.027), (0.034, 0.030)], [(0.080, 0.056), (0.055, 0.037), (0.040, 0.033)]
RADII = np.array(ARM * 2 + LEG * 2)
# Where depths are nearly the same, arms are painted over the trunk, and shoes over trousers.
NEARER = ([0.05, 0.06, 0.06] * 2) + ([0.0, 0.0, 0.01] * 2)
SMALL = np.array([2.0, 4.0])  # pixels of a radius below which a limb has one band of light, or two
HAND, SOLE, HEEL, TOES = (0.02, 0.085), 0.045, -0.035, 0.145  # metres from wrist and ankle


def limbs(
    people: Sequence[Person],
    outfits: Sequence[Outfit],
    joints: Track,
    forward: Track,
    size: Track,
    wide: Track,
    view: View,
    light: Light,
) -> list[list[Shape]]:
    """Each person's limbs.

    Args:
        joints: (n, 17, 3) in camera axes.
        forward: (n, 3) the way the hips face.
        size, wide: (n,) how tall and how thick people are, 1 the average.
    """
    first, second = _bare(joints, forward, size, view)
    cover = _covered(outfits)
    clothed = first[:, BONES] + cover[..., None] * (second - first)[:, BONES]
    starts, ends = np.concatenate([first, first[:, BONES]], axis=1), np.concatenate([second, clothed], axis=1)
    count = starts.shape[1]
    loose = np.array([outfit.loose for outfit in outfits])[:, None]
    factor = np.concatenate(
        [np.broadcast_to(wide[:, None], (len(wide), 12)), np.tile(wide[:, None] * loose, 8)], axis=1
    )
    radii = np.concatenate([RADII, RADII[BONES]]) * factor[..., None]
    flat = starts.reshape(-1, 3), ends.reshape(-1, 3)
    # A sleeve of no length has no direction of its own.
    axis = np.concatenate([second - first, (second - first)[:, BONES]], axis=1).reshape(-1, 3)
    tones, sideways = shades(axis, (flat[0] + flat[1]) / 2, light)
    lines, thick = sticks(*flat, radii.reshape(-1, 2), sideways, view)
    bands = (BANDS - (thick[:, None] < SMALL).sum(axis=1)).tolist()
    clothed_share = [dict(zip(BONES, row, strict=True)) for row in cover.tolist()]
    colours = np.array([_colours(person, outfit) for person, outfit in zip(people, outfits, strict=True)])
    shown = tinted(colours.reshape(-1, 3), tones)
    axes = np.stack([first, second], axis=2)
    depths = ((first + second)[..., 2] / 2 - NEARER).tolist()
    over = dict(zip(BONES, range(12, count), strict=True))
    found = []
    for number, outfit in enumerate(outfits):
        own = []
        for limb, inside in enumerate(LIMBS):
            layers: Layers = []
            outlines: list[Outline] = []
            share = clothed_share[number].get(limb, 0.0)
            for part in [*([limb] if share < 1 else []), *([over[limb]] if share > 0 else [])]:
                at = number * count + part
                layers += zip(lines[at, : bands[at]], shown[at][: bands[at]], strict=True)
                outlines.append(lines[at, 0])
            own.append(
                Shape(
                    depth=depths[number][limb],
                    layers=layers,
                    outlines=outlines,
                    joints=inside,
                    axis=axes[number, limb],
                    radius=float(RADII[limb, 0] * wide[number]),
                    pattern=outfit.pattern[limb >= 6] if share > 0 else 0.0,
                )
            )
        if outfit.skirt:
            thighs = lines[[number * count + over[thigh] for thigh in THIGHS]]
            own.append(
                _skirt(outfit, [own[thigh] for thigh in THIGHS], thighs, shown[number * count + over[THIGHS[0]]])
            )
        found.append(own)
    return found


def _bare(joints: Track, forward: Track, size: Track, view: View) -> tuple[Track, Track]:
    """The two ends, (n, 12, 3) each, of all limbs."""
    first, second = np.empty((len(joints), 12, 3)), np.empty((len(joints), 12, 3))
    size = size[:, None, None]
    first[:, BONES], second[:, BONES] = joints[:, STARTS], joints[:, ENDS]
    fingers = unit(joints[:, 9:11] - joints[:, 7:9])
    first[:, HANDS], second[:, HANDS] = (joints[:, 9:11] + far * size * fingers for far in HAND)
    # Feet are square to the shin and point the way the hips face, or on along the shin where that is into the floor.
    shin = unit(joints[:, 15:17] - joints[:, 13:15])
    ahead = forward[:, None] - shin * (forward[:, None] * shin).sum(axis=-1, keepdims=True)
    ahead = unit(ahead)
    ahead = np.where((ahead @ view.down)[..., None] > 0.5, shin, ahead)
    sole = joints[:, 15:17] + SOLE * size * shin
    first[:, FEET], second[:, FEET] = sole + HEEL * size * ahead, sole + TOES * size * ahead
    return first, second


def _covered(outfits: Sequence[Outfit]) -> Track:
    """(n, 8) how much of each bone is clothed, from the trunk outwards, 0 to 1."""
    sleeve = np.array([outfit.sleeve for outfit in outfits])
    leg = np.array([outfit.leg for outfit in outfits])
    skirt = np.array([outfit.skirt for outfit in outfits])
    arm, thigh, shin = (2 * sleeve, 2 * sleeve - 1), 2 * leg, np.where(skirt, 0, 2 * leg - 1)
    return np.stack([*arm, *arm, thigh, shin, thigh, shin], axis=1).clip(0, 1)


def _colours(person: Person, outfit: Outfit) -> list[tuple[float, float, float]]:
    """(20, 3) of the bare limbs and of what is over their bones."""
    bare = [person.skin] * 3 * 2 + [person.skin, person.skin, outfit.shoes] * 2
    return bare + [outfit.top] * 4 + [outfit.bottom] * 4


def _skirt(outfit: Outfit, thighs: list[Shape], lines: Outline, colours: list[list[float]]) -> Shape:
    """Around both thighs, in front of them.

    Args:
        lines: (2, bands, k, 2) outlines of what is over the thighs.
    """
    layers: Layers = [(joined(lines[:, band]), colour) for band, colour in enumerate(colours)]
    axes = [thigh.axis for thigh in thighs if thigh.axis is not None]
    return Shape(
        depth=min(thigh.depth for thigh in thighs) - 0.005,
        layers=layers,
        outlines=[layers[0][0]],
        joints=(11, 12, 13, 14),
        axis=np.mean(axes, axis=0),
        radius=thighs[0].radius,
        pattern=outfit.pattern[1],
    )
