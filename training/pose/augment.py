"""Pictures and their people as training sees them: turned, resized, mirrored, recoloured, and several in one.

Each is a pure function of picture, parameters and generator. Places are continuous, as in `recognizer.images`.
Sources: Bochkovskiy et al. 2020, "YOLOv4" (mosaic); Zhang et al. 2018, "mixup"; Ge et al. 2021, "YOLOX" (both for
boxes); Lu et al. 2024, "RTMO" (both for poses, and that they end before training does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.images import FILL, Image, Placement
from recognizer.scenes import UNLABELLED, People
from recognizer.skeleton import MIRROR
from training.pose.params import AugmentParams

Labelled = tuple[Image, People]
Size = tuple[int, int]
Matrix = NDArray[np.float64]
"""(2, 3) from places of a picture to places of another one."""

GREY = round(float(FILL) * 255)
OFF = 0.15
"""How far from the middle of a mosaic's tile somebody is at most, as a share of their box."""
CORNERS = ((0, 1), (2, 1), (0, 3), (2, 3))
"""x and y of a box's corners, as places in x1, y1, x2, y2."""
LEAST_SHARE = 0.1
"""Of a person's box that must be left in a picture for the person to be in it."""


def augmented(image: Image, people: People, size: Size, params: AugmentParams, random: np.random.Generator) -> Labelled:
    """A random view of one picture, of the shape (height, width)."""
    matrix = _around_middle(_fitted(image.shape[:2], size), size, _drawn(params, random), params, random)
    matrix = _perhaps_mirrored(matrix, size, params, random)
    made, there = _moved(image, matrix, size), _through(people, matrix, size)
    return _recoloured(made, params, random), there


def mosaic(parts: Sequence[Labelled], size: Size, params: AugmentParams, random: np.random.Generator) -> Labelled:
    """Two pictures side by side, or four; each shows somebody who is in it, at about their own size.

    So a picture holds two or three times as many people as one of those it is made of, for the same work of the
    network. Two leave room for people who are as tall as the picture.
    """
    height, width = size
    column, row = (round(side * random.uniform(1 / 3, 2 / 3)) for side in (width, height))
    lines = [slice(0, height)] if len(parts) == 2 else [slice(0, row), slice(row, height)]
    tiles = [(rows, columns) for rows in lines for columns in (slice(0, column), slice(column, width))]
    canvas = np.full((height, width, 3), GREY, np.uint8)
    everybody = []
    for (image, people), (rows, columns) in zip(parts, tiles, strict=True):
        tile = (rows.stop - rows.start, columns.stop - columns.start)
        matrix = _around_somebody(image, people, size, tile, params, random)
        matrix = _perhaps_mirrored(matrix, tile, params, random)
        canvas[rows, columns] = _moved(image, matrix, tile)
        everybody.append(_through(people, matrix, tile, (columns.start, rows.start)))
    return _recoloured(canvas, params, random), together(everybody)


def _around_somebody(
    image: Image, people: People, size: Size, tile: Size, params: AugmentParams, random: np.random.Generator
) -> Matrix:
    """The picture with one of its people about in the middle of a tile, made smaller where they would not fit in it."""
    room = np.array([tile[1], tile[0]], np.float64)
    found = np.flatnonzero(people.counted)
    corner, extent = np.zeros(2), np.array([image.shape[1], image.shape[0]], np.float64)
    if len(found):
        corner, extent = np.split(people.boxes[random.choice(found)].astype(np.float64), 2)
    extent = extent.clip(1)
    aim = corner + extent * (0.5 + OFF * random.uniform(-1, 1, 2))
    fitting = float((room / extent).min()) * random.uniform(*params.mosaic_scale)
    scale = min(Placement.of(image.shape[:2], size).scale_x * _size(params, random), fitting)
    shift = room / 2 - scale * aim
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def mixed(first: Labelled, second: Labelled) -> Labelled:
    """The mean of two pictures of one shape, with the people of both."""
    return cv2.addWeighted(first[0], 0.5, second[0], 0.5, 0), together([first[1], second[1]])  # type: ignore[return-value]


