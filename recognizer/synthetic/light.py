"""Light on bodies, and what a sensor and a codec make of a picture: all values 0 to 255, RGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.synthetic.pose import Track

Image = NDArray[np.uint8]
# Gaussian noise of this deviation around 128 is kept once; pictures take cut-outs of it.
KEPT_NOISE, KEPT_SIZE = 32.0, 512
NIGHT = 0.06  # share of dark pictures
QUALITY = (28, 80)  # of the codec that a quarter of the pictures has gone through


@dataclass(frozen=True)
class Light:
    """One lamp far away, and light from everywhere.

    Attributes:
        direction: (3,) unit vector towards the lamp, in camera axes.
        ambient: what a surface turned away gets, as a share.
        direct: what the lamp adds to a surface that faces it.
    """

    direction: Track
    ambient: float
    direct: float

    @classmethod
    def draw(cls, up: Track, generator: np.random.Generator) -> Light:
        """A lamp mostly above, given the room's up (3,) in camera axes."""
        direction = generator.normal(0, 1, 3) + up * generator.uniform(0.3, 2.2)
        ambient = generator.uniform(0.5, 0.85)
        return cls(direction / np.linalg.norm(direction), ambient, generator.uniform(0.2, 1.15 - ambient))

    def on(self, normals: Track) -> Track:
        """(...) factor for surfaces with unit normals (..., 3)."""
        return np.asarray(self.ambient + self.direct * np.maximum(normals @ self.direction, 0))


def develop(image: Image, generator: np.random.Generator) -> Image:
    """Exposure, contrast, colour cast, uneven light, blur, noise and compression of one picture (h, w, 3)."""
    if generator.random() < 0.3:
        image = _uneven(image, generator)
    image = np.asarray(cv2.LUT(image, _grades(generator)))
    blur = generator.random()
    if blur < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.1) * max(image.shape) / 256)
    elif blur < 0.45:
        image = _shaken(image, generator)
    image = _noisy(image, generator)
    if generator.random() < 0.25:
        quality = int(generator.integers(*QUALITY))
        image = _compressed(image, quality)
    return image


def _compressed(image: Image, quality: int) -> Image:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)


def _grades(generator: np.random.Generator) -> Image:
    """(1, 256, 3) what becomes of every value of every channel."""
    value = np.arange(256)[:, None] / 255
    gamma, contrast = np.exp(generator.normal(0, 0.18)), np.exp(generator.normal(0, 0.13))
    exposure = generator.uniform(0.32, 0.5) if generator.random() < NIGHT else generator.uniform(0.7, 1.2)
    gain = exposure * np.exp(generator.normal(0, 0.06, 3))
    graded = ((value**gamma - 0.5) * contrast + 0.5) * gain + generator.uniform(0, 0.06)
    return np.asarray((graded * 255).clip(0, 255).astype(np.uint8)[None])


def _uneven(image: Image, generator: np.random.Generator) -> Image:
    """Brighter on one side, as beside a window."""
    corners = generator.uniform(0.55, 1.15, (2, 2)).astype(np.float32)
    height, width = image.shape[:2]
    field = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.merge([field, field, field]), dtype=cv2.CV_8U))


def _shaken(image: Image, generator: np.random.Generator) -> Image:
    """Moved while the shutter was open, along a line of 3 to 5 pixels at a picture of 256."""
    length = 2 * int(generator.integers(1, 3) * max(1, round(max(image.shape) / 256))) + 1
    kernel = np.zeros((length, length), np.float32)
    angle = generator.uniform(0, np.pi)
    step = np.linspace(-(length // 2), length // 2, 4 * length)
    rows, columns = (np.round(step * part).astype(int) + length // 2 for part in (np.sin(angle), np.cos(angle)))
    kernel[rows, columns] = 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def _noisy(image: Image, generator: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    noise = _noise(generator.random() < 0.5)
    share = float(generator.uniform(0.5, 3.5) if generator.random() < 0.75 else generator.uniform(3.5, 11)) / KEPT_NOISE
    top, left = (int(generator.integers(max(1, KEPT_SIZE - side + 1))) for side in (height, width))
    cut = noise[top : top + height, left : left + width]
    if cut.shape != image.shape:
        cut = cv2.copyMakeBorder(cut, 0, height - cut.shape[0], 0, width - cut.shape[1], cv2.BORDER_REFLECT)
    return np.asarray(cv2.addWeighted(image, 1.0, cut, share, -128 * share))


@cache
def _noise(grey: bool) -> Image:
    generator = np.random.default_rng(7)
    noise = generator.normal(128, KEPT_NOISE, (KEPT_SIZE, KEPT_SIZE, 1 if grey else 3))
    noise = np.broadcast_to(noise, (KEPT_SIZE, KEPT_SIZE, 3))
    return np.ascontiguousarray(noise.clip(0, 255).astype(np.uint8))
