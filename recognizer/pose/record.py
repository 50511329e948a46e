"""The record of what a model found, whether it was asked here or left a file of COCO results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import InputError
from recognizer.evaluation.calibration import reliability_bins
from recognizer.evaluation.keypoints import KeypointEvaluation, evaluate_keypoints, measured
from recognizer.evaluation.matches import surest
from recognizer.evaluation.oks import HIT, oks
from recognizer.evaluation.record import ClassMeasure, Evaluation
from recognizer.evaluator import Judged
from recognizer.ingest.coco import read_coco
from recognizer.ingest.coco_results import RESULTS, read_coco_results
from recognizer.pose.snapshot import PERSON
from recognizer.scenes import FoundPeople, People


def record_of(
    judged: KeypointEvaluation,
    people: Sequence[People],
    found: Sequence[FoundPeople],
    slices: Mapping[str, Sequence[str | None]],
) -> Evaluation:
    """What became of i images, as every task records it.

    N is how many people have to be found; a found one is right who is a person with OKS of at least `HIT`. As in
    COCO, the surest of an image are looked at. Reliability needs scores in [0, 1]: without, there are no bins of it.
    Errors are those of joints, in roots of their person's area.

    Args:
        slices: kind → (n,) the slice of each who has to be found.
    """
    found = [surest(one) for one in found]
    hits = int(judged.cases.hit.sum())
    scores = np.concatenate([one.scores for one in found]).astype(np.float64)
    number = len(scores)
    shares = ((scores >= 0) & (scores <= 1)).all()
    return Evaluation(
        n=judged.n,
        classes=(PERSON,),
        metrics=dict(judged.metrics),
        per_class={
            PERSON: ClassMeasure(
                precision=hits / number if number else None,
                recall=hits / judged.n,
                f1=2 * hits / (judged.n + number),
                n=judged.n,
            )
        },
        slices={kind: measured(names, judged.cases.hit) for kind, names in slices.items()},
        confusion=(),
        reliability=reliability_bins(scores, _right(people, found)) if shares else (),
        errors=dict(judged.joint_errors),
    )


def judge_results(labels: Path, results: Path) -> Judged:
    """How good COCO results are, by labels whose numbers stay as exact as the file has them.

    Raises:
        UsageError, InputError: as `read_coco` and `read_coco_results`; also results that hold no person, which is
            rather the file of something else than a model that found nobody.
    """
    labelled = read_coco(labels)
    given = read_coco_results(results, labelled)
    if not any(map(len, given.found)):
        told = "".join(f"; {warning}" for warning in given.warnings)
        raise InputError(
            f"holds no result of category {labelled.person}, which is {PERSON!r} in {labelled.source.name}{told}",
            where=str(results),
            hint=RESULTS,
        )
    judged = evaluate_keypoints(labelled.people, given.found)
    evaluation = record_of(judged, labelled.people, given.found, judged.cases.slices)
    return Judged(evaluation, (*labelled.warnings, *given.warnings))


def _right(people: Sequence[People], found: Sequence[FoundPeople]) -> NDArray[np.bool_]:
    """Of everybody found, whether it is somebody labelled."""
    parts = [np.zeros(0, np.bool_)]
    for who, one in zip(people, found, strict=True):
        counted = oks(one, who)[:, who.counted]
        parts.append(counted.max(axis=1, initial=0) >= HIT)
    return np.concatenate(parts)
