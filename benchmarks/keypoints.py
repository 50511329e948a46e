"""The judge of poses against pycocotools, and its speed: `python -m benchmarks.keypoints`.

Exits with 1 when a row fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.table import Row, at_least, at_most, table
from recognizer.evaluation.keypoints import COCO_METRICS, coco_metrics, evaluate_keypoints
from recognizer.evaluation.matches import AREAS, THRESHOLDS, average_precision, jackknife, match, recall
from recognizer.scenes import UNLABELLED, FoundPeople, People

Case = tuple[list[People], list[FoundPeople]]
EXACT = 1e-6
OURS = 1e-9
SPEED_IMAGES = 500
SETS = 200


def drawn_case(seed: int) -> Case:
    """A few images with everything that COCO treats in a way of its own.

    Crowds, people without labelled joints, areas of 0 and at the limits, more than 20 found, nobody found, nobody
    there, scores and places that tie, and people who stand in each other's way.
    """
    rng = np.random.default_rng(seed)
    images = int(rng.integers(1, 7))
    people, found = [], []
    for _ in range(images):
        who = _people(rng, int(rng.choice([0, 1, 2, 4, 9], p=[0.15, 0.2, 0.3, 0.25, 0.1])))
        people.append(who)
        found.append(_found(rng, who))
    return people, found


def _people(rng: np.random.Generator, n: int) -> People:
    size = rng.choice([12.0, 32.0, 60.0, 96.0, 200.0], n)
    low = rng.uniform(0, 300, (n, 1, 2))
    joints = low + rng.uniform(0, 1, (n, 17, 2)) * np.maximum(size, 4)[:, None, None]
    if n > 1 and rng.random() < 0.3:
        joints[1] = joints[0]  # OKS that tie
    labelled = rng.choice([0, 1, 2], (n, 17), p=[0.3, 0.2, 0.5]).astype(np.uint8)
    labelled[rng.random(n) < 0.15] = UNLABELLED
    areas = np.where(rng.random(n) < 0.7, size**2 * rng.choice([0.5, 1.0, 1.3], n), size**2)
    areas[rng.random(n) < 0.05] = 0
    boxes = np.concatenate([low[:, 0], np.repeat(size[:, None], 2, axis=1)], axis=1)
    return People(joints * (labelled > 0)[..., None], labelled, boxes, areas, rng.random(n) < 0.15)


def _found(rng: np.random.Generator, people: People) -> FoundPeople:
    joints, boxes = [np.zeros((0, 17, 2))], [np.zeros((0, 4))]
    for person, box in zip(people.joints, people.boxes, strict=True):
        copies = int(rng.choice([0, 1, 2, 8], p=[0.15, 0.5, 0.25, 0.1]))
        off = rng.choice([0.0, 0.02, 0.06, 0.15, 0.4], (copies, 1, 1)) * box[2]
        joints.append(person + rng.normal(size=(copies, 17, 2)) * off)
        boxes.append(np.repeat(box[None], copies, axis=0) * rng.uniform(0.9, 1.1, (copies, 4)))
    stray = int(rng.choice([0, 2, 15], p=[0.4, 0.45, 0.15]))
    joints.append(rng.uniform(0, 400, (stray, 17, 2)))
    boxes.append(np.concatenate([rng.uniform(0, 300, (stray, 2)), rng.uniform(5, 200, (stray, 2))], axis=1))
    every = np.concatenate(joints)
    scores = np.sort(np.round(rng.random(len(every)), int(rng.choice([1, 3]))))[::-1]
    return FoundPeople(every, np.ones((len(every), 17)), np.concatenate(boxes), scores)


def pycocotools_metrics(people: Sequence[People], found: Sequence[FoundPeople]) -> dict[str, float]:
    """The ten numbers by COCO's own code, those of -1 left out."""
    annotations, results = [], []
    for image, one in enumerate(people, start=1):
        for i in range(len(one)):
            keypoints = np.concatenate([one.joints[i], one.labelled[i][:, None]], axis=1).ravel().tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": keypoints,
                    "num_keypoints": int((one.labelled[i] > 0).sum()),
                    "bbox": one.boxes[i].tolist(),
                    "area": float(one.areas[i]),
                    "iscrowd": int(one.crowd[i]),
                }
            )
    for image, answer in enumerate(found, start=1):
        for i in range(len(answer)):
            keypoints = np.concatenate([answer.joints[i], np.ones((17, 1))], axis=1).ravel().tolist()
            results.append(
                {
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": keypoints,
                    "bbox": answer.boxes[i].tolist(),
                    "score": float(answer.scores[i]),
                }
            )
    images = [{"id": image} for image in range(1, len(people) + 1)]
    return judged_by_pycocotools(
        {"images": images, "categories": [{"id": 1, "name": "person"}], "annotations": annotations}, results
    )


