"""Who can be in a scene: casts of people with bodies, faces and clothes of their own.

Colours are RGB, 0 to 255.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache

import numpy as np

from recognizer.synthetic.body import Body

CASTS = 40
HELD_OUT = 5  # every fifth cast is for testing only
MEMBERS = 6
OUTFITS = 5
Colour = tuple[float, float, float]

SKINS: tuple[Colour, ...] = (
    (246, 214, 190), (232, 190, 160), (214, 168, 132), (188, 138, 104), (150, 102, 72), (112, 74, 52), (80, 52, 38),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (24, 20, 18), (48, 34, 24), (86, 58, 36), (130, 88, 50), (186, 148, 92), (130, 128, 126), (206, 202, 196),
)  # fmt: skip
SHOES: tuple[Colour, ...] = ((28, 26, 26), (70, 50, 36), (232, 230, 226), (120, 120, 124), (150, 40, 40), (40, 60, 120))


@dataclass(frozen=True)
class Outfit:
    """What somebody wears.

    Attributes:
        top, bottom, shoes: colours.
        sleeve, leg: how far it covers the arm and the leg, 0.5 the upper half, 1 to the wrist or ankle.
        skirt: whether a skirt covers both thighs as far as `leg`.
        loose: how much wider than the body, 1 is skin-tight.
        hem: metres that the top reaches below the hips; negative where it ends above them.
        pattern: strength of the cloth's pattern on top and bottom, grey levels.
    """

    top: Colour
    bottom: Colour
    shoes: Colour
    sleeve: float
    leg: float
    skirt: bool
    loose: float
    hem: float
    pattern: tuple[float, float]

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Outfit:
        top, bottom = dyed(generator, 0.45), dyed(generator, 0.25)
        skirt = bool(generator.random() < 0.12)
        short = generator.random() < 0.2
        return cls(
            top=top,
            bottom=top if generator.random() < 0.08 else bottom,
            shoes=SHOES[generator.integers(len(SHOES))],
            sleeve=float(generator.choice([0.0, 0.3, 0.45, 0.7, 1.0], p=[0.07, 0.25, 0.13, 0.05, 0.5])),
            leg=float(generator.uniform(0.36, 0.62)) if skirt or short else 1.0,
            skirt=skirt,
            loose=float(generator.uniform(1.05, 1.4)),
            hem=float(generator.uniform(-0.02, 0.14)),
            pattern=(_pattern(generator), _pattern(generator)),
        )


@dataclass(frozen=True)
class Person:
    """One member of a cast.

    Attributes:
        body: bone lengths and habits.
        skin, hair: colours.
        long_hair: whether it reaches the shoulders.
        girth: thickness of trunk and limbs, around 1.
        outfits: what this person may wear.
    """

    body: Body
    skin: Colour
    hair: Colour
    long_hair: bool
    girth: float
    outfits: tuple[Outfit, ...]

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Person:
        skin = np.array(SKINS[generator.integers(len(SKINS))]) * generator.uniform(0.9, 1.06)
        capped = generator.random() < 0.15  # a cap, a hood or a scarf is hair of another colour
        hair = dyed(generator, 0.5) if capped else HAIRS[generator.integers(len(HAIRS))]
        return cls(
            body=Body.draw(generator),
            skin=_colour(skin + generator.normal(0, 4, 3)),
            hair=_colour(np.array(hair) * generator.uniform(0.8, 1.15)),
            long_hair=bool(generator.random() < 0.35),
            girth=float(np.clip(generator.normal(1.0, 0.14), 0.75, 1.4)),
            outfits=tuple(Outfit.draw(generator) for _ in range(OUTFITS)),
        )


@cache
def cast_of(seed: int, number: int) -> tuple[Person, ...]:
    """The members of one of the `CASTS`; no person is in two of them."""
    generator = np.random.default_rng([seed, 11, number])
    return tuple(Person.draw(generator) for _ in range(MEMBERS))


def dyed(generator: np.random.Generator, vivid: float) -> Colour:
    """A dyed colour; the share `vivid` of them is strong, the others are greys, blues, browns, dark or pale."""
    strong = generator.random() < vivid
    hue = generator.uniform() if strong else (0.09 if generator.random() < 0.6 else 0.6) + generator.normal(0, 0.03)
    saturation = generator.uniform(0.45, 0.95) if strong else generator.beta(1.2, 4)
    value = generator.uniform(0.3, 0.95) if strong else generator.uniform(0.08, 0.97)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def toned(colour: Colour, factor: float) -> Colour:
    """A colour with more or less light on it."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def _pattern(generator: np.random.Generator) -> float:
    return float(generator.uniform(15, 60)) if generator.random() < 0.35 else float(generator.uniform(2, 10))


def _colour(value: np.ndarray) -> Colour:
    red, green, blue = (float(channel) for channel in np.clip(value, 0, 255))
    return red, green, blue