def together(parts: Sequence[People]) -> People:
    """The people of several pictures as those of one."""
    names = ("joints", "labelled", "boxes", "areas", "crowd")
    return People(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def scaled(people: People, x: float, y: float) -> People:
    """Everybody in a picture whose sides are so many times as long."""
    factors = np.array([x, y], np.float64)
    return People(
        joints=(people.joints * factors).astype(np.float32),
        labelled=people.labelled,
        boxes=(people.boxes * np.tile(factors, 2)).astype(np.float32),
        areas=(people.areas * (x * y)).astype(np.float32),
        crowd=people.crowd,
    )


def _fitted(image: tuple[int, ...], size: Size) -> Matrix:
    placement = Placement.of((image[0], image[1]), size)
    return np.array([[placement.scale_x, 0, placement.left], [0, placement.scale_y, placement.top]])


def _drawn(params: AugmentParams, random: np.random.Generator) -> Matrix:
    """(2, 2) turn and size."""
    angle = math.radians(params.rotation) * random.uniform(-1, 1)
    scale = _size(params, random)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _size(params: AugmentParams, random: np.random.Generator) -> float:
    low, high = params.scale
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _around_middle(
    fitted: Matrix, size: Size, turn: Matrix, params: AugmentParams, random: np.random.Generator
) -> Matrix:
    """The picture put in the middle, then turned and resized there, then moved."""
    side = np.array([size[1], size[0]], np.float64)
    shift = side * params.shift * random.uniform(-1, 1, 2)
    moved = turn @ (fitted[:, 2] - side / 2) + side / 2 + shift
    return np.concatenate([turn @ fitted[:, :2], moved[:, None]], axis=1)


def _perhaps_mirrored(matrix: Matrix, size: Size, params: AugmentParams, random: np.random.Generator) -> Matrix:
    """The matrix, or, for a share of pictures, what it gives as in a mirror."""
    if random.random() >= params.flip:
        return matrix
    return np.array([[-1.0], [1.0]]) * matrix + np.array([[0, 0, size[1]], [0, 0, 0]])


def _moved(image: Image, matrix: Matrix, size: Size) -> Image:
    """The picture through a matrix, cut to (height, width)."""
    height, width = size
    image, matrix = _halved(image, matrix)
    linear = matrix[:, :2]
    # OpenCV's whole numbers are middles of pixels.
    middles = np.concatenate([linear, (matrix[:, 2] + linear.sum(axis=1) / 2 - 0.5)[:, None]], axis=1)
    made = cv2.warpAffine(image, middles, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3)
    return np.asarray(made, np.uint8)


def _halved(image: Image, matrix: Matrix) -> tuple[Image, Matrix]:
    """The picture at half of its size as often as it is to become that small, as in `recognizer.images.letterbox`:
    between pixels that lie far apart, those in the middle would be lost.
    """
    matrix = matrix.copy()
    while factor_of(matrix) <= 0.5:
        h, w = image.shape[:2]
        half = (w + 1) // 2, (h + 1) // 2
        matrix[:, :2] *= (w / half[0], h / half[1])
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    return image, matrix


def factor_of(matrix: Matrix) -> float:
    """Pixels of a side after a matrix, for one before."""
    return math.sqrt(abs(_determinant(matrix)))


def _determinant(matrix: Matrix) -> float:
    (a, b, _), (c, d, _) = matrix.tolist()
    return float(a * d - b * c)


def _through(people: People, matrix: Matrix, size: Size, corner: tuple[int, int] = (0, 0)) -> People:
    """Everybody of whom enough is left in a picture of (height, width), which lies at `corner` (x, y) of a larger one.

    Whose box is cut loses as much of the area; joints outside are unlabelled. A turned box is that around its corners.
    In a mirror, what was left is right, on the body as well.
    """
    edges = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], axis=1)
    corners = _points(edges[:, CORNERS], matrix)
    low, high = corners.min(axis=1), corners.max(axis=1)
    edge = np.array([size[1], size[0]], np.float64)
    cut_low, cut_high = low.clip(0, edge), high.clip(0, edge)
    whole, left = (high - low).prod(axis=1), (cut_high - cut_low).prod(axis=1)
    share = left / np.maximum(whole, 1e-9)
    order = list(MIRROR) if _determinant(matrix) < 0 else slice(None)
    joints, labelled = _points(people.joints[:, order], matrix), people.labelled[:, order]
    inside = ((joints >= 0) & (joints <= edge)).all(axis=2) & (labelled > UNLABELLED)
    there = (share >= LEAST_SHARE) & (left > 0)
    return People(
        joints=np.where(inside[..., None], joints + corner, 0).astype(np.float32)[there],
        labelled=np.where(inside, labelled, UNLABELLED).astype(np.uint8)[there],
        boxes=np.concatenate([cut_low + corner, cut_high - cut_low], axis=1).astype(np.float32)[there],
        areas=(people.areas * share * factor_of(matrix) ** 2).astype(np.float32)[there],
        crowd=people.crowd[there],
    )


def _points(points: NDArray[np.float32], matrix: Matrix) -> NDArray[np.float64]:
    through: NDArray[np.float64] = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return through


def _recoloured(image: Image, params: AugmentParams, random: np.random.Generator) -> Image:
    """Brightness, contrast and the balance of the colours changed, by one table a channel."""
    if not params.colour:
        return image
    gain = np.exp(params.colour * (random.normal() + 0.3 * random.normal(size=3)))
    offset = 255 * params.colour * 0.3 * random.normal()
    tables = np.arange(256)[:, None] * gain + offset
    return np.asarray(cv2.LUT(image, tables.clip(0, 255).astype(np.uint8)[None]), np.uint8)
