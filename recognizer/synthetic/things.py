"""Furniture, pillars and plants made of cuboids and balls, standing on the floor of the room.

A thing is described in its own axes (metres; x along its front, y its depth, z up, 0 the floor), turned about the
vertical and put somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recognizer.synthetic.canvas import Layers, Shape, outline
from recognizer.synthetic.light import Light
from recognizer.synthetic.pose import Track
from recognizer.synthetic.solid import CIRCLE, tinted
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import Colour, dyed, toned

CLEAR = 0.3  # metres from the camera that every corner keeps
WOODS: tuple[Colour, ...] = ((168, 124, 80), (118, 78, 48), (206, 176, 132), (70, 50, 38), (226, 222, 214))
Block = tuple[tuple[float, float, float], tuple[float, float, float], Colour]
Ball = tuple[tuple[float, float, float], float, Colour]
LEAVES: tuple[Colour, ...] = ((52, 104, 44), (88, 138, 62), (40, 76, 48), (120, 140, 60))


@dataclass(frozen=True)
class Thing:
    """What a piece of furniture is made of.

    Attributes:
        cuboids: middle (3), sizes (3) and colour of each.
        balls: middle (3), radius and colour of each.
    """

    cuboids: tuple[Block, ...]
    balls: tuple[Ball, ...] = ()


@dataclass(frozen=True)
class Placed:
    """A thing on the floor.

    Attributes:
        thing: what it is.
        place: x and y of the room.
        yaw: how far it is turned, radians.
        pattern: strength of its material's pattern.
        depth: metres from the camera that it is painted at; None for those of its middle.
    """

    thing: Thing
    place: tuple[float, float]
    yaw: float
    pattern: float = 6.0
    depth: float | None = None


def shapes_of(placed: Sequence[Placed], view: View, light: Light) -> list[Shape]:
    """One shape for each thing, except for those that would stand in the camera's way."""
    if not placed:
        return []
    yaw = np.array([one.yaw for one in placed])
    turn = np.zeros((len(placed), 3, 3))  # rows: the thing's axes in the room
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = np.cos(yaw), np.sin(yaw), -np.sin(yaw), np.cos(yaw)
    turn[:, 2, 2] = 1
    axes = turn @ view.turn.T
    origins = view.seen(np.array([(*one.place, 0.0) for one in placed]))
    faces: list[list[tuple[float, Layers]]] = [[] for _ in placed]
    near = np.full(len(placed), np.inf)
    _cuboids(placed, axes, origins, view, light, faces, near)
    _balls(placed, axes, origins, view, faces, near)
    found = []
    for one, own, clear in zip(placed, faces, near > CLEAR, strict=True):
        if clear:
            own.sort(key=lambda face: -face[0])
            depth = sum(far for far, _ in own) / len(own) if one.depth is None else one.depth
            found.append(Shape(depth, [layer for _, layers in own for layer in layers], pattern=one.pattern))
    return found


def _cuboids(
    placed: Sequence[Placed],
    axes: Track,
    origins: Track,
    view: View,
    light: Light,
    faces: list[list[tuple[float, Layers]]],
    near: Track,
) -> None:
    """Add, to each thing's faces, those of its cuboids that look towards the camera; and how near corners come."""
    which = np.array([number for number, one in enumerate(placed) for _ in one.thing.cuboids])
    blocks = [block for one in placed for block in one.thing.cuboids]
    numbers = np.array([(*middle, *sizes, *colour) for middle, sizes, colour in blocks])
    half, own = numbers[:, 3:6] / 2, axes[which]
    centres = origins[which] + (numbers[:, None, :3] @ own)[:, 0]
    np.minimum.at(near, which, centres[:, 2] - (np.abs(own[:, :, 2]) * half).sum(axis=1))
    sign = np.where((centres[:, None] * own).sum(axis=-1) < 0, 1.0, -1.0)
    arms = half[..., None] * own
    middles = centres[:, None] + sign[..., None] * arms
    seen = sign * (middles * own).sum(axis=-1) < 0
    first, second = arms[:, [1, 0, 0]], arms[:, [2, 2, 1]]
    corners = np.stack([first + second, first - second, -first - second, second - first], axis=2) + middles[:, :, None]
    lines = outline(view.pixels(corners))
    tones = tinted(numbers[:, 6:], light.on(sign[..., None] * own))
    depths = centres[:, 2].tolist()
    for number, thing in enumerate(which.tolist()):
        layers: Layers = [(lines[number, face], tones[number][face]) for face in range(3) if seen[number, face]]
        faces[thing].append((depths[number], layers))


def _balls(
    placed: Sequence[Placed],
    axes: Track,
    origins: Track,
    view: View,
    faces: list[list[tuple[float, Layers]]],
    near: Track,
) -> None:
    """The same for balls."""
    which = np.array([number for number, one in enumerate(placed) for _ in one.thing.balls], np.intp)
    if not len(which):
        return
    balls = [ball for one in placed for ball in one.thing.balls]
    places, radii = np.array([middle for middle, _, _ in balls]), np.array([radius for _, radius, _ in balls])
    centres = origins[which] + (places[:, None] @ axes[which])[:, 0]
    np.minimum.at(near, which, centres[:, 2] - radii)
    lines = outline(view.pixels(centres)[:, None] + (radii * view.scale(centres))[:, None, None] * CIRCLE)
    for number, thing in enumerate(which.tolist()):
        faces[thing].append((float(centres[number, 2]), [(lines[number], balls[number][2])]))


