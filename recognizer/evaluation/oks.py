"""Object keypoint similarity: how well somebody's joints are found, 1 for exactly and 0 for elsewhere.

Sources:
    Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; cocodataset.org, keypoint evaluation; and its
        reference code `pycocotools/cocoeval.py`, `computeOks`, which `oks_of_joints` follows term by term.
    Li et al. 2019, "CrowdPose: Efficient Crowded Scenes Pose Estimation and a New Benchmark" (14 joints, their sigmas).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError
from recognizer.evaluation.summands import Floats
from recognizer.scenes import AREA_OF_BOX, UNLABELLED, FoundPeople, People
from recognizer.skeleton import JOINTS

SIGMAS: tuple[float, ...] = tuple(
    sigma / 10 for sigma in (0.26, 0.25, 0.25, 0.35, 0.35, *np.repeat([0.79, 0.72, 0.62, 1.07, 0.87, 0.89], 2).tolist())
)
"""Of the 17 COCO joints: how far people who label the same joint lie apart, in roots of the segment's area."""

HIT = 0.5
"""OKS from which somebody counts as found, as in AP50."""

CROWDPOSE_SIGMAS: tuple[float, ...] = tuple(
    sigma / 10 for sigma in (*np.repeat([0.79, 0.72, 0.62, 1.07, 0.87, 0.89], 2).tolist(), 0.79, 0.79)
)
"""Of CrowdPose's own 14 joints: shoulders, elbows, wrists, hips, knees, ankles, head, neck.

The twelve that COCO has too have COCO's sigmas. So people read from CrowdPose, of whom `People` holds those twelve, are
judged alike with both; these here are for `oks_of_joints` and models that answer with all 14.
"""


def oks(found: FoundPeople, people: People) -> Floats:
    """(m, n) of m found and n labelled people, in COCO's 17 joints; see `oks_of_joints`.

    Raises:
        InputError: what was found has shapes that do not agree, or numbers that are not finite.
    """
    require_sound(found)
    return oks_of_joints(found.joints, people.joints, people.labelled, people.areas, people.boxes)


def oks_of_joints(
    found: NDArray[Any],
    joints: NDArray[Any],
    labelled: NDArray[np.uint8],
    areas: NDArray[Any],
    boxes: NDArray[Any],
    sigmas: tuple[float, ...] = SIGMAS,
) -> Floats:
    """(m, n) mean over the labelled joints of exp(-d² / (2 · area · (2σ)²)), d the distance in pixels.

    Of somebody without labelled joints, who is not to be found, d is how far each joint lies outside the doubled box:
    whoever is found in there is not counted as wrong. To an area the spacing of 1 is added, as COCO does, so that an
    area of 0 leaves 1 for exactly and 0 for everything else.

    found: (m, k, 2) pixels. joints: (n, k, 2) pixels. labelled: (n, k), 0 where a joint is not. areas: (n,) square
    pixels. boxes: (n, 4) x, y, width, height. sigmas: k of them.
    """
    if not len(found) or not len(joints):
        return np.zeros((len(found), len(joints)))
    exact, boxes = found.astype(np.float64), boxes.astype(np.float64)
    known: NDArray[np.bool_] = labelled > UNLABELLED
    nothing = ~np.asarray(known.any(axis=1))
    apart = exact[:, None] - joints.astype(np.float64)[None]
    if nothing.any():
        low, size = boxes[nothing, None, :2], boxes[nothing, None, 2:]
        where = exact[:, None]
        apart[:, nothing] = np.maximum(low - size - where, 0) + np.maximum(where - (low + size * 2), 0)
        known = known | nothing[:, None]
    return _similarity(apart, areas.astype(np.float64)[None], known[None], sigmas)


def all_found(joints: NDArray[Any], people: People) -> bool:
    """Whether an answer has everybody, each with an OKS of at least `HIT`, and nobody besides.

    joints: (n, 17, 2) pixels, of the n people of the answer.
    """
    from scipy.optimize import linear_sum_assignment

    if len(joints) != len(people):
        return False
    hits = oks_of_joints(joints, people.joints, people.labelled, people.areas, people.boxes) >= HIT
    return bool(hits[linear_sum_assignment(hits, maximize=True)].all())


def agreement(first: FoundPeople, second: FoundPeople) -> float:
    """How far two models agree on one image, in [0, 1]; the same whichever comes first.

    People of one are paired with people of the other so that their OKS add up to the most (Kuhn 1955, the Hungarian
    method); the agreement is the mean over everybody whom either found, those without a partner counting 0:
    2 · sum / (n + m). It is 1 where both found nobody. The area of a pair is the mean of its two boxes times
    `AREA_OF_BOX`; all 17 joints weigh the same, seen or not, because a caller gets them all. Whom a model is too unsure
    of to answer with has to be taken out before.

    Raises:
        InputError: what was found has shapes that do not agree, or numbers that are not finite.
    """
    from scipy.optimize import linear_sum_assignment

    require_sound(first)
    require_sound(second)
    everybody = len(first) + len(second)
    if everybody == 0:
        return 1.0
    areas = [AREA_OF_BOX * people.boxes[:, 2:].astype(np.float64).prod(axis=1) for people in (first, second)]
    apart = first.joints.astype(np.float64)[:, None] - second.joints.astype(np.float64)[None]
    shared = (areas[0][:, None] + areas[1][None]) / 2
    similar = _similarity(apart, shared, np.ones((1, 1, len(JOINTS)), np.bool_), SIGMAS)
    # the sum must not depend on which model gives the rows
    pairs = np.sort(similar[linear_sum_assignment(similar, maximize=True)])
    return 2 * float(pairs.sum()) / everybody


def _similarity(apart: Floats, areas: Floats, known: NDArray[np.bool_], sigmas: tuple[float, ...]) -> Floats:
    """apart: (m, n, k, 2) pixels; areas and known: of (m, n) and (m, n, k), or 1 where they are the same for all m."""
    spread = (np.array(sigmas) * 2) ** 2
    with np.errstate(over="ignore"):  # a joint beyond all measure is as far away as can be
        # Both axes by name: a sum over an axis of two takes longer than all the rest.
        squares = apart[..., 0] ** 2 + apart[..., 1] ** 2
        exponent = squares / spread / (areas[..., None] + np.spacing(1.0)) / 2
    close = np.exp(-exponent)
    if not known.all():  # of people whom a model found, all joints are
        close = np.where(known, close, 0.0)
    mean: Floats = close.sum(axis=-1) / known.sum(axis=-1)
    return mean


def require_sound(found: FoundPeople, where: str | None = None) -> None:
    """Raise InputError unless shapes agree and all numbers are finite; a model's answer is not to be trusted."""
    n, k = len(found), len(JOINTS)
    shapes = {"joints": (n, k, 2), "visibility": (n, k), "boxes": (n, 4), "scores": (n,)}
    for name, shape in shapes.items():
        part = getattr(found, name)
        fault = f"of shape {part.shape}, expected {shape}" if part.shape != shape else None
        if fault is None and not np.isfinite(part).all():
            fault = "that are not finite"
        if fault is not None:
            raise InputError(f"found people have {name} {fault}", where=where, hint="look at the model's decoding")
