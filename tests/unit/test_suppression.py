"""From candidates to people: who stays, in which order, and where in the picture."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.errors import InputError, InvalidAnswer
from recognizer.evaluation.oks import SIGMAS
from recognizer.images import Placement
from recognizer.suppression import Candidates, Suppression, best_left_out, suppress

PICTURE = Placement.of((480, 640), (640, 640))  # as it is, 80 pixels of grey above and below
SQUARE = Placement.of((100, 100), (100, 100))


def candidates(scores, boxes):
    scores, boxes = np.array(scores, np.float32), np.array(boxes, np.float32).reshape(-1, 4)
    middles = boxes.reshape(-1, 2, 2).mean(axis=1)
    joints, visibility = np.repeat(middles[:, None], 17, axis=1), np.repeat(scores[:, None], 17, axis=1)
    return Candidates(scores, boxes, joints, visibility)


def apart(n, side=10.0):
    """(n, 4) boxes in a row without overlap, from left to right."""
    left = side * np.arange(n)
    return np.stack([left, np.zeros(n), left + side, np.full(n, side)], axis=1)


def found(scores, boxes, placement=SQUARE, **rules):
    people = suppress(candidates(scores, boxes), placement, Suppression(**rules))
    assert len(people.boxes) == len(people.joints) == len(people.visibility) == len(people)
    assert {array.dtype for array in vars(people).values()} == {np.dtype(np.float32)}
    return people


def half(shift):
    """Two boxes of 10 x 10, the second one shifted to the right."""
    return [[20, 20, 30, 30], [20 + shift, 20, 30 + shift, 30]]


@pytest.mark.parametrize(
    ("scores", "boxes", "rules", "lefts"),
    [
        ([], [], {}, []),
        ([0.2], apart(1), {}, []),
        ([0.3], apart(1), {"score": np.float32(0.3)}, [0]),
        ([0.2, 0.9, 0.5], apart(3), {}, [10, 20]),
        ([0.5, 0.9, 0.7], apart(3), {}, [10, 20, 0]),
        ([0.5, 0.5, 0.5], apart(3), {}, [0, 10, 20]),
        ([0.9, 0.8], half(0), {}, [20]),
        ([0.8, 0.9], half(0.3), {}, [20.3]),
        ([0.9, 0.9], half(0.3), {}, [20]),
        ([0.9, 0.8], half(3), {}, [20, 23]),  # boxes share 7 of 13, poses nearly nothing
        ([0.9, 0.8], half(0), {"patience": 10.0}, [20, 20]),
        # the second falls for the first, and does not take the third with it
        ([0.9, 0.8, 0.7], [[0, 0, 10, 10], [1.5, 0, 11.5, 10], [3, 0, 13, 10]], {"score": 0.6}, [0, 3]),
        # the second falls behind the third
        ([0.9, 0.8, 0.7], [[0, 0, 10, 10], [1.5, 0, 11.5, 10], [50, 0, 60, 10]], {}, [0, 50, 1.5]),
        (np.linspace(0.9, 0.4, 10), apart(10), {"people": 3}, [0, 10, 20]),
        (np.linspace(0.4, 0.9, 10), apart(10), {"people": 3}, [90, 80, 70]),
        (np.linspace(0.9, 0.4, 10), apart(10), {"candidates": 2}, [0, 10]),
        ([0.9, 0.8, 0.7], [*half(0), [60, 0, 70, 10]], {"people": 2}, [20, 60]),
        ([0.9, 0.8, 0.7], [*half(0), [60, 0, 70, 10]], {"candidates": 2}, [20]),
    ],
)
def test_who_stays(scores, boxes, rules, lefts):
    people = found(scores, boxes, **rules)
    np.testing.assert_allclose(people.boxes[:, 0], lefts)
    assert (np.diff(people.scores) <= 0).all()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 80, 640, 560], [0, 0, 640, 480]),
        ([100, 180, 200, 380], [100, 100, 100, 200]),
        ([-50, 0, 100, 200], [0, 0, 100, 120]),
        ([600, 500, 700, 700], [600, 420, 40, 60]),
        ([0, 0, 640, 80], None),  # in the grey
        ([-20, 100, -10, 200], None),
        ([100, 100, 100, 200], None),
    ],
)
def test_boxes_end_with_the_picture(box, expected):
    people = found([0.9], [box], PICTURE)
    np.testing.assert_allclose(people.boxes, np.reshape(expected or [], (-1, 4)), atol=1e-4)
    assert len(people) == (expected is not None)


def test_joints_do_not():
    people = found([0.9], [[-300, 100, 100, 200]], PICTURE)
    np.testing.assert_allclose(people.joints[0], np.broadcast_to([-100.0, 70.0], (17, 2)))


def test_what_lies_beside_the_picture_drops_nobody():
    people = found([0.9, 0.8], [[0, 70, 50, 80], [0, 70, 50, 82]], PICTURE)
    np.testing.assert_allclose(people.boxes, [[0, 0, 50, 2]])


def test_people_of_a_scaled_picture():
    placement = Placement.of((1080, 1920), (320, 320))
    corners = placement.forward(np.array([[300.0, 200.0], [600.0, 800.0]]))
    people = found([0.7], [corners.ravel()], placement)
    np.testing.assert_allclose(people.boxes[0], [300, 200, 300, 600], atol=1e-3)
    np.testing.assert_allclose(people.joints[0, 3], [450, 500], atol=1e-3)


def test_shares_that_are_a_rounding_off_are_clipped():
    people = found([1.0005], apart(1))
    assert people.scores.max() == people.visibility.max() == 1


SOUND = candidates([0.9, 0.1], apart(2))


def wrong(name, at, value):
    array = getattr(SOUND, name).copy()
    array[at] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        *((wrong(name, 1, value), f"infinite {name}") for name in ("scores", "boxes") for value in (np.nan, np.inf)),
        (wrong("joints", (1, 16, 1), -np.inf), "infinite joints"),
        (wrong("visibility", (0, 3), np.nan), "infinite visibility"),
        (wrong("scores", 0, 1.01), "scores from 0.1 to 1.01"),
        (wrong("scores", 1, -0.5), "scores from -0.5"),
        (wrong("visibility", (0, 0), 2), "visibility from"),
        ({"scores": np.zeros((2, 1), np.float32)}, r"scores of shape \(2, 1\), expected \(2,\)"),
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes of shape \(3, 4\), expected \(2, 4\)"),
        ({"joints": np.zeros((2, 16, 2), np.float32)}, "joints of shape"),
        ({"visibility": np.zeros((2, 17, 1), np.float32)}, "visibility of shape"),
    ],
)
def test_what_is_no_answer(changed, says):
    with pytest.raises(InvalidAnswer, match=says) as caught:
        Candidates(**{**vars(SOUND), **changed})
    assert caught.value.hint


@pytest.mark.parametrize(("box", "refused"), [([30, 0, 20, 10], True), ([0, 30, 10, 20], True), ([0, 0, 0, 0], False)])
def test_a_box_inside_out(box, refused):
    assert len(found([0.9, 0.1], [[0, 0, 10, 10], box])) == 1, "nobody looks at the box of nobody"
    if refused:
        with pytest.raises(InvalidAnswer, match="comes before"):
            found([0.9, 0.8], [[0, 0, 10, 10], box])


@pytest.mark.parametrize(
    "rules",
    [{"score": -0.1}, {"score": np.nan}, {"patience": 0.0}, {"patience": np.nan}, {"candidates": 0}, {"people": 0}],
)
def test_rules_that_are_none(rules):
    with pytest.raises(InputError, match="out of range"):
        Suppression(**rules)


def plainly(scores, boxes, rules):
    """Soft suppression, every candidate anew against all who stay, as it is written in textbooks."""
    order = sorted((i for i in range(len(scores)) if scores[i] >= rules.score), key=lambda i: -scores[i])
    left = {i: scores[i] for i in order[: rules.candidates]}
    kept = []
    while left and len(kept) < rules.people:
        best = max(left, key=lambda i: left[i])  # the first of equals, as they are in order
        kept.append((best, left.pop(best)))
        left = {i: score * math.exp(-(alike(boxes[best], boxes[i]) ** 2) / rules.patience) for i, score in left.items()}
        left = {i: score for i, score in left.items() if score >= rules.score}
    return kept


def alike(sure, other):
    """OKS of people whose joints are all in the middle of their boxes."""
    away = sum(((sure[i] + sure[2 + i] - other[i] - other[2 + i]) / 2) ** 2 for i in (0, 1))
    area = 0.53 * sum((box[2] - box[0]) * (box[3] - box[1]) for box in (sure, other)) / 2
    return sum(math.exp(-away / (2 * area * (2 * sigma) ** 2)) for sigma in SIGMAS) / 17


corner = st.integers(0, 8)
box = st.tuples(corner, corner, st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.6, 0.6, 0.8, 0.9]), box), max_size=25),
    st.builds(
        Suppression, patience=st.sampled_from([0.3, 1.0]), candidates=st.integers(1, 20), people=st.integers(1, 6)
    ),
)
def test_the_same_people_as_the_textbook(drawn, rules):
    scores = np.array([score for score, _ in drawn], np.float32)
    boxes = np.array([[x, y, x + w, y + h] for _, (x, y, w, h) in drawn], np.float32).reshape(-1, 4)
    kept = plainly(scores.tolist(), boxes.tolist(), rules)
    people = suppress(candidates(scores, boxes), SQUARE, rules)
    np.testing.assert_allclose(people.scores, [score for _, score in kept], rtol=1e-5)
    np.testing.assert_allclose(people.boxes[:, :2], boxes[[place for place, _ in kept], :2].reshape(-1, 2), atol=1e-5)


SPREAD = np.stack([np.linspace(20, 40, 17), np.linspace(20, 60, 17)], axis=1)


@pytest.mark.parametrize(
    ("boxes", "poses", "scores"),
    [
        ([[20, 20, 40, 60]] * 2, [SPREAD, SPREAD], [0.9, 0.8 * math.exp(-1 / 0.3)]),
        ([[20, 20, 40, 60]] * 2, [SPREAD, SPREAD[::-1]], [0.9, 0.8]),  # two who stand before each other
        ([[20, 20, 40, 60], [25, 30, 35, 50]], [SPREAD, SPREAD], [0.9, 0.8 * math.exp(-1 / 0.3)]),
        # however large the surer one's box, it is the picture's at most, and so is what is like its pose
        ([[-1e4, -1e4, 1e4, 1e4], [20, 20, 40, 60]], [SPREAD + 200, SPREAD], [0.9, 0.8]),
        ([[20, 20, 40, 60]] * 2, [SPREAD, SPREAD + 1e30], [0.9, 0.8]),
    ],
)
@pytest.mark.parametrize("placement", [SQUARE, Placement.of((50, 100), (100, 100))])
def test_poses_are_compared_not_boxes(boxes, poses, scores, placement):
    arrays = (np.array([0.9, 0.8]), np.array(boxes), np.stack(poses), np.ones((2, 17)))
    drawn = Candidates(*(array.astype(np.float32) for array in arrays))
    people = suppress(drawn, placement, Suppression(score=0.01))
    np.testing.assert_allclose(people.scores, scores, rtol=0.02)
    shown = suppress(drawn, placement, Suppression(score=0.3))
    assert len(shown) == sum(score >= 0.3 for score in scores)


def test_whom_somebody_surer_put_below_the_threshold_was_left_out():
    """Not in the box of anybody shown, and about as they are posed."""
    boxes = np.array([[20, 20, 30, 60], [30, 20, 50, 60]], np.float32)
    poses = np.stack([SPREAD, SPREAD + 0.5]).astype(np.float32)
    drawn = Candidates(np.array([0.9, 0.8], np.float32), boxes, poses, np.ones((2, 17), np.float32))
    everybody = suppress(drawn, SQUARE, Suppression(score=0.01))
    assert 0.01 < everybody.scores[1] < 0.3
    assert best_left_out(drawn, everybody, SQUARE, 0.3) == everybody.scores[1]


@pytest.mark.parametrize(
    ("scores", "boxes", "best"),
    [
        ([], [], 0.0),
        ([0.9], apart(1), 0.0),
        ([0.2, 0.1], apart(2), 0.2),
        ([0.9, 0.2], apart(2), 0.2),
        ([0.9, 0.2, 0.1], [[20, 20, 40, 60], [22, 25, 41, 58], [60, 20, 80, 60]], 0.1),
        ([0.9, 0.2], half(4), 0.0),
        ([0.9, 0.2], half(6), 0.2),
    ],
)
def test_the_best_of_whom_was_left_out(scores, boxes, best):
    """Whoever has the middle in somebody's box is that person once more."""
    for placement in (SQUARE, Placement.of((50, 100), (100, 100))):
        drawn, rules = candidates(scores, boxes), Suppression()
        people = suppress(drawn, placement, rules)
        assert best_left_out(drawn, people, placement, rules.score) == pytest.approx(best)
        everybody = suppress(drawn, placement, Suppression(score=0.01))
        assert best_left_out(drawn, everybody, placement, rules.score) == pytest.approx(best)


def test_the_busiest_picture():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 80, (2000, 2))
    people = found(random.uniform(0.3, 1, 2000), np.concatenate([corners, corners + 20], axis=1))
    assert len(people) == 20
