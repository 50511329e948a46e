"""A pinhole camera in a room: from metres to pixels and depths.

Camera axes: x to the right, y down, z away from the camera. A pixel's centre has whole numbers, as in OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recognizer.synthetic.pose import Track

NEAREST = 0.15  # metres: what is nearer, or behind the camera, is put there


@dataclass(frozen=True)
class View:
    """Where a camera stands, where it looks, and what it makes of it.

    Attributes:
        turn: (3, 3) the camera's right, down and forward in the room's axes (x, y, z up).
        place: (3,) metres.
        focal: pixels.
        shape: (height, width) of the picture in pixels.
    """

    turn: Track
    place: Track
    focal: float
    shape: tuple[int, int]

    @classmethod
    def towards_x(cls, height: float, pitch: float, roll: float, focal: float, shape: tuple[int, int]) -> View:
        """A camera `height` metres above the origin that looks along x, `pitch` radians downwards."""
        forward = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
        right = np.array([0.0, -1.0, 0.0])
        down = np.array([-np.sin(pitch), 0.0, -np.cos(pitch)])
        turn = np.stack(
            [right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll), forward]
        )
        return cls(turn, np.array([0.0, 0.0, height]), focal, shape)

    @property
    def down(self) -> Track:
        """(3,) the room's down in camera axes."""
        return -self.turn[:, 2]

    def seen(self, room: Track) -> Track:
        """(..., 3) points of the room, metres, in camera axes."""
        return np.asarray((room - self.place) @ self.turn.T)

    def pixels(self, seen: Track) -> Track:
        """(..., 2) pixels of points (..., 3) in camera axes."""
        height, width = self.shape
        depth = np.maximum(seen[..., 2:], NEAREST)
        return np.asarray(self.focal * seen[..., :2] / depth + np.array([(width - 1) / 2, (height - 1) / 2]))

    def scale(self, seen: Track) -> Track:
        """(...) pixels a metre at points (..., 3) in camera axes."""
        return np.asarray(self.focal / np.maximum(seen[..., 2], NEAREST))
