"""Pictures as training, evaluation and service see them: decoded, and brought to the size that a model takes.

Coordinates are continuous: the upper left corner of a picture is (0, 0), the middle of its first pixel (0.5, 0.5), its
lower right corner (width, height). So a joint or a box is scaled and shifted like the pixels under it, exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError
from recognizer.image_header import MOST_PIXELS, Header, damaged, read_header, too_large

Image = NDArray[np.uint8]
"""(height, width, 3) RGB."""

FILL = np.float32(114 / 255)
"""The grey beside a picture that has another shape than the model's input: the mean of natural pictures, nearly."""
LARGEST_SIDE = 8192
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def decode(content: bytes, *, most_pixels: int = MOST_PIXELS) -> Image:
    """(h, w, 3) RGB of a JPEG or PNG file, as a person sees it.

    A JPEG is turned as its EXIF orientation says, so coordinates are those of the upright picture; PNG has no settled
    orientation, and is left as it is. Grey becomes RGB, palettes are looked up, 16 bits are cut to the upper 8,
    transparency is ignored. What a PNG carries besides its pixels is never opened.

    Raises:
        UnsupportedMedia, TooLarge, FormatError: as `read_header`; or the pixels turn out to be damaged, or too many. A
            JPEG with a hole in the middle of its pixels goes unnoticed, as in every reader: its remainder is grey.
    """
    header = read_header(content, most_pixels=most_pixels)
    if header.kind == "PNG":
        content = _unpacked(content, header)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise damaged(f"cannot be decoded as {header.kind}") from error
    if image is None:
        raise damaged(f"cannot be decoded as {header.kind}")
    if sorted(image.shape[:2]) != sorted((header.height, header.width)):
        raise damaged(f"says {header.width} x {header.height} pixels and holds {image.shape[1]} x {image.shape[0]}")
    return image  # type: ignore[no-any-return]


def _unpacked(content: bytes, header: Header) -> bytes:
    """The same PNG with nothing but its pixels, and these not compressed.

    What a decoder would otherwise read on from: a megabyte that unpacks to a gigabyte held it for five seconds.
    """
    packed = b"".join([content[piece] for piece in header.packed])
    try:
        rows = zlib.decompressobj().decompress(packed, header.unpacked + 1)
    except zlib.error as error:
        raise damaged("is a PNG whose pixels cannot be unpacked") from error
    if len(rows) < header.unpacked:
        raise damaged("is a PNG whose pixels end too early")
    if len(rows) > header.unpacked:
        raise too_large(f"holds more than the {header.width} x {header.height} pixels that it says", "save it again")
    stored = zlib.compress(rows, 0)
    del rows  # the largest picture's take 100 MB
    checksum = zlib.crc32(stored, zlib.crc32(b"IDAT")).to_bytes(4)
    return b"".join([header.beginning, len(stored).to_bytes(4), b"IDAT", stored, checksum, PNG_END])


@dataclass(frozen=True)
class ImageSpec:
    """The size that a model takes; travels with it as `preprocessing`.

    Attributes:
        height: of the input in pixels.
        width: likewise.

    Raises:
        FormatError: a side below 1 or beyond any model's.
    """

    height: int = 640
    width: int = 640

    def __post_init__(self) -> None:
        if not (1 <= self.height <= LARGEST_SIDE and 1 <= self.width <= LARGEST_SIDE):
            raise FormatError(f"input of {self.width} x {self.height} pixels", hint="train and package again")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read `as_dict`'s form.

        Raises:
            FormatError: an unknown key (a newer kind of input), or a value that is no whole number.
        """
        unknown = sorted(set(content) - {field.name for field in fields(cls)})
        if unknown:
            raise FormatError(f"input has unknown settings {unknown}", hint="use the code that trained it")
        if any(type(value) is not int for value in content.values()):
            raise FormatError(f"input settings are no whole numbers: {dict(content)}", hint="train and package again")
        return cls(**content)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a model's input.

    Attributes:
        height: of the picture in pixels.
        width: likewise.
        scale_x: input pixels for one of the picture's; its sides are rounded to whole pixels, so the two scales differ
            a little.
        scale_y: likewise.
        left: input pixels to the left of the picture.
        top: input pixels above it.
    """

    height: float
    width: float
    scale_x: float
    scale_y: float
    left: float
    top: float

    @classmethod
    def of(cls, image: tuple[int, int], size: tuple[int, int]) -> Self:
        """A picture of the shape (h, w), as large as fits and in the middle of an input of (h, w)."""
        scale = min(size[0] / image[0], size[1] / image[1])
        height, width = (min(max(1, round(side * scale)), most) for side, most in zip(image, size, strict=True))
        left, top = (size[1] - width) // 2, (size[0] - height) // 2
        return cls(image[0], image[1], width / image[1], height / image[0], left, top)

    def forward(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """(..., 2) x, y of the picture in pixels of the input."""
        return np.asarray(points, np.float64) * (self.scale_x, self.scale_y) + (self.left, self.top)

    def back(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """(..., 2) x, y of the input in pixels of the picture; they may lie outside of it."""
        return (np.asarray(points, np.float64) - (self.left, self.top)) / (self.scale_x, self.scale_y)

    def as_row(self) -> NDArray[np.float64]:
        """(6,) the attributes in their order: how a placement travels beside its input."""
        return np.array([self.height, self.width, self.scale_x, self.scale_y, self.left, self.top])

    @classmethod
    def from_row(cls, row: NDArray[np.float64]) -> Self:
        return cls(*map(float, row))


def letterbox(image: Image, size: tuple[int, int]) -> tuple[NDArray[np.float32], Placement]:
    """A picture in the middle of a model's input, in its own proportions, grey around it.

    Args:
        image: (h, w, 3) RGB.
        size: (height, width) of the input.

    Returns:
        (3, height, width) RGB in [0, 1], and how to come back to the picture's pixels.

    Raises:
        InputError: the picture is none.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"is no picture: {image.dtype} of shape {list(image.shape)}", where="image", hint="decode it")
    h, w = image.shape[:2]
    placement = Placement.of((h, w), size)
    height, width = round(h * placement.scale_y), round(w * placement.scale_x)
    image = _resize(image, height, width)
    top, left = int(placement.top), int(placement.left)
    made = np.full((3, *size), FILL, np.float32)
    for channel, plane in zip(made, cv2.split(image), strict=True):
        inside = channel[top : top + height, left : left + width]
        np.multiply(plane, np.float32(1 / 255), out=inside, dtype=np.float32)
    return made, placement


def _resize(image: Image, height: int, width: int) -> Image:
    """Halved as often as goes, then between the pixels.

    Between the pixels alone a model would see some of them and not the others, and a small joint would come and go with
    every step; the mean over all pixels that fall together takes ten times as long: 7 ms from 1920 to 640.
    """
    while (shape := image.shape[:2]) != (height, width):
        h, w = ((side + 1) // 2 if side >= 2 * to else to for side, to in zip(shape, (height, width), strict=True))
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    return image
