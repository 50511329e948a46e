"""Measures of a model that finds people and their joints: COCO's ten numbers, and what became of each labelled person.

Sources:
    Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; cocodataset.org, keypoint evaluation.
    Sapp, Taskar 2013, "MODEC: Multimodal Decomposable Models for Human Pose Estimation" (joints within a share of the
        torso); Yang, Ramanan 2013, "Articulated Human Detection with Flexible Mixtures of Parts" (PCK, within a share
        of the person's size).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError
from recognizer.evaluation.matches import LARGE, MEDIUM, jackknife, match, surest
from recognizer.evaluation.oks import HIT, all_found, oks, require_sound
from recognizer.evaluation.record import SliceMeasure
from recognizer.evaluation.slices import Slices
from recognizer.evaluation.summands import Floats, Ints, Summands, mean, share
from recognizer.scenes import HIDDEN, UNLABELLED, FoundPeople, People
from recognizer.skeleton import JOINTS

COCO_METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
PAIRED = ("AP", "oks_above_50", "mean_oks")
"""Metrics that are a mean over images (AP, by its pseudo-values) or labelled people, for comparisons case by case."""
NEAR = 0.1
"""OKS from which somebody found has anything to do with a labelled person."""
OF_TORSO, OF_DIAGONAL = 0.2, 0.1
TORSOS = tuple(
    (JOINTS.index(shoulder), JOINTS.index(hip))
    for shoulder, hip in (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
)


@dataclass(frozen=True)
class LabelledCases:
    """What became of the n people who had to be found, image by image and in the order of their labels.

    Attributes:
        image: (n,) index of the image: people of one image are no independent cases.
        oks: (n,) of whom they were paired with, 0 for who was not found.
        hit: (n,) whether that is at least `HIT`.
        errors: (n, 17) distance of each joint over the root of the person's area; NaN where the joint is not labelled
            or its person was paired with nobody.
        right: (n, 17) whether a joint is right (see `evaluate_keypoints`, `pck`); False where `errors` is NaN.
        slices: size, hidden joints and people in the picture → (n,) the slice of each.
    """

    image: Ints
    oks: Floats
    hit: NDArray[np.bool_]
    errors: Floats
    right: NDArray[np.bool_]
    slices: Slices


@dataclass(frozen=True)
class KeypointEvaluation:
    """What one model found on one set of images.

    Attributes:
        images: how many; n: people who had to be found.
        metrics: metric → value; see `evaluate_keypoints`.
        joint_errors: joint → mean error in roots of the person's area; without joints of which none was paired.
        slices: kind of slice → slice → its people, and the share of them who were found (`HIT`).
        cases: what became of each person.
        ap_by_image: (images,) pseudo-values, see `recognizer.evaluation.matches.jackknife`.
    """

    images: int
    n: int
    metrics: Mapping[str, float]
    joint_errors: Mapping[str, float]
    slices: Mapping[str, Mapping[str, SliceMeasure]]
    cases: LabelledCases
    ap_by_image: Floats

    def summands(self, metric: str) -> Summands:
        """What each case adds to a metric of `PAIRED`, to be compared with the same of another model.

        The cases of AP are images, those of the others people; `cases.image` says whose cluster a person is of.

        Raises:
            KeyError: no such metric.
        """
        made: dict[str, Callable[[], Summands]] = {
            "AP": lambda: mean(self.ap_by_image),
            "oks_above_50": lambda: share(self.cases.hit),
            "mean_oks": lambda: mean(self.cases.oks),
        }
        return made[metric]()


def evaluate_keypoints(
    people: Sequence[People], found: Sequence[FoundPeople], shown: Sequence[FoundPeople] | None = None
) -> KeypointEvaluation:
    """Judge what was found in i images, given in the order of their ids; of an image, the 20 surest are looked at.

    Somebody labelled and somebody found are paired first as AP50 does, the surest first, each with the free person of
    the highest OKS, at least `HIT`; then those left over, the highest OKS first, at least `NEAR`. Crowds and people
    without labelled joints take no part.

    Args:
        shown: whom of those found a caller sees; default: everybody. COCO's numbers look at all that were found, as the
            curve goes through every score; the others judge what is answered.

    Metrics: the ten of `coco_metrics`, and

    - `oks_above_50`: share of the people who were paired with OKS of at least 0.5: AR50 of those who are shown;
    - `mean_oks`: mean over all people, 0 for those without a pair. A mean over pairs alone would rise when a model
      gives up on the hard ones, and two models would not be compared on the same people;
    - `matched_oks`: the mean over those that were paired alone; left out, as `pck`, where nobody was;
    - `images_right`: share of the images in which everybody was found and nobody besides, as feedback judges an answer;
      without images that have a crowd or somebody without labelled joints, and left out where there are no others;
    - `pck`: share of the labelled joints of paired people that lie within 0.2 of the torso (left shoulder to right
      hip, or else right shoulder to left hip), or, if neither is labelled, within 0.1 of the box's diagonal; left out
      where nobody is paired.

    Slices: `size` by COCO's limits (small below 32², medium, large from 96² square pixels), `hidden` (share of the
    person's labelled joints that something hides), `people` (labelled in the picture, with or without joints; a crowd
    is many).

    Raises:
        InputError: not as many answers as images, no image, nobody to be found, or an answer that is none (where: the
            image's index).
    """
    _require_pairs(people, found)
    shown = found if shown is None else shown
    cases = _cases(people, shown)
    n = len(cases.image)
    if n == 0:
        raise InputError(
            f"nobody is to be found in {len(people)} images",
            hint="give a set with labelled people: no crowds, at least one labelled joint each",
        )
    paired = ~np.isnan(cases.errors)
    metrics = {
        **coco_metrics(people, found),
        "oks_above_50": int(cases.hit.sum()) / n,
        "mean_oks": float(cases.oks.mean()),
    }
    clear = [all_found(one.joints, who) for one, who in zip(shown, people, strict=True) if who.counted.all()]
    if clear:
        metrics["images_right"] = sum(clear) / len(clear)
    if paired.any():
        metrics["pck"] = int(cases.right.sum()) / int(paired.sum())
        metrics["matched_oks"] = float(cases.oks[cases.oks > 0].mean())
    return KeypointEvaluation(
        images=len(people),
        n=n,
        metrics=metrics,
        joint_errors={
            name: float(cases.errors[paired[:, joint], joint].mean())
            for joint, name in enumerate(JOINTS)
            if paired[:, joint].any()
        },
        slices={kind: measured(names, cases.hit) for kind, names in cases.slices.items()},
        cases=cases,
        ap_by_image=jackknife(match(people, found)),
    )


def coco_metrics(people: Sequence[People], found: Sequence[FoundPeople]) -> dict[str, float]:
    """COCO's ten numbers, `COCO_METRICS`, of i images in the order of their ids, by faster-coco-eval.

    A number that cannot be known is left out, where COCO says -1: nobody of that size is to be found. A gate that asks
    for it then says that it could not be measured, instead of comparing -1.

    Raises:
        InputError: not as many answers as images, no image, or an answer that is none.
    """
    _require_pairs(people, found)
    if not any(one.counted.any() for one in people):
        return {}
    from faster_coco_eval import COCO, COCOeval_faster

    labelled = COCO(_ground_truth(people), print_function=_silent)
    answered = labelled.loadRes(_results(found))
    judge = COCOeval_faster(labelled, answered, iouType="keypoints", print_function=_silent)
    judge.run()
    numbers = zip(COCO_METRICS, judge.all_stats[: len(COCO_METRICS)], strict=True)
    return {name: float(value) for name, value in numbers if value > -1}


def _require_pairs(people: Sequence[People], found: Sequence[FoundPeople]) -> None:
    if len(people) != len(found):
        raise InputError(
            f"{len(found)} answers for {len(people)} images", hint="answer every image, with FoundPeople.nobody() too"
        )
    if not people:
        raise InputError("no images to evaluate", hint="give a set with at least one image")
    for index, one in enumerate(found):
        require_sound(one, f"image {index}")


def _silent(*_: object) -> None:
    """In place of print: stdout belongs to whoever calls."""


def _ground_truth(people: Sequence[People]) -> dict[str, list[dict[str, object]]]:
    """As a COCO file has it. Annotations count from 1: to COCO's evaluators, an id of 0 says "not matched"."""
    annotations: list[dict[str, object]] = []
    for image, one in enumerate(people, start=1):
        keypoints = np.concatenate([one.joints, one.labelled[..., None]], axis=2, dtype=np.float64)
        rows = zip(
            keypoints.reshape(len(one), 3 * len(JOINTS)).tolist(),
            (one.labelled > UNLABELLED).sum(axis=1).tolist(),
            one.boxes.tolist(),
            one.areas.tolist(),
            one.crowd.tolist(),
            strict=True,
        )
        for joints, labelled, box, area, crowd in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": joints,
                    "num_keypoints": labelled,
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "images": [{"id": image} for image in range(1, len(people) + 1)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
    }


def _results(found: Sequence[FoundPeople]) -> list[dict[str, object]]:
    results: list[dict[str, object]] = []
    for image, one in enumerate(found, start=1):
        keypoints = np.concatenate([one.joints, one.visibility[..., None]], axis=2, dtype=np.float64)
        rows = zip(
            keypoints.reshape(len(one), 3 * len(JOINTS)).tolist(), one.boxes.tolist(), one.scores.tolist(), strict=True
        )
        results.extend(
            {"image_id": image, "category_id": 1, "keypoints": joints, "bbox": box, "score": score}
            for joints, box, score in rows
        )
    return results


def _cases(people: Sequence[People], found: Sequence[FoundPeople]) -> LabelledCases:
    k = len(JOINTS)
    image, similar = [np.zeros(0, np.int64)], [np.zeros(0)]
    names: list[tuple[str, str, str]] = []
    errors, right = [np.zeros((0, k))], [np.zeros((0, k), np.bool_)]
    for index, (who, every) in enumerate(zip(people, found, strict=True)):
        wanted, answer = np.flatnonzero(who.counted), surest(every)
        partner, value = _paired(oks(answer, who)[:, wanted])
        image.append(np.full(len(wanted), index))
        similar.append(value)
        apart = np.full((len(wanted), k), np.nan)
        got = partner >= 0
        offset = answer.joints[partner[got]].astype(np.float64) - who.joints[wanted[got]]
        apart[got] = np.sqrt((offset**2).sum(axis=2))
        apart[who.labelled[wanted] == UNLABELLED] = np.nan
        right.append(apart <= _tolerance(who, wanted)[:, None])
        errors.append(apart / np.sqrt(np.maximum(who.areas[wanted], 1.0).astype(np.float64))[:, None])
        names.extend((_size(who.areas[one]), _hidden(who.labelled[one]), _company(who)) for one in wanted)
    size, hidden, company = zip(*names, strict=True) if names else ((), (), ())
    oks_of = np.concatenate(similar)
    return LabelledCases(
        image=np.concatenate(image),
        oks=oks_of,
        hit=oks_of >= HIT,
        errors=np.concatenate(errors),
        right=np.concatenate(right),
        slices={"size": size, "hidden": hidden, "people": company},
    )


def _paired(similar: Floats) -> tuple[Ints, Floats]:
    """(n,) who of the found each wanted is paired with, -1 for nobody; (n,) the OKS.

    similar: (m, n), the surest first.
    """
    n = similar.shape[1]
    partner, value = np.full(n, -1), np.zeros(n)
    if n == 0:
        return partner, value
    left = []
    for one in range(len(similar)):
        free = np.where(partner < 0, similar[one], -1.0)
        best = n - 1 - int(free[::-1].argmax())  # the last of equal ones, as COCO
        if free[best] >= HIT:
            partner[best], value[best] = one, free[best]
        else:
            left.append(one)
    rest = [(similar[one, person], one, person) for one in left for person in np.flatnonzero(similar[one] >= NEAR)]
    spent: set[int] = set()
    for close, one, person in sorted(rest, key=lambda pair: -pair[0]):
        if partner[person] < 0 and one not in spent:
            partner[person], value[person] = one, close
            spent.add(one)
    return partner, value


def _tolerance(people: People, which: Ints) -> Floats:
    """(n,) pixels within which a joint of theirs is right."""
    joints, known = people.joints[which].astype(np.float64), people.labelled[which] > UNLABELLED
    within: Floats = OF_DIAGONAL * np.hypot(*people.boxes[which, 2:].astype(np.float64).T)
    for shoulder, hip in reversed(TORSOS):
        torso = np.hypot(*(joints[:, shoulder] - joints[:, hip]).T)
        within = np.where(known[:, shoulder] & known[:, hip] & (torso > 0), OF_TORSO * torso, within)
    return within


def _size(area: float) -> str:
    return "small" if area < MEDIUM else "medium" if area < LARGE else "large"


def _hidden(labelled: NDArray[np.uint8]) -> str:
    part = (labelled == HIDDEN).sum() / (labelled > UNLABELLED).sum()
    return "no joint hidden" if part == 0 else "up to half hidden" if part <= 0.5 else "over half hidden"


def _company(people: People) -> str:
    alone, few = len(people) == 1, len(people) <= 4 and not people.crowd.any()
    return "1 person" if alone else "2 to 4 people" if few else "5 people or more"


def measured(names: Sequence[str | None], hits: NDArray[np.bool_]) -> dict[str, SliceMeasure]:
    """Slice → how many are in it, and the share of them that was hit; (n,) names, None for who is in no slice."""
    groups: dict[str, list[bool]] = {}
    for name, hit in zip(names, hits.tolist(), strict=True):
        if name is not None:
            groups.setdefault(name, []).append(hit)
    return {name: SliceMeasure(len(groups[name]), sum(groups[name]) / len(groups[name])) for name in sorted(groups)}
