"""How alike two recordings move."""

from dataclasses import replace

import numpy as np
import pytest

from recognizer.movement import MOMENTS, movement, nearest_elsewhere
from recognizer.sequences import SequenceSet
from recognizer.synthetic import generate

PEOPLE = generate(40, seed=5).sequences
NOISE = np.random.default_rng(0)


def changed(change, one=PEOPLE.sequences[0]):
    points = np.where(one.visibility[..., None] > 0, change(one.keypoints), 0)
    return replace(one, keypoints=points.astype(np.float32), subject=None, name="changed")


def nearest(one, *others):
    sets = {"train": SequenceSet(PEOPLE.classes, others), "test": SequenceSet(PEOPLE.classes, (one,))}
    return nearest_elsewhere(sets)[-1]


@pytest.mark.parametrize(
    ("change", "at_most"),
    [
        (lambda points: points, 1e-3),
        (lambda points: points + 1, 1e-3),
        (lambda points: points / 2, 1e-3),
        (lambda points: points * 3 - 40, 1e-3),
        (np.round, 0.02),
        (lambda points: points + NOISE.normal(0, 0.5, points.shape), 0.03),
    ],
)
def test_a_copy_is_near_whatever_was_done_to_it(change, at_most):
    first, *others = PEOPLE
    assert nearest(changed(change), first, *others) <= at_most
    assert nearest(changed(change), *others) > 0.15


def test_distance_by_hand():
    one = PEOPLE.sequences[0]
    own, other = movement(one), movement(PEOPLE.sequences[1])
    assert own.shape == (MOMENTS * 17 * 2,)
    by_joint = np.sqrt(((own - other).astype(np.float64).reshape(-1, 2) ** 2).sum(1).mean())
    assert nearest(one, PEOPLE.sequences[1]) == pytest.approx(by_joint, abs=1e-4)


def test_each_set_is_compared_with_the_others_only():
    items = PEOPLE.sequences
    sets = {
        "train": SequenceSet(PEOPLE.classes, (items[0], replace(items[0], name="again"), items[1])),
        "validation": SequenceSet(PEOPLE.classes, ()),
        "test": SequenceSet(PEOPLE.classes, (items[2], items[1])),
    }
    found = nearest_elsewhere(sets)
    assert (found < 0.01).tolist() == [False, False, True, False, True]
    assert np.isnan(nearest_elsewhere({"train": sets["train"]})).all()
    assert nearest_elsewhere({"train": sets["validation"]}).shape == (0,)


def test_what_shows_no_movement_is_compared_with_nothing():
    one = PEOPLE.sequences[0]
    unseen = replace(one, visibility=np.zeros_like(one.visibility))
    one_point = replace(one, visibility=np.ones_like(one.visibility), keypoints=np.full_like(one.keypoints, 7.0))
    for other in (unseen, one_point):
        assert movement(other) is None
        assert np.isnan(nearest(other, one))
        assert np.isnan(nearest(one, other))
