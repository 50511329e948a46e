"""A pose over time: every joint angle of a body, frame by frame, and ways to mix two of them.

Angles are radians. Pairs are (2, T): left, right. Axes of a body: x forward, y left, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Track = NDArray[np.float64]
LEFT_SIDE, RIGHT_SIDE = 0, 1
DEGREE = np.pi / 180


@dataclass
class Pose:
    """Angles of one body over T frames; see `recognizer.synthetic.body.joints_of` for how they act.

    Attributes:
        heading: (T,) where the body faces, from x towards y.
        pitch, toward: (T,) how far the whole body is tipped over, and which way, measured from the heading.
        roll: (T,) turn about the body's own long axis.
        lean, tilt, twist: (T,) the spine above the hips: forward, sideways, about itself.
        nod, turn: (T,) the head: forward, to the left.
        hip, spread, knee: (2, T) thigh forward, thigh outward, shin back.
        shoulder, raised, elbow, sweep: (2, T) upper arm forward and outward; forearm further forward and outward.
        lift: (T,) metres above the floor (both feet in the air).
        speed: (T,) metres per second along the heading.
    """

    heading: Track
    pitch: Track
    toward: Track
    roll: Track
    lean: Track
    tilt: Track
    twist: Track
    nod: Track
    turn: Track
    hip: Track
    spread: Track
    knee: Track
    shoulder: Track
    raised: Track
    elbow: Track
    sweep: Track
    lift: Track
    speed: Track

    @classmethod
    def zero(cls, frames: int) -> Pose:
        """Upright, arms hanging, still."""
        pairs = {"hip", "spread", "knee", "shoulder", "raised", "elbow", "sweep"}
        return cls(**{f.name: np.zeros((2, frames) if f.name in pairs else frames) for f in fields(cls)})

    @property
    def frames(self) -> int:
        return len(self.heading)

    def copy(self) -> Pose:
        return Pose(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def combined(self, other: Pose, mix: Callable[[Track, Track], Track]) -> Pose:
        return Pose(**{f.name: mix(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})


def blend(first: Pose, second: Pose, weight: Track) -> Pose:
    """`first` where weight (T,) is 0, `second` where it is 1."""
    return first.combined(second, lambda a, b: a + (b - a) * weight)


def rise(frames: int, start: float, length: float, power: float = 1.0) -> Track:
    """(T,) from 0 to 1 over `length` frames from `start`, smooth at both ends; a power above 1 starts slower."""
    share = np.clip((np.arange(frames) - start) / max(length, 1.0), 0, 1) ** power
    return np.asarray(share * share * (3 - 2 * share))


def bump(frames: int, centre: float, width: float) -> Track:
    """(T,) a smooth hill of height 1, about `width` frames wide."""
    return np.asarray(np.exp(-0.5 * ((np.arange(frames) - centre) / (width / 3)) ** 2))


def drift(generator: np.random.Generator, seconds: Track, size: float, rhythm: float = 0.35) -> Track:
    """(T,) aimless slow movement of about `size`: a few sines of random pace around `rhythm` Hz."""
    pace = rhythm * generator.uniform(0.3, 1.8, 4)
    phase = generator.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * pace[:, None] * seconds + phase[:, None])
    return np.asarray(size * 0.7 * waves.mean(axis=0) * 2)
