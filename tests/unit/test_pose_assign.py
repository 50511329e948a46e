"""Which anchors are to find which person."""

import numpy as np
import pytest
import torch

from recognizer.scenes import People
from training.models.rtmo import Dense, anchors_of
from training.pose.assign import AssignParams, assign, iou
from training.pose.targets import SIGMAS, collate, oks

V = 17
SIDE = 128  # 8 x 8 anchors at stride 16, 4 x 4 at stride 32: 80
A = 80


def people(*boxes, crowd=(), blank=()):
    """People with all joints in the middle of their box (x1, y1, x2, y2); some a crowd, some without labels."""
    n = len(boxes)
    corners = np.array(boxes, np.float32).reshape(n, 4)
    joints = np.repeat((corners[:, None, :2] + corners[:, None, 2:]) / 2, V, axis=1)
    labelled = np.full((n, V), 2, np.uint8)
    labelled[list(blank)] = 0
    sizes = corners[:, 2:] - corners[:, :2]
    isolated = np.isin(np.arange(n), list(crowd))
    return People(joints, labelled, np.concatenate([corners[:, :2], sizes], 1), sizes.prod(axis=1), isolated)


def dense_for(targets, good=None):
    """Anchors that say nothing useful, but for (image, person, anchor) in `good`, which are perfect."""
    n = len(targets.joints)
    anchors = anchors_of([torch.Size((8, 8)), torch.Size((4, 4))], torch.zeros(1))
    boxes = torch.cat([anchors.centres - 1, anchors.centres + 1], dim=1).repeat(n, 1, 1)
    proxies = torch.full((n, A, V, 2), 1e4)
    for image, person, anchor in good or ():
        boxes[image, anchor] = targets.boxes[image, person]
        proxies[image, anchor] = targets.joints[image, person]
    flat = torch.zeros(n, A)
    return Dense(flat, boxes, flat[..., None], flat[..., None], proxies, None, flat, anchors)


def chosen(targets, good=None, params=None):
    found = assign(dense_for(targets, good), targets, params or AssignParams(least=1))
    return set(zip(found.images.tolist(), found.people.tolist(), found.anchors.tolist(), strict=True)), found.ignored


def test_nobody_is_found_where_nobody_is():
    targets = collate([People.nobody(), People.nobody()])
    pairs, ignored = chosen(targets)
    assert pairs == set()
    assert not ignored.any()


def test_one_anchor_at_least_for_everybody():
    targets = collate([people((0, 0, 32, 32), (64, 64, 128, 128)), People.nobody(), people((48, 48, 80, 80))])
    pairs, _ = chosen(targets)
    assert {(image, person) for image, person, _ in pairs} == {(0, 0), (0, 1), (2, 0)}
    assert len(pairs) == 3


@pytest.mark.parametrize("perfect", [1, 2, 3, 7])
def test_as_many_anchors_as_reach_the_person(perfect):
    targets = collate([people((32, 32, 96, 96))])
    inside = [18, 19, 20, 21, 26, 27, 28]
    pairs, _ = chosen(targets, [(0, 0, anchor) for anchor in inside[:perfect]])
    assert pairs == {(0, 0, anchor) for anchor in inside[:perfect]}


@pytest.mark.parametrize(("box", "taken"), [((32, 32, 96, 96), 6), ((2, 2, 6, 6), 2)])
def test_so_many_at_least_where_there_are_candidates(box, taken):
    """In the second box no centre lies: one anchor of each level is near the middle of its joints."""
    pairs, _ = chosen(collate([people(box)]), params=AssignParams(least=6, radius=1.0))
    assert len(pairs) == taken


def test_the_cheapest_are_the_best():
    targets = collate([people((32, 32, 96, 96), (100, 100, 120, 120))])
    perfect = [(0, 0, 19), (0, 0, 27)]
    found = assign(dense_for(targets, perfect), targets, AssignParams(least=6))
    anchors, who, best = found.anchors.tolist(), found.people.tolist(), found.best.tolist()
    assert {anchor for anchor, person, one in zip(anchors, who, best, strict=True) if one and person == 0} == {19, 27}
    assert sum(best) == 4
    assert len(best) > 4


def test_never_more_than_allowed():
    targets = collate([people((0, 0, 128, 128))])
    pairs, _ = chosen(targets, [(0, 0, anchor) for anchor in range(A)], AssignParams(most=4, radius=9.0))
    assert len(pairs) == 4


def test_an_anchor_finds_whom_it_fits_better():
    targets = collate([people((16, 16, 80, 80), (32, 16, 96, 80))])
    pairs, _ = chosen(targets, [(0, 1, 18)])  # inside both boxes
    assert (0, 1, 18) in pairs
    assert len({anchor for _, _, anchor in pairs}) == len(pairs)


def test_a_perfect_anchor_far_away_is_no_candidate():
    targets = collate([people((0, 0, 32, 32))])
    pairs, _ = chosen(targets, [(0, 0, 63)])
    assert (0, 0, 63) not in pairs


@pytest.mark.parametrize("kind", ["crowd", "blank"])
def test_the_ignored_are_neither_found_nor_missed(kind):
    targets = collate([people((0, 0, 64, 64), (64, 64, 128, 128), **{kind: [0]})])
    pairs, ignored = chosen(targets)
    assert {person for _, person, _ in pairs} == {1}
    centres = dense_for(targets).anchors.centres
    inside = ((centres > 0) & (centres < 64)).all(dim=1)
    assert ignored[0].tolist() == inside.tolist()


def test_somebody_in_a_crowd_is_found_all_the_same():
    targets = collate([people((0, 0, 128, 128), (48, 48, 80, 80), crowd=[0])])
    pairs, ignored = chosen(targets)
    anchors = [anchor for _, _, anchor in pairs]
    assert anchors
    assert not ignored[0, anchors].any()
    assert ignored[0].sum() == A - len(anchors)


def test_people_without_extent_are_ignored():
    targets = collate([people((10, 10, 10, 50))])
    assert chosen(targets)[0] == set()


def test_places_after_the_last_person_are_empty():
    targets = collate([people((0, 0, 32, 32)), people((0, 0, 32, 32), (0, 0, 64, 64), (9, 9, 99, 99))])
    assert targets.counted.tolist() == [[True, False, False], [True, True, True]]
    assert not targets.ignored.any()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 2, 2), (2, 2, 3, 3), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_intersection_over_union(first, second, expected):
    assert iou(torch.tensor(first).float(), torch.tensor(second).float()).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("joint", "away", "labels", "expected"),
    [
        (0, 0.0, range(V), 1.0),
        (5, 2 * 0.079 * 10, [5], np.exp(-0.5)),  # one deviation (2 sigma times the root of the area) away
        (5, 2 * 0.079 * 10, [5, 6], (1 + np.exp(-0.5)) / 2),
        (5, 50.0, [6], 1.0),  # what is not labelled does not count
        (5, 0.0, [], 0.0),
    ],
)
def test_object_keypoint_similarity_by_hand(joint, away, labels, expected):
    truth, found, labelled = torch.zeros(V, 2), torch.zeros(V, 2), torch.zeros(V)
    found[joint, 0] = away
    labelled[list(labels)] = 2
    assert oks(found, truth, labelled, torch.tensor(100.0)).item() == pytest.approx(expected)


def test_every_joint_has_a_deviation():
    assert len(SIGMAS) == V
