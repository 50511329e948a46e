"""From a model's raw candidates to the people of a picture: whoever is posed like somebody surer is less sure.

Poses are compared, not boxes: boxes of two who stand before each other are nearly one, their poses are not; and what is
left of a score says how much, where to drop or to keep would be all or nothing.

Sources: Papandreou et al. 2017, "Towards Accurate Multi-person Pose Estimation in the Wild" (suppression by OKS); Bodla
et al. 2017, "Soft-NMS" (scores that fall instead of candidates that go).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError, InvalidAnswer
from recognizer.evaluation.oks import oks_of_joints
from recognizer.images import Placement
from recognizer.scenes import AREA_OF_BOX, SEEN, FoundPeople
from recognizer.skeleton import JOINTS

TOLERANCE = 1e-3
"""How far a score or visibility may lie outside of [0, 1] before it is none; then it is clipped."""


@dataclass(frozen=True)
class Suppression:
    """What becomes a person.

    Attributes:
        score: candidates below are nobody, be it from the start or because of somebody surer.
        patience: the score of the less sure one of two falls by exp(-OKS² / patience), OKS being that between their
            poses; 0.3 leaves a thirtieth to the same pose once more, and nine tenths at an OKS of 0.18.
        candidates: the surest so many are looked at.
        people: the surest so many are answered.

    Raises:
        InputError: a score outside of [0, 1], a patience that is not above 0, or a number below 1.
    """

    score: float = 0.3
    patience: float = 0.3
    candidates: int = 300
    people: int = 20

    def __post_init__(self) -> None:
        if not (0 <= self.score <= 1 and self.patience > 0 and self.candidates >= 1 and self.people >= 1):
            raise InputError(
                f"{self} is out of range", hint="give a score in [0, 1], a patience above 0, and numbers of at least 1"
            )


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

    Boxes are clipped to the picture; one that lies beside it is nobody's. Joints are not clipped: a person at the edge
    has some outside. Poses are compared by all 17 joints, seen or not, and by the mean area of the two clipped boxes
    times `AREA_OF_BOX`, as in `recognizer.evaluation.oks.agreement`.

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
    chosen, clipped = chosen[inside], np.concatenate([corners[inside, 0], sizes[inside]], axis=1)
    joints = placement.back(candidates.joints[chosen])
    kept, scores = _distinct(candidates.scores[chosen], joints, clipped, rules)
    return FoundPeople(
        joints=joints[kept].astype(np.float32),
        visibility=candidates.visibility[chosen[kept]].clip(0, 1).astype(np.float32),
        boxes=clipped[kept].astype(np.float32),
        scores=scores.clip(0, 1).astype(np.float32),
    )


def best_left_out(candidates: Candidates, people: FoundPeople, placement: Placement, threshold: float) -> float:
    """The best score below `threshold`, where none of the people above it is; 0 when there is no such candidate.

    What has its middle in somebody's box is that person, seen once more.

    Args:
        people: what `suppress` made of the candidates, those below the threshold included: somebody surer may have
            put them there.
    """
    weak, fallen = candidates.scores < threshold, people.scores < threshold
    middles = np.concatenate(
        [
            placement.back(candidates.boxes[weak].reshape(-1, 2, 2).mean(axis=1)),
            people.boxes[fallen, :2] + people.boxes[fallen, 2:] / 2,
        ]
    )
    scores = np.concatenate([candidates.scores[weak], people.scores[fallen]])
    x, y = middles.T[..., None]
    left, top, width, height = people.boxes[~fallen].T
    within = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
    taken = within.any(axis=1)
    return float(scores[~taken].max(initial=0))


def _surest(scores: NDArray[np.float32], rules: Suppression) -> NDArray[np.intp]:
    """Places of the candidates that are looked at, the surest first."""
    enough = np.flatnonzero(scores >= rules.score)
    return enough[np.argsort(-scores[enough], kind="stable")[: rules.candidates]]


def _distinct(
    scores: NDArray[np.float32], joints: NDArray[np.float64], boxes: NDArray[np.float64], rules: Suppression
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Places of the candidates that stay, the surest first, and their scores.

    Pose by pose against all that are left: at most `people` times, where a matrix would hold all pairs.

    Args:
        boxes: (n, 4) x, y, width, height.
    """
    left = scores.astype(np.float64)
    labelled = np.full(joints.shape[:2], SEEN, np.uint8)
    areas = AREA_OF_BOX * boxes[:, 2:].prod(axis=1)
    waiting = np.arange(len(scores))
    kept: list[int] = []
    while len(waiting) and len(kept) < rules.people:
        best = int(waiting[left[waiting].argmax()])
        kept.append(best)
        waiting = waiting[waiting != best]
        means = (areas[best] + areas[waiting]) / 2
        alike = oks_of_joints(joints[best : best + 1], joints[waiting], labelled[waiting], means, boxes[waiting])[0]
        left[waiting] *= np.exp(-(alike**2) / rules.patience)
        # As exactly as they were compared before they fell.
        waiting = waiting[left[waiting].astype(np.float32) >= rules.score]
    chosen = np.array(kept, np.intp)
    return chosen, left[chosen]


def _invalid(what: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"the model answered {what}",
        where="task pose",
        hint="promote another version; `recognizer models` lists them",
    )
