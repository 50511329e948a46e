"""What a model found, in the form of COCO's results.

Source: cocodataset.org, results format of keypoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.errors import FormatError
from recognizer.ingest.coco import CocoPeople, in_our_joints
from recognizer.ingest.json_numbers import Floats, fault, number_table, read_json, require_sizes, shown, told
from recognizer.ingest.recorded import Source
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS

RESULTS = "give COCO's results: [{'image_id', 'category_id', 'keypoints': [x, y, v, ...], 'score'}, ...]"


@dataclass(frozen=True)
class CocoResults:
    """What a model found in the images of a `CocoPeople`.

    Attributes:
        found: (i,) of each image, in the order of the images.
        warnings: what was put right or left out while reading, one sentence each.
    """

    found: tuple[FoundPeople, ...]
    source: Source
    warnings: tuple[str, ...] = field(default=())


def read_coco_results(path: Path, labelled: CocoPeople) -> CocoResults:
    """Read whom a model found in the images of a file; an empty list is a model that found nobody.

    Keypoints are of the 17 joints or of the file's own. A result without `bbox` gets the box around its joints, as in
    COCO's `loadRes`. Results of other categories are left out, and confidences of joints are cut to [0, 1], both told
    in `warnings`; scores may be any finite number, and only their order counts.

    Raises:
        UsageError, InputError, FormatError: as `read_coco`; also an image that the file does not list, a score that is
            not finite, keypoints of another number of joints than the first result's.
    """
    content = read_json(path, RESULTS)
    if type(content) is not list or not all(type(item) is dict for item in content):
        raise FormatError("is JSON of another layout", where=str(path), hint=RESULTS)
    places = {image.id: place for place, image in enumerate(labelled.images)}
    kept = [i for i, item in enumerate(content) if item.get("category_id") == labelled.person]
    results = [content[i] for i in kept]

    def where(row: int) -> str:
        return f"{path}, result {kept[row]}"

    for row, result in enumerate(results):
        if type(result.get("image_id")) is not int or result["image_id"] not in places:
            raise FormatError(
                f"is of image {shown(result.get('image_id'))}, which {labelled.source.name} does not list",
                where=where(row),
                hint="judge the results by the file whose images the model was given",
            )
    joints = _results_joints(results, labelled, where)
    keypoints = number_table([item.get("keypoints") for item in results], 3 * len(joints), "keypoints", where)
    scores = number_table([[item.get("score")] for item in results], 1, "score", where)[:, 0]
    keypoints = keypoints.reshape(len(results), len(joints), 3)
    boxes = _results_boxes(results, keypoints, where)
    sure, clipped = keypoints[..., 2], 0
    clipped = int(((sure < 0) | (sure > 1)).sum())
    placed = in_our_joints(keypoints, joints)
    image = np.array([places[item["image_id"]] for item in results], np.int64)
    order = np.lexsort((-scores, image))  # the surest first; of equal ones, the first in the file
    bounds = np.searchsorted(image[order], np.arange(len(labelled.images) + 1))
    found = []
    for start, end in itertools.pairwise(bounds):
        rows = order[start:end]
        found.append(FoundPeople(placed[rows, :, :2], np.clip(placed[rows, :, 2], 0, 1), boxes[rows], scores[rows]))
    warnings = told(
        (len(content) - len(results), "results of other categories were left out"),
        (clipped, "confidences of joints outside [0, 1] were cut"),
    )
    return CocoResults(tuple(found), Source.of(path), warnings)


def _results_joints(
    results: Sequence[dict[str, Any]], labelled: CocoPeople, where: Callable[[int], str]
) -> tuple[str, ...]:
    """Those of the first result: the 17, or the file's own."""
    first = results[0].get("keypoints") if results else None
    if type(first) is list and len(first) != 3 * len(labelled.joints):
        if len(first) != 3 * len(JOINTS):
            raise fault(f"has {len(first)} keypoint numbers, expected {3 * len(labelled.joints)}", where(0))
        return JOINTS
    return labelled.joints


def _results_boxes(results: Sequence[dict[str, Any]], keypoints: Floats, where: Callable[[int], str]) -> Floats:
    """(n, 4) the given ones, else those around all joints."""
    if not results:
        return np.zeros((0, 4))
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    around = np.concatenate([low, high - low], axis=1)
    missing = np.array([not item.get("bbox") for item in results])
    given = [[0] * 4 if lacks else item["bbox"] for lacks, item in zip(missing.tolist(), results, strict=True)]
    boxes = number_table(given, 4, "bbox", where)
    require_sizes(boxes, where)
    return np.where(missing[:, None], around, boxes)
