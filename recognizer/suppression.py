"""From a model's raw candidates to the people of a picture: of those that lie on one person only the surest stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError, InvalidAnswer
from recognizer.images import Placement
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS

TOLERANCE = 1e-3
"""How far a score or visibility may lie outside of [0, 1] before it is none; then it is clipped."""


@dataclass(frozen=True)
class Suppression:
    """What becomes a person.

    Attributes:
        score: candidates below are nobody.
        overlap: of two whose boxes share more than this part of their union (IoU) the less sure one is dropped.
        candidates: the surest so many are looked at.
        people: the surest so many are answered.

    Raises:
        InputError: a share outside of [0, 1], or a number below 1.
    """

    score: float = 0.3
    overlap: float = 0.65
    candidates: int = 300
    people: int = 20

    def __post_init__(self) -> None:
        if not (0 <= self.score <= 1 and 0 <= self.overlap <= 1 and self.candidates >= 1 and self.people >= 1):
            raise InputError(f"{self} is out of range", hint="give shares in [0, 1] and numbers of at least 1")


@dataclass(frozen=True)
class Candidates:
    """What a model says of one picture: K candidates, in pixels of its input.

    Attributes:
        scores: (K,) in [0, 1].
        boxes: (K, 4) x1, y1, x2, y2.
        joints: (K, 17, 2) x, y.
        visibility: (K, 17) in [0, 1].

    Raises:
        InvalidAnswer: shapes that do not agree, NaN or infinite numbers, or shares outside of [0, 1].
    """

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    joints: NDArray[np.float32]
    visibility: NDArray[np.float32]

    def __post_init__(self) -> None:
        n, k = len(self.scores), len(JOINTS)
        shapes = {"scores": (n,), "boxes": (n, 4), "joints": (n, k, 2), "visibility": (n, k)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise _invalid(f"{name} of shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise _invalid(f"NaN or infinite {name}")
        for name in ("scores", "visibility"):
            found = getattr(self, name)
            if found.min(initial=0) < -TOLERANCE or found.max(initial=1) > 1 + TOLERANCE:
                low, high = float(found.min()), float(found.max())
                raise _invalid(f"{name} from {low:g} to {high:g}, expected [0, 1]")


def suppress(candidates: Candidates, placement: Placement, rules: Suppression) -> FoundPeople:
    """The people among the candidates, the surest first; the first one of equals.

    Boxes are compared as the model gave them, then clipped to the picture; one that lies beside it is nobody's. Joints
    are not clipped: a person at the edge has some outside.

    Raises:
        InvalidAnswer: a box whose right or lower side comes first.
    """
    chosen = _surest(candidates.scores, rules)
    boxes = candidates.boxes[chosen]
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise _invalid("a box whose right or lower side comes before the other")
    corners = placement.back(boxes.reshape(-1, 2, 2)).clip(0, (placement.width, placement.height))
    sizes = corners[:, 1] - corners[:, 0]
    inside = (sizes > 0).all(axis=1)
    kept = np.flatnonzero(inside)[_distinct(boxes[inside], rules)]
    chosen = chosen[kept]
    return FoundPeople(
        joints=placement.back(candidates.joints[chosen]).astype(np.float32),
        visibility=candidates.visibility[chosen].clip(0, 1).astype(np.float32),
        boxes=np.concatenate([corners[kept, 0], sizes[kept]], axis=1).astype(np.float32),
        scores=candidates.scores[chosen].clip(0, 1).astype(np.float32),
    )


def best_left_out(candidates: Candidates, people: FoundPeople, placement: Placement, threshold: float) -> float:
    """The best score below `threshold`, where none of the people above it is; 0 when there is no such candidate.

    What has its middle in somebody's box is that person, seen once more.
    """
    weak = candidates.scores < threshold
    middles = placement.back(candidates.boxes[weak].reshape(-1, 2, 2).mean(axis=1))[:, None]
    boxes = people.boxes[people.scores >= threshold]
    corner, size = boxes[:, :2], boxes[:, 2:]
    within = (middles >= corner) & (middles <= corner + size)
    taken = (within[..., 0] & within[..., 1]).any(axis=1)
    return float(candidates.scores[weak][~taken].max(initial=0))


def _surest(scores: NDArray[np.float32], rules: Suppression) -> NDArray[np.intp]:
    """Places of the candidates that are looked at, the surest first."""
    enough = np.flatnonzero(scores >= rules.score)
    return enough[np.argsort(-scores[enough], kind="stable")[: rules.candidates]]


def _distinct(boxes: NDArray[np.float32], rules: Suppression) -> NDArray[np.intp]:
    """Places of the boxes (n, 4) that stay, which come the surest first.

    Box by box against all that are left: at most `people` times, where a matrix would hold all pairs.
    """
    left, top, right, bottom = boxes.astype(np.float64).T
    areas = (right - left) * (bottom - top)
    waiting = np.arange(len(boxes))
    kept: list[int] = []
    while len(waiting) and len(kept) < rules.people:
        best, rest = int(waiting[0]), waiting[1:]
        kept.append(best)
        shared = (np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])).clip(0)
        shared *= (np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])).clip(0)
        waiting = rest[shared <= rules.overlap * (areas[best] + areas[rest] - shared)]
    return np.array(kept, np.intp)


def _invalid(what: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"the model answered {what}",
        where="task pose",
        hint="promote another version; `recognizer models` lists them",
    )
