"""Textures that are made once and cut out many times: walls and floors in colour, and patterns of cloth.

A cut-out is a random window of a kept texture, flipped or turned at random; the kept ones come from one fixed seed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.synthetic.light import Image
from recognizer.synthetic.pose import Track
from recognizer.synthetic.wardrobe import dyed

SIDE = 384  # pixels of a kept texture; larger pictures get one that is blown up
SURFACES, CLOTHS = 64, 16
SEED = 3


def surface(size: tuple[int, int], generator: np.random.Generator) -> Image:
    """(h, w, 3) of a wall, a floor, a hedge, a pile of things ..."""
    cut = _cut(_surface(int(generator.integers(SURFACES))), size, generator)
    return np.asarray(cv2.convertScaleAbs(cut, alpha=generator.uniform(0.6, 1.1), beta=abs(generator.normal(0, 18))))


def cloth(size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float32]:
    """(h, w) in [-1, 1]: stripes, checks, dots or weave."""
    return _cut(_cloth(int(generator.integers(CLOTHS))), size, generator)


def _cut(texture: np.ndarray, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    height, width = size
    zoom = max(1.0, height / SIDE, width / SIDE)
    if generator.random() < 0.4:
        zoom *= generator.uniform(1.0, 2.5)
    rows, columns = (min(SIDE, max(2, round(side / zoom))) for side in size)
    top, left = int(generator.integers(SIDE - rows + 1)), int(generator.integers(SIDE - columns + 1))
    cut = texture[top : top + rows, left : left + columns]
    flip = int(generator.integers(4))
    if flip:
        cut = cv2.flip(cut, flip - 2)
    return cut if cut.shape[:2] == size else cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)


@cache
def _surface(number: int) -> Image:
    generator = np.random.default_rng([SEED, 1, number])
    kind = (_clouds, _bricks, _stripes, _collage, _speckle, _planks, _tiles, _heap)[number % 8]
    first, second = (np.array(dyed(generator, 0.25)) for _ in range(2))
    if kind in (_collage, _heap):
        return kind(first, second, generator)
    # Mostly quiet: two colours near each other.
    second = first + (second - first) * generator.uniform(0.1, 0.6)
    made = kind(first, second, generator) + 12 * _octaves(generator)[..., None]
    return np.asarray(made.clip(0, 255).astype(np.uint8))


@cache
def _cloth(number: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([SEED, 2, number])
    x, y = _turned(generator, generator.uniform(0, np.pi) if number % 2 else 0.0)
    pace = generator.uniform(3, 14)
    waves = np.sin(2 * np.pi * x / pace), np.sin(2 * np.pi * y / pace)
    made = (
        np.sign(waves[0]),
        (waves[0] + waves[1]) / 2,
        np.sign(waves[0]) * np.sign(waves[1]),
        2.0 * (waves[0] * waves[1] > 0.5) - 0.5,
    )[number % 4]
    folds = _octaves(generator)
    return np.asarray((0.75 * made + 0.5 * folds).clip(-1, 1).astype(np.float32))


def _octaves(generator: np.random.Generator, most: int = 7) -> Track:
    """(SIDE, SIDE) smooth noise on several scales, in [-1, 1]."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(1, most):
        cells = generator.normal(0, 1, (2**octave + 1, 2**octave + 1)).astype(np.float32)
        total += cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return np.asarray(total / np.abs(total).max())


def _turned(generator: np.random.Generator, angle: float) -> tuple[Track, Track]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    wobble = 3 * _octaves(generator, 4) * (generator.random() < 0.5)
    return x * np.cos(angle) + y * np.sin(angle) + wobble, y * np.cos(angle) - x * np.sin(angle) + wobble


def _mixed(first: Track, second: Track, share: NDArray[Any]) -> Track:
    return np.asarray(first + (second - first) * share[..., None])


def _clouds(first: Track, second: Track, generator: np.random.Generator) -> Track:
    return _mixed(first, second, _octaves(generator) / 2 + 0.5)


def _stripes(first: Track, second: Track, generator: np.random.Generator) -> Track:
    x, _ = _turned(generator, generator.choice([0, np.pi / 2, generator.uniform(0, np.pi)]))
    return _mixed(
        first, second, (np.sin(2 * np.pi * x / generator.uniform(12, 90)) > generator.uniform(-0.8, 0.8)) * 1.0
    )


def _bricks(first: Track, second: Track, generator: np.random.Generator) -> Track:
    x, y = _turned(generator, 0.0)
    high = generator.uniform(10, 40)
    wide = high * generator.uniform(1.5, 3)
    row = np.floor(y / high)
    joint = ((x / wide + 0.5 * (row % 2)) % 1 < 0.07) | (y / high % 1 < 0.1)
    return _mixed(first, second, joint * 1.0)


def _tiles(first: Track, second: Track, generator: np.random.Generator) -> Track:
    x, y = _turned(generator, generator.uniform(-0.4, 0.4))
    side = generator.uniform(16, 80)
    return _mixed(first, second, (np.floor(x / side) + np.floor(y / side)) % 2)


def _planks(first: Track, second: Track, generator: np.random.Generator) -> Track:
    _, y = _turned(generator, generator.choice([0, np.pi / 2]))
    wide = generator.uniform(20, 70)
    tones = generator.uniform(0, 1, 200)[(np.floor(y / wide).astype(int)) % 200]
    grain = np.sin(2 * np.pi * (y + 6 * _octaves(generator)) / generator.uniform(3, 9)) * 0.15
    return _mixed(first, second, tones + grain - 0.4 * (y / wide % 1 < 0.06))


def _speckle(first: Track, second: Track, generator: np.random.Generator) -> Track:
    fine = cv2.GaussianBlur(generator.normal(0, 1, (SIDE, SIDE)), (0, 0), generator.uniform(0.8, 3))
    return _mixed(first, second, (fine / fine.std() * 0.3 + 0.5).clip(0, 1))


def _collage(first: Track, second: Track, generator: np.random.Generator) -> Image:
    """Rectangles in rows, as on shelves and house fronts."""
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = first.astype(np.uint8)
    high = int(generator.integers(24, 110))
    for top in range(0, SIDE, high):
        left = 0
        while left < SIDE:
            wide = int(generator.integers(6, 70))
            colour = second * generator.uniform(0.3, 1.4) if generator.random() < 0.5 else dyed(generator, 0.4)
            start = top + int(generator.uniform(0.05, 0.5) * high)
            cv2.rectangle(image, (left, start), (left + wide, top + high - 3), tuple(map(float, colour)), -1)
            left += wide + int(generator.integers(1, 25))
    return image


def _heap(first: Track, second: Track, generator: np.random.Generator) -> Image:
    """Leaves, stones, a crowd of blots."""
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = first.astype(np.uint8)
    size = generator.uniform(5, 26)
    for _ in range(int(90_000 / size**2) + 100):
        colour = (first + (second - first) * generator.uniform(-0.3, 1.2)) * generator.uniform(0.6, 1.2)
        middle = generator.integers(0, SIDE, 2).tolist()
        axes = (np.maximum(1, size * generator.uniform(0.3, 1.2, 2))).astype(int).tolist()
        cv2.ellipse(image, middle, axes, generator.uniform(0, 180), 0, 360, tuple(map(float, colour)), -1, cv2.LINE_AA)
    return image