def table(generator: np.random.Generator) -> Thing:
    wide, deep, high = generator.uniform(0.6, 1.6), generator.uniform(0.45, 0.9), generator.uniform(0.66, 0.8)
    colour = _material(generator)
    parts = [_block(0, 0, high, wide, deep, 0.045, colour)]
    parts += [
        _block(x * (wide / 2 - 0.05), y * (deep / 2 - 0.05), high / 2, 0.05, 0.05, high, colour)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    for _ in range(int(generator.integers(0, 4))):
        tall = generator.uniform(0.05, 0.35)
        x, y = generator.uniform(-0.4, 0.4) * wide, generator.uniform(-0.4, 0.4) * deep
        parts.append(
            _block(x, y, high + 0.02 + tall / 2, generator.uniform(0.06, 0.4), 0.1, tall, dyed(generator, 0.5))
        )
    return Thing(tuple(parts))


def cabinet(generator: np.random.Generator) -> Thing:
    """A box, a counter or a chest of drawers."""
    wide, deep, high = generator.uniform(0.3, 1.3), generator.uniform(0.3, 0.7), generator.uniform(0.3, 1.25)
    colour = _material(generator)
    parts = [_block(0, 0, high / 2, wide, deep, high, colour)]
    drawers = int(generator.integers(0, 4))
    for row in range(drawers):
        part = high / drawers
        parts.append(_block(0, -deep / 2, (row + 0.5) * part, 0.86 * wide, 0.02, 0.8 * part, toned(colour, 0.85)))
    return Thing(tuple(parts))


def pillar(generator: np.random.Generator) -> Thing:
    wide = generator.uniform(0.1, 0.42)
    return Thing((_block(0, 0, 1.6, wide, wide, 3.2, _material(generator)),))


def barrier(generator: np.random.Generator) -> Thing:
    """A low wall, or a railing with bars."""
    wide, high, colour = generator.uniform(1.2, 3.5), generator.uniform(0.5, 1.1), _material(generator)
    if generator.random() < 0.5:
        return Thing((_block(0, 0, high / 2, wide, 0.12, high, colour),))
    bars = np.arange(-wide / 2, wide / 2, generator.uniform(0.12, 0.3))
    posts = [_block(float(x), 0, high / 2, 0.03, 0.03, high, colour) for x in bars]
    return Thing((_block(0, 0, high, wide, 0.06, 0.06, colour), *posts))


def chair(generator: np.random.Generator) -> Thing:
    high, wide, colour = generator.uniform(0.42, 0.5), generator.uniform(0.4, 0.5), _material(generator)
    legs = [
        _block(x * wide * 0.45, y * wide * 0.45, high / 2, 0.04, 0.04, high, colour) for x in (-1, 1) for y in (-1, 1)
    ]
    cover = dyed(generator, 0.4)
    back = _block(0, wide / 2, high + 0.3, wide, 0.04, generator.uniform(0.25, 0.5), cover)
    return Thing((*legs, _block(0, 0, high, wide, wide, 0.06, cover), back))


def shelf(generator: np.random.Generator) -> Thing:
    wide, high, colour = generator.uniform(0.6, 1.4), generator.uniform(1.3, 2.2), _material(generator)
    parts = [_block(0, 0, high / 2, wide, 0.35, high, colour)]
    rows = int(generator.integers(3, 6))
    for row in range(rows):
        left = -wide / 2 + 0.04
        while left < wide / 2 - 0.12:
            book, tall = generator.uniform(0.08, 0.3), generator.uniform(0.5, 0.85) * high / rows
            base = (row + 0.06) * high / rows
            parts.append(_block(left + book / 2, -0.17, base + tall / 2, 0.9 * book, 0.04, tall, dyed(generator, 0.5)))
            left += book
    return Thing(tuple(parts))


def post(generator: np.random.Generator) -> Thing:
    """A lamp, a coat stand or a sign: as thin and as tall as a body."""
    high, colour = generator.uniform(1.1, 2.1), dyed(generator, 0.3)
    stand = _block(0, 0, high / 2, generator.uniform(0.03, 0.12), 0.06, high, colour)
    top = ((0.0, 0.0, high), float(generator.uniform(0.08, 0.2)), dyed(generator, 0.3))
    arm = _block(0.2, 0, generator.uniform(0.5, 0.9) * high, 0.4, 0.05, 0.05, colour)
    return Thing((stand, arm), (top,))


def plant(generator: np.random.Generator) -> Thing:
    high, wide = generator.uniform(0.5, 1.7), generator.uniform(0.15, 0.4)
    pot = _block(0, 0, 0.15, 0.3, 0.3, 0.3, _material(generator))
    base = LEAVES[generator.integers(len(LEAVES))]
    leaves = tuple(
        (
            (generator.normal(0, wide / 2), generator.normal(0, wide / 2), generator.uniform(0.3, high)),
            float(generator.uniform(0.04, 0.13)),
            toned(base, generator.uniform(0.6, 1.3)),
        )
        for _ in range(int(generator.integers(8, 22)))
    )
    return Thing((pot,), leaves)


def seat(high: float, generator: np.random.Generator) -> Thing:
    """What somebody sits on, `high` metres above the floor."""
    wide = generator.uniform(0.38, 0.55)
    return Thing((_block(0, 0, high / 2, wide, wide, high, _material(generator)),))


# What hides people, and what stands behind them.
HIDING: tuple[Callable[[np.random.Generator], Thing], ...] = (
    table,
    table,
    cabinet,
    cabinet,
    pillar,
    barrier,
    chair,
    plant,
)
STANDING_BEHIND = (*HIDING, shelf, shelf, post, post)


def _material(generator: np.random.Generator) -> Colour:
    if generator.random() < 0.5:
        return toned(WOODS[generator.integers(len(WOODS))], generator.uniform(0.7, 1.1))
    return dyed(generator, 0.3)


def _block(x: float, y: float, z: float, wide: float, deep: float, high: float, colour: Colour) -> Block:
    return (x, y, z), (wide, deep, high), colour
