"""What an annotator would write down, read off the painted pixels: joints, who is hidden, segments and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizer.scenes import HIDDEN, SEEN, UNLABELLED, People
from recognizer.synthetic.canvas import Shape
from recognizer.synthetic.pose import Track

MIDDLE = 0.5  # of a pixel: the renderer's whole numbers are middles of pixels, a label's the corners between them
UNDER_SKIN = 0.03  # metres that a joint lies below the surface of its limb
TOLERANCE = 0.04  # metres: a limb of one's own that just touches a joint does not hide it


def annotate(
    ids: NDArray[np.uint8],
    shapes: Sequence[Shape],
    seen: Track,
    pixels: Track,
    away: Sequence[frozenset[int]],
) -> tuple[People, NDArray[np.intp]]:
    """The people of a picture of whom a pixel shows and a joint lies in it, and which of the n they are.

    Joints inside the picture are SEEN where their pixel shows the person's own limb around the joint (or another
    one that is not nearer than the joint), and HIDDEN otherwise. Areas and boxes are those of the visible pixels, as
    COCO's annotators outlined what they saw.

    Args:
        ids, shapes: see `recognizer.synthetic.canvas.Painted`.
        seen: (n, 17, 3) joints in camera axes.
        pixels: (n, 17, 2) the same in the picture, whole numbers the middles of pixels.
        away: for each person, the joints on the side of head and trunk that faces away.
    """
    height, width = ids.shape
    owners = np.array([-1, *(shape.owner for shape in shapes)])
    inside = np.all((pixels >= 0) & (pixels <= (width - 1, height - 1)), axis=-1)
    labelled = np.where(inside, HIDDEN, UNLABELLED).astype(np.uint8)
    rows, columns = (np.round(np.where(inside, pixels[..., axis], 0)).astype(int) for axis in (1, 0))
    shown = ids[rows, columns]
    own = np.nonzero(inside & (owners[shown] == np.arange(len(seen))[:, None]))
    for person, joint, number in zip(own[0].tolist(), own[1].tolist(), shown[own].tolist(), strict=True):
        shape = shapes[number - 1]
        around = joint in shape.joints or not _hides(shape, seen[person, joint])
        if around and joint not in away[person]:
            labelled[person, joint] = SEEN
    areas, boxes = _segments(ids, owners, len(seen))
    there = np.flatnonzero((areas > 0) & inside.any(axis=1))
    joints = np.where(labelled[..., None] > UNLABELLED, pixels + MIDDLE, 0).astype(np.float32)
    return People(joints[there], labelled[there], boxes[there], areas[there], np.zeros(len(there), np.bool_)), there


def _hides(shape: Shape, place: Track) -> bool:
    """Whether another limb of the same person lies in front of the joint at (3,)."""
    if shape.axis is None:
        return False
    start, along = shape.axis[0], shape.axis[1] - shape.axis[0]
    share = float(np.clip((place - start)[:2] @ along[:2] / max(float(along[:2] @ along[:2]), 1e-9), 0, 1))
    surface = start[2] + share * along[2] - shape.radius
    return bool(surface < place[2] - UNDER_SKIN - TOLERANCE)


def _segments(
    ids: NDArray[np.uint8], owners: NDArray[np.int_], people: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Areas (n,) and boxes (n, 4) of everybody's visible pixels; 0 where there are none."""
    areas, boxes = np.zeros(people, np.float32), np.zeros((people, 4), np.float32)
    for person in range(people):
        own = np.zeros(256, np.uint8)
        own[: len(owners)] = owners == person
        mask = cv2.LUT(ids, own)
        areas[person] = cv2.countNonZero(mask)
        boxes[person] = cv2.boundingRect(mask)
    return areas, boxes
