"""The 17 COCO joints: names, order, bones and mirror pairs.

Source: Lin et al., "Microsoft COCO: Common Objects in Context" (keypoint annotation order).
"""

from __future__ import annotations

JOINTS: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

# (joint, the joint it hangs from), leading inwards to the nose; the root itself has no bone.
BONES: tuple[tuple[int, int], ...] = (
    (1, 0),
    (2, 0),
    (3, 1),
    (4, 2),
    (5, 0),
    (6, 0),
    (7, 5),
    (8, 6),
    (9, 7),
    (10, 8),
    (11, 5),
    (12, 6),
    (13, 11),
    (14, 12),
    (15, 13),
    (16, 14),
)

LEFT: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 13, 15)
RIGHT: tuple[int, ...] = (2, 4, 6, 8, 10, 12, 14, 16)

# MIRROR[j] is the joint that j becomes when the picture is flipped.
MIRROR: tuple[int, ...] = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