def judged_by_pycocotools(truth: dict, results: list) -> dict[str, float]:
    """The ten numbers of a file and results as COCO has them, by COCO's own code, those of -1 left out."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        labelled = COCO()
        labelled.dataset = truth
        labelled.createIndex()
        if results:
            answered = labelled.loadRes(results)
        else:  # it refuses an empty list
            answered = COCO()
            answered.dataset = {**truth, "annotations": []}
            answered.createIndex()
        judge = COCOeval(labelled, answered, "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: float(value) for name, value in zip(COCO_METRICS, judge.stats, strict=True) if value > -1}


def our_metrics(people: Sequence[People], found: Sequence[FoundPeople]) -> dict[str, float]:
    """The ten numbers by the matches that AP without an image is counted from."""
    matches = match(people, found)
    numbers: dict[str, float] = {}
    for prefix, measure in (("AP", average_precision), ("AR", recall)):
        values = {area: measure(matches, area) for area in AREAS}
        if (whole := values["all"]) is not None:
            numbers |= {prefix: float(whole.mean())}
            numbers |= {f"{prefix}{round(100 * THRESHOLDS[t])}": float(whole[t]) for t in (0, 5)}
        for area in ("medium", "large"):
            if (part := values[area]) is not None:
                numbers[f"{prefix}{area[0]}"] = float(part.mean())
    return numbers


def apart(first: dict[str, float], second: dict[str, float]) -> float:
    """The largest difference of ten numbers; infinite where one has a number that the other has not."""
    if first.keys() != second.keys():
        return float("inf")
    return max((abs(first[name] - second[name]) for name in first), default=0.0)


def ordinary_case(images: int, seed: int = 0) -> Case:
    """A set as a model answers it: people of all sizes, errors of all sizes, sure and unsure wrong ones."""
    rng = np.random.default_rng(seed)
    people, found = [], []
    for _ in range(images):
        who = _people(rng, int(rng.integers(1, 6)))
        people.append(who)
        off = rng.gamma(1.5, 0.04, len(who))[:, None, None] * who.boxes[:, 2][:, None, None]
        right = who.joints + rng.normal(size=who.joints.shape) * off
        wrong = rng.uniform(0, 400, (20 - len(who), 17, 2))
        boxes = np.concatenate([who.boxes, rng.uniform(5, 200, (len(wrong), 4))])
        joints = np.concatenate([right, wrong])
        scores = np.concatenate([rng.beta(4, 2, len(right)), rng.beta(1, 8, len(wrong))])
        order = np.argsort(-scores)
        found.append(FoundPeople(joints[order], np.ones((20, 17)), boxes[order], scores[order]))
    return people, found


def spread_of_differences(sets: int, images: int = 100) -> float:
    """Over many sets of which two models answer each: the standard error of the difference of their AP by the
    pseudo-values, over how far these differences really spread.
    """
    told, differences = [], []
    for seed in range(sets):
        people, first = ordinary_case(images, seed)
        rng = np.random.default_rng(sets + seed)
        second = [replace(one, joints=one.joints + rng.normal(size=one.joints.shape)) for one in first]
        matches = match(people, first), match(people, second)
        values = [average_precision(one) for one in matches]
        differences.append(values[0].mean() - values[1].mean())
        told.append((jackknife(matches[0]) - jackknife(matches[1])).std(ddof=1) / np.sqrt(images))
    return float(np.mean(told) / np.std(differences, ddof=1))


def rows(cases: int) -> list[Row]:
    theirs, ours = 0.0, 0.0
    for seed in range(cases):
        case = drawn_case(seed)
        given = coco_metrics(*case)
        theirs = max(theirs, apart(given, pycocotools_metrics(*case)))
        ours = max(ours, apart(given, our_metrics(*case)))
    found = [
        Row(
            f"ten numbers against pycocotools, {cases:,} cases", f"{theirs:.1e} apart", f"≤ {EXACT:g}", theirs <= EXACT
        ),
        Row(f"our own counts against these, {cases:,} cases", f"{ours:.1e} apart", f"≤ {OURS:g}", ours <= OURS),
    ]
    case = ordinary_case(SPEED_IMAGES)
    found.append(
        at_most(f"pseudo-values of AP, {SPEED_IMAGES} images", _seconds(lambda: jackknife(match(*case))), 2, " s")
    )
    found.append(at_most(f"all of it, {SPEED_IMAGES} images", _seconds(lambda: evaluate_keypoints(*case)), 5, " s"))
    ratio = spread_of_differences(SETS)
    name = f"standard error of a difference in AP over its spread, {SETS} sets of 100 images"
    found.append(at_least(name, ratio, 0.85, digits=2))
    found.append(at_most(name, ratio, 1.25, digits=2))
    return found


def _seconds(work) -> float:  # noqa: ANN001
    work()  # imports and caches
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    found = rows(parser.parse_args().cases)
    print(table(found))
    return 0 if all(row.passed for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
