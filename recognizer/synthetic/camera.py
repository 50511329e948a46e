"""A camera on the wall and a joint detector with its errors: from metres in a room to pixels with scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recognizer.skeleton import JOINTS, MIRROR
from recognizer.synthetic.pose import DEGREE, Track

SHAPES = ((480, 640), (480, 640), (720, 1280), (1080, 1920))
# Body parts that a table, a pillar or another body hides, by joint index.
PARTS = ((0, 1, 2, 3, 4), (5, 7, 9), (6, 8, 10), (13, 15), (14, 16), (15, 16), (13, 14, 15, 16), (9, 10))
# How well joints are located, as the standard deviations of COCO's OKS say, relative to the mean.
SPREAD = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
)
SPREAD = SPREAD / SPREAD.mean()


def film(people: Track, main: int, generator: np.random.Generator) -> tuple[Track, tuple[int, int]]:
    """Pixels (M, T, 17, 2) of joints (M, T, 17, 3), seen from a random side and height; and (height, width).

    The first `main` people are in the picture all the time; others may stand half outside.
    """
    height, width = SHAPES[generator.integers(len(SHAPES))]
    pitch, azimuth = generator.uniform(2, 38) * DEGREE, generator.uniform(0, 2 * np.pi)
    roll, distance = generator.normal(0, 1.5) * DEGREE, generator.uniform(5.0, 12.0)
    forward = np.array([np.cos(azimuth) * np.cos(pitch), np.sin(azimuth) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    above = np.cross(right, forward)
    right, above = right * np.cos(roll) + above * np.sin(roll), above * np.cos(roll) - right * np.sin(roll)
    flat = people[:main].reshape(-1, 3)
    target = (flat.min(axis=0) + flat.max(axis=0)) / 2
    away = people - (target - distance * forward)
    depth = np.maximum(away @ forward, 0.5)
    plane = np.stack([away @ right / depth, -(away @ above) / depth], axis=-1)
    shown = plane[:main].reshape(-1, 2)
    low, high = shown.min(axis=0), shown.max(axis=0)
    size = np.array([width, height])
    focal = float((size / np.maximum(high - low, 0.05)).min()) * generator.uniform(0.45, 0.93)
    slack = size - focal * (high - low)
    return (plane - low) * focal + slack * generator.uniform(0.15, 0.85, 2), (height, width)


def detect(
    points: Track, shape: tuple[int, int], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a joint detector reports of pixels (M, T, 17, 2): keypoints and scores, both 0 where it saw nothing.

    Jitter grows with the person's size; joints drop out one by one, people for some frames, body parts for a
    while; now and then left and right are mixed up; what lies outside the image is not seen.
    """
    people, frames = points.shape[:2]
    keypoints, scores = np.zeros(points.shape), np.zeros(points.shape[:3])
    for person in range(people):
        tall = float(np.median(np.ptp(points[person], axis=1).max(axis=1)))
        blur = generator.uniform(0.004, 0.014)
        noise = generator.normal(0, 1, (frames, len(JOINTS), 2))
        found = points[person] + noise * SPREAD[:, None] * (blur * tall + 0.4)
        sure = (
            0.97
            - 0.05 * np.abs(noise).max(axis=-1)
            - generator.uniform(0, 0.15)
            + generator.normal(0, 0.04, scores[0].shape)
        )
        sure[generator.random(sure.shape) < generator.uniform(0, 0.07)] = 0
        sure[generator.random(frames) < generator.uniform(0, 0.03)] = 0
        _hide(found, sure, tall, generator)
        if generator.random() < 0.1:
            start, length = _span(frames, 0.25, generator)
            found[start : start + length] = found[start : start + length, MIRROR]
            sure[start : start + length] = sure[start : start + length, MIRROR]
        keypoints[person], scores[person] = found, np.where(sure < 0.15, 0, sure.clip(0, 1))
    outside = (keypoints < 0).any(axis=-1) | (keypoints >= np.array(shape[::-1])).any(axis=-1)
    # Rounded, so that the last bit of a sine does not depend on the machine.
    keypoints, scores = keypoints.round(2), scores.round(3)
    scores[outside | (keypoints == 0).all(axis=-1)] = 0
    keypoints[scores == 0] = 0
    return keypoints.astype(np.float32), scores.astype(np.float32)


def _hide(found: Track, sure: Track, tall: float, generator: np.random.Generator) -> None:
    """Hide body parts for a stretch of at most 40 % of the time, by dropping or by guessing them badly; in place."""
    frames = len(found)
    for _ in range(generator.choice([0, 1, 2, 3], p=[0.45, 0.3, 0.15, 0.1])):
        part = list(PARTS[generator.integers(len(PARTS))])
        start, length = _span(frames, 0.4, generator)
        hidden = np.ix_(range(start, start + length), part)
        if generator.random() < 0.7:
            sure[hidden] = 0
        else:
            found[hidden] += generator.normal(0, 0.05 * tall, found[hidden].shape)
            sure[hidden] *= 0.5


def _span(frames: int, most: float, generator: np.random.Generator) -> tuple[int, int]:
    """Start and length of a random stretch of at most the share `most`."""
    length = int(generator.uniform(0.05, most) * frames)
    return int(generator.integers(frames - length + 1)), length
