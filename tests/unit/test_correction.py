"""Corrected joints: what feedback may tell of people, and when an answer was right about them."""

import json

import numpy as np
import pytest

from recognizer.errors import FormatError
from recognizer.evaluation.oks import all_found
from recognizer.pose.correction import read_people, write_labelled
from recognizer.scenes import AREA_OF_BOX, People
from recognizer.skeleton import JOINTS
from recognizer.synthetic.scenes import generate_scenes

NOSE, ANKLE = JOINTS.index("nose"), JOINTS.index("left_ankle")
PLAIN = {"joints": {"nose": [10, 20], "left_ankle": [30.5, 120, 1]}}


def body(left=0.0):
    """(17, 2) joints of somebody 100 pixels tall."""
    return np.stack([left + np.arange(17) % 5 * 10, np.arange(17) * 6.0], axis=1)


def told(*bodies, **more):
    return [{"joints": dict(zip(JOINTS, one.tolist(), strict=True)), **more} for one in bodies]


def test_what_is_left_out():
    people = read_people([PLAIN])
    assert people.joints[0, NOSE].tolist() == [10, 20]
    assert people.joints[0, ANKLE].tolist() == [30.5, 120]
    assert np.flatnonzero(people.labelled[0]).tolist() == [NOSE, ANKLE]
    assert people.labelled[0, [NOSE, ANKLE]].tolist() == [2, 1]
    assert people.boxes.tolist() == [[10, 20, 20.5, 100]]
    assert people.areas.tolist() == [AREA_OF_BOX * 2050]


def test_what_is_told():
    people = read_people([{**PLAIN, "box": [0, 0, 50, 200]}, {**PLAIN, "box": [0, 0, 50, 200], "area": 7}])
    assert people.boxes.tolist() == [[0, 0, 50, 200]] * 2
    assert people.areas.tolist() == [AREA_OF_BOX * 10_000, 7]


def test_a_joint_that_is_not_labelled_is_nowhere():
    people = read_people([{"joints": {**PLAIN["joints"], "right_ear": [1e9, 5, 0]}}])
    assert people.joints[0, JOINTS.index("right_ear")].tolist() == [0, 0]
    assert len(read_people([])) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        [1],
        [{}],
        [{"joints": []}],
        [{"joints": {}}],
        [{"joints": {"tail": [1, 2]}}],
        [{**PLAIN, "score": 1}],
        [{"joints": {"nose": [1, 2, 0], "left_eye": [3, 4, 0]}}],
        [{"joints": {"nose": [1, 2]}}],
        [{"joints": {"nose": [1]}}],
        [{"joints": {"nose": [1, 2, 3, 4]}}],
        [{"joints": {"nose": "ab"}}],
        [{"joints": {"nose": [1, True]}}],
        [{"joints": {"nose": [1, "2"]}}],
        [{"joints": {"nose": [1, None]}}],
        [{"joints": {"nose": [1, float("nan")]}}],
        [{"joints": {"nose": [1, 10**400]}}],
        [{"joints": {"nose": [1, 2, 3]}}],
        [{**PLAIN, "box": [1, 2, 3]}],
        [{**PLAIN, "box": [1, 2, -3, 4]}],
        [{**PLAIN, "area": 0}],
        [{**PLAIN, "area": "big"}],
        [PLAIN, {**PLAIN, "area": -1}],
    ],
    ids=range(24),
)
def test_what_is_no_correction(wrong):
    with pytest.raises(FormatError) as caught:
        read_people(wrong)
    assert caught.value.where.startswith("people")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("answered", "true", "right"),
    [
        ([], [], True),
        ([body()], [body()], True),
        ([body()], [], False),
        ([], [body()], False),
        ([body(1)], [body()], True),
        ([body(40)], [body()], False),
        ([body(300), body()], [body(), body(300)], True),
        ([body(), body(1)], [body()], False),
        ([body(), body(1)], [body(), body(300)], False),
        ([body(), body(2)], [body(1), body(3)], True),
    ],
)
def test_right_is_who_finds_everybody_and_nobody_besides(answered, true, right):
    assert all_found(np.array(answered).reshape(-1, 17, 2), read_people(told(*true))) is right


def test_joints_that_nobody_knows_are_not_judged():
    people = read_people([{"joints": {"nose": [0, 0], "left_ankle": body()[ANKLE].tolist()}, "area": 2000}])
    wrong = body()
    wrong[1:ANKLE] += 500
    assert all_found(wrong[None], people)


def test_labels_of_a_scene_are_a_correction():
    for scene in generate_scenes(4, seed=3, size=128):
        written = json.loads(json.dumps(write_labelled(scene.people)))
        read = read_people(written)
        counted = scene.people.counted
        np.testing.assert_array_equal(read.labelled, scene.people.labelled[counted])
        np.testing.assert_allclose(read.joints, scene.people.joints[counted])
        np.testing.assert_allclose(read.areas, scene.people.areas[counted])
        assert all_found(scene.people.joints[counted], read)
    assert write_labelled(People.nobody()) == []
