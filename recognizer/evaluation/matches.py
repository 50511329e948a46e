"""Whom COCO takes a found person for, and the average precision that follows; also without each image in turn.

faster-coco-eval gives the ten numbers of a set (`recognizer.evaluation.keypoints`). To compare two models, what each
image adds to AP has to be known too: AP once without each image, so the matches are made here once and counted often.

Sources:
    `pycocotools/cocoeval.py`, `evaluateImg` and `accumulate`: the order, the ties, who is ignored.
    Miller 1974, "The jackknife: a review" (pseudo-values).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.evaluation.oks import oks
from recognizer.evaluation.summands import Floats, Ints
from recognizer.scenes import FoundPeople, People

Bools = NDArray[np.bool_]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_FOUND = 20
"""Of one image: the surest; the others are not looked at."""
MEDIUM, LARGE, LARGEST = 32.0**2, 96.0**2, 1e5**2
AREAS = {"all": (0.0, LARGEST), "medium": (MEDIUM, LARGE), "large": (LARGE, LARGEST)}
"""Name → least and greatest area of people who are counted, square pixels, both included."""
AT_ONCE = 1_000_000
"""Elements of one array while matching or counting."""


@dataclass(frozen=True)
class Matches:
    """Who was found in i images by f found people, the surest of all images first; a areas, t thresholds.

    Attributes:
        image: (f,) in which they were found.
        right: (a, t, f) whether it is somebody who is counted.
        ignored: (a, t, f) whether it counts neither for nor against: it is somebody who is not counted, or nobody and
            of an area beyond the limits.
        counted: (a, i) people who have to be found.
    """

    image: Ints
    right: Bools
    ignored: Bools
    counted: Ints

    @property
    def images(self) -> int:
        return int(self.counted.shape[1])


def match(people: Sequence[People], found: Sequence[FoundPeople]) -> Matches:
    """Match found to labelled people, image by image: (i,) each, in the order of the images' ids.

    The surest first, everybody found takes of those who are free the one of the highest OKS, if that reaches the
    threshold: of the counted if there is one, else of those who are not counted, of whom a crowd is always free.
    Of equal OKS the last is taken; of equal scores the earlier image, and in it the earlier found, comes first.
    """
    found = [surest(one) for one in found]
    similar = [oks(one, who) for who, one in zip(people, found, strict=True)]
    ignored = [np.stack([_not_counted(who, limits) for limits in AREAS.values()]) for who in people]
    starts = np.cumsum([0, *map(len, found)])
    shape = (len(AREAS), len(THRESHOLDS), int(starts[-1]))
    matched, neither = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    both = [image for image, one in enumerate(similar) if one.size]
    both.sort(key=lambda image: similar[image].shape[1])
    for some in _parts(both, [similar[image].shape[1] for image in both]):
        got = _match([similar[i] for i in some], [ignored[i] for i in some], [people[i].crowd for i in some])
        for row, image in enumerate(some):
            columns = slice(starts[image], starts[image + 1])
            size = len(found[image])
            matched[..., columns], neither[..., columns] = got[0][:, row, :, :size], got[1][:, row, :, :size]
    sizes = np.concatenate([*(one.boxes[:, 2:].astype(np.float64).prod(axis=1) for one in found), np.zeros(0)])
    beyond = np.stack([(sizes < low) | (sizes > high) for low, high in AREAS.values()])
    neither |= ~matched & beyond[:, None]
    owner = np.repeat(np.arange(len(people)), [len(one) for one in found])
    counted = np.array([(~one).sum(axis=1) for one in ignored], np.int64).reshape(len(people), len(AREAS)).T
    order = np.argsort(-np.concatenate([*(one.scores.astype(np.float64) for one in found), np.zeros(0)]), kind="stable")
    return Matches(owner[order], (matched & ~neither)[..., order], neither[..., order], counted)


def surest(found: FoundPeople) -> FoundPeople:
    """The `MOST_FOUND` of the highest scores, in their order; of equal ones the first."""
    order = np.argsort(-found.scores.astype(np.float64), kind="stable")[:MOST_FOUND]
    return FoundPeople(found.joints[order], found.visibility[order], found.boxes[order], found.scores[order])


def _not_counted(people: People, limits: tuple[float, float]) -> Bools:
    beyond: Bools = (people.areas < limits[0]) | (people.areas > limits[1])
    return beyond | ~people.counted


def _parts(images: list[int], widths: list[int]) -> list[list[int]]:
    """Images in ascending order of their people, cut so that an array over them stays small."""
    parts: list[list[int]] = []
    for image, width in zip(images, widths, strict=True):
        if not parts or (len(parts[-1]) + 1) * width * len(AREAS) * len(THRESHOLDS) > AT_ONCE:
            parts.append([])
        parts[-1].append(image)
    return parts


def _match(similar: list[Floats], ignored: list[Bools], crowd: list[Bools]) -> tuple[Bools, Bools]:
    """Of c images with (d, g) OKS each: (a, c, t, d) whether matched, and whether to somebody who is not counted."""
    c, a, t = len(similar), len(AREAS), len(THRESHOLDS)
    d, g = (max(one.shape[axis] for one in similar) for axis in (0, 1))
    values = np.full((c, d, g), -1.0)  # nobody is where no threshold is reached
    out, many = np.zeros((a, c, 1, g), np.bool_), np.zeros((c, 1, g), np.bool_)
    for row, one in enumerate(similar):
        values[row, : one.shape[0], : one.shape[1]] = one
        out[:, row, 0, : one.shape[1]] = ignored[row]
        many[row, 0, : one.shape[1]] = crowd[row]
    taken = np.zeros((a, c, t, g), np.bool_)
    matched, neither = np.zeros((a, c, t, d), np.bool_), np.zeros((a, c, t, d), np.bool_)
    for rank in range(d):
        value = values[:, None, rank]
        open_to: Bools = (value >= THRESHOLDS[:, None]) & (~taken | many)
        first = open_to & ~out
        choice = np.where(first.any(axis=-1, keepdims=True), first, open_to)
        best = g - 1 - np.where(choice, value, -1.0)[..., ::-1].argmax(axis=-1)[..., None]
        got = np.asarray(choice.any(axis=-1))
        before = np.take_along_axis(taken, best, axis=-1)
        np.put_along_axis(taken, best, before | got[..., None], axis=-1)
        matched[..., rank] = got
        neither[..., rank] = got & np.take_along_axis(np.broadcast_to(out, taken.shape), best, axis=-1)[..., 0]
    return matched, neither


def average_precision(matches: Matches, area: str = "all") -> Floats | None:
    """(t,) for each threshold, AP being their mean; None where nobody is counted."""
    a = list(AREAS).index(area)
    total = matches.counted[a].sum(keepdims=True)
    if total[0] == 0:
        return None
    return np.array([_precision(*_Curve(matches, a, t).whole, total)[0] for t in range(len(THRESHOLDS))])


def recall(matches: Matches, area: str = "all") -> Floats | None:
    """(t,) the share of the counted who are found, for each threshold; None where nobody is counted."""
    a = list(AREAS).index(area)
    total = int(matches.counted[a].sum())
    return None if total == 0 else matches.right[a].sum(axis=-1) / total


def jackknife(matches: Matches) -> Floats:
    """(i,) pseudo-values of AP: i · AP - (i - 1) · AP without the image.

    What each image adds, so that AP of two models on the same images is compared as a mean is
    (`recognizer.evaluation.summands.mean`). Their mean is AP less the jackknife's estimate of its bias. Where everybody
    to be found is in one image, nothing is known without it: its pseudo-value is AP. How well they tell the standard
    error of a difference is measured by `benchmarks/keypoints.py`.

    0 for every image where nobody is counted at all.
    """
    n, people = matches.images, matches.counted[0]
    found = average_precision(matches)
    if found is None:
        return np.zeros(n)
    left = people.sum() - people
    without = np.zeros(n)
    for t in range(len(THRESHOLDS)):
        curve = _Curve(matches, 0, t)
        each = max(AT_ONCE // max(curve.length, 1), 1)
        for start in range(0, n, each):
            some = np.arange(start, min(start + each, n))
            right, counting = curve.of(some)
            rest = np.maximum(left[some], 1)
            without[some] += _precision(curve.whole[0] - right, curve.whole[1] - counting, rest)
    value = float(found.mean())
    without = np.where(left > 0, without / len(THRESHOLDS), value)
    pseudo: Floats = n * value - (n - 1) * without
    return pseudo


class _Curve:
    """Counts at each right one of all found, in the order of their scores; at one area and threshold.

    Precision rises nowhere else and recall neither, so nothing between them can show in the curve's envelope.

    Attributes:
        whole: (1, p) right ones, (1, p) right and wrong ones, up to and with each of the p right ones.
    """

    def __init__(self, matches: Matches, area: int, threshold: int) -> None:
        counting = np.flatnonzero(~matches.ignored[area, threshold])
        right = matches.right[area, threshold, counting]
        self._place = np.cumsum(right) - right  # of the first right one at or behind it
        self._right, self._image = right, matches.image[counting]
        at = np.flatnonzero(right)
        self.length = len(at)
        self.whole = np.arange(1, self.length + 1)[None], at[None] + 1

    def of(self, images: Ints) -> tuple[Ints, Ints]:
        """(c, p) right ones, (c, p) right and wrong ones: how many of them each of c consecutive images has."""
        row = self._image - images[0]
        mine = (row >= 0) & (row < len(images)) & (self._place < self.length)
        counts = []
        for which in (mine & self._right, mine):
            steps = np.zeros((len(images), self.length), np.int64)
            np.add.at(steps, (row[which], self._place[which]), 1)
            counts.append(steps.cumsum(axis=1))
        return counts[0], counts[1]


def _precision(right: Ints, counting: Ints, total: Ints) -> Floats:
    """(r,) mean precision over `RECALLS`, each the best at no less recall; 0 at recalls that are not reached.

    right, counting: (r, p) counts at each right one. total: (r,) or (1,) people to be found, above 0.
    """
    rows, p = right.shape
    if p == 0:
        return np.zeros(rows)
    precision = right / (counting + np.spacing(1.0))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = np.broadcast_to(total, (rows,))[:, None]
    # the fewest right ones that make the recall, in the arithmetic of the division that COCO compares
    wanted = np.ceil(RECALLS * total).astype(np.int64)
    wanted -= (wanted - 1) / total >= RECALLS
    wanted += wanted / total < RECALLS
    wanted = np.maximum(wanted, 1)
    step = np.arange(rows)[:, None] * (p + int(total.max()) + 2)  # one search for all rows
    place = np.searchsorted((right + step).ravel(), (wanted + step).ravel()).reshape(wanted.shape)
    place -= np.arange(rows)[:, None] * p
    reached = place < p
    best = np.take_along_axis(envelope, np.minimum(place, p - 1), axis=1)
    mean: Floats = np.where(reached, best, 0.0).mean(axis=1)
    return mean
