import numpy as np
import pytest

from benchmarks.keypoints import drawn_case
from recognizer.errors import InputError
from recognizer.evaluation.oks import CROWDPOSE_SIGMAS, SIGMAS, agreement, oks, oks_of_joints
from recognizer.scenes import FoundPeople, People
from recognizer.skeleton import JOINTS

NOSE, LEFT_HIP = JOINTS.index("nose"), JOINTS.index("left_hip")


def labelled(*joints, at=(50.0, 50.0), area=1000.0, box=(40.0, 40.0, 20.0, 20.0), crowd=False):
    """One person whose named joints are all at one place."""
    seen = np.zeros((1, 17), np.uint8)
    seen[0, list(joints)] = 2
    places = np.where(seen[..., None] > 0, np.array(at), 0.0)
    return People(places, seen, np.array([box]), np.array([area]), np.array([crowd]))


def found(*places, box=(40.0, 40.0, 20.0, 20.0), scores=None):
    """People all of whose joints are at one place each."""
    n = len(places)
    joints = np.repeat(np.array(places, np.float64).reshape(n, 1, 2), 17, axis=1)
    scores = np.linspace(1, 0.5, n) if scores is None else np.array(scores)
    return FoundPeople(joints, np.ones((n, 17)), np.tile(box, (n, 1)), scores)


def test_sigmas_are_cocos():
    assert len(SIGMAS) == 17
    assert len(CROWDPOSE_SIGMAS) == 14
    assert SIGMAS[:7] == pytest.approx([0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079])
    assert SIGMAS[5:] == CROWDPOSE_SIGMAS[:12]
    assert CROWDPOSE_SIGMAS[12:] == pytest.approx([0.079, 0.079])


@pytest.mark.parametrize(
    ("person", "place", "expected"),
    [
        (labelled(NOSE), (50, 50), 1.0),
        (labelled(NOSE), (53, 54), np.exp(-25 / (2 * 1000 * 0.052**2))),
        (labelled(LEFT_HIP), (53, 54), np.exp(-25 / (2 * 1000 * 0.214**2))),
        (labelled(NOSE, LEFT_HIP), (53, 54), np.exp(-25 / (2000 * np.array([0.052, 0.214]) ** 2)).mean()),
        (labelled(NOSE, area=4000), (53, 54), np.exp(-25 / (8000 * 0.052**2))),
        (labelled(NOSE, area=0), (50, 50), 1.0),
        (labelled(NOSE, area=0), (50.01, 50), 0.0),
        (labelled(NOSE), (1e200, 0), 0.0),
        # nobody labelled a joint: all of the doubled box, from 20 to 80, is as good as exact
        (labelled(), (20, 80), 1.0),
        (labelled(), (50, 50), 1.0),
        (labelled(), (17, 84), np.exp(-25 / (2000 * (2 * np.array(SIGMAS)) ** 2)).mean()),
        (labelled(crowd=True), (83, 50), np.exp(-9 / (2000 * (2 * np.array(SIGMAS)) ** 2)).mean()),
    ],
)
def test_oks_by_hand(person, place, expected):
    np.testing.assert_allclose(oks(found(place), person), [[expected]], rtol=1e-12)


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 1), (2, 0)])
def test_nobody(m, n):
    people = labelled(NOSE) if n else People.nobody()
    answer = found(*[(1, 1)] * m) if m else FoundPeople.nobody()
    assert oks(answer, people).shape == (m, n)


def test_an_unlabelled_joint_does_not_count():
    person, one = labelled(NOSE), found((50, 50))
    one.joints[0, LEFT_HIP] = 1e5
    assert oks(one, person) == 1


def test_float32_is_judged_in_float64():
    person, one = labelled(NOSE), found((53, 54))
    short = FoundPeople(*(part.astype(np.float32) for part in (one.joints, one.visibility, one.boxes, one.scores)))
    assert oks(short, person).dtype == np.float64
    assert oks(short, person) == oks(one, person)


@pytest.mark.parametrize("seed", range(8))
def test_as_the_reference_computes_it(seed):
    from pycocotools.cocoeval import COCOeval

    people, answers = drawn_case(seed)
    for who, answer in zip(people, answers, strict=True):
        judge = COCOeval(iouType="keypoints")
        judge.params.maxDets = [10**6]
        judge._gts = {
            (1, 1): [
                {"keypoints": np.column_stack([joints, seen]).ravel(), "bbox": box, "area": area}
                for joints, seen, box, area in zip(who.joints, who.labelled, who.boxes, who.areas, strict=True)
            ]
        }
        judge._dts = {
            (1, 1): [
                {"keypoints": np.column_stack([joints, np.ones(17)]).ravel(), "score": score}
                for joints, score in zip(answer.joints, answer.scores, strict=True)
            ]
        }
        if len(who) and len(answer):
            np.testing.assert_allclose(oks(answer, who), judge.computeOks(1, 1), atol=1e-13)


def test_fourteen_joints_with_their_own_sigmas():
    joints, seen = np.full((1, 14, 2), 50.0), np.zeros((1, 14), np.uint8)
    seen[0, 12] = 2
    one = joints + np.array([3, 4])
    value = oks_of_joints(one, joints, seen, np.array([1000.0]), np.zeros((1, 4)), CROWDPOSE_SIGMAS)
    np.testing.assert_allclose(value, np.exp(-25 / (2000 * 0.158**2)))


FAR, NEAR = (900, 900), (50, 50)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (FoundPeople.nobody(), FoundPeople.nobody(), 1.0),
        (found(NEAR), FoundPeople.nobody(), 0.0),
        (found(NEAR), found(NEAR), 1.0),
        (found(NEAR, FAR), found(FAR, NEAR), 1.0),
        (found(NEAR), found(NEAR, FAR), 2 / 3),
        (found(NEAR), found(FAR), 0.0),
        (found(NEAR, NEAR), found(NEAR), 2 / 3),
        (found(NEAR, box=(0, 0, 0, 0)), found(NEAR, box=(0, 0, 0, 0)), 1.0),
    ],
)
def test_agreement(first, second, expected):
    assert agreement(first, second) == pytest.approx(expected)
    assert agreement(second, first) == agreement(first, second)


def test_agreement_measures_by_the_mean_of_both_areas():
    first, second = found((50, 50), box=(0, 0, 10, 10)), found((53, 54), box=(0, 0, 30, 10))
    expected = np.exp(-25 / (2 * 0.53 * 200 * (2 * np.array(SIGMAS)) ** 2)).mean()
    assert agreement(first, second) == pytest.approx(expected)


def test_pairs_are_those_of_the_highest_sum():
    # whoever takes the nearest first leaves the other one with a partner far away
    big = {"box": (0, 0, 200, 200)}
    first, second = found((0, 0), (6, 0), **big), found((5, 0), (11, 0), **big)
    assert agreement(first, second) == pytest.approx(agreement(found((0, 0), **big), found((5, 0), **big)))


@pytest.mark.parametrize("seed", range(12))
def test_agreement_of_anything(seed):
    first, second = (drawn_case(seed)[1][0], drawn_case(seed + 1)[1][0])
    assert 0 <= agreement(first, second) <= 1
    assert agreement(first, second) == agreement(second, first)
    assert agreement(first, first) == pytest.approx(1)


GOOD = found(NEAR)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ((np.zeros((1, 16, 2)), GOOD.visibility, GOOD.boxes, GOOD.scores), r"joints of shape \(1, 16, 2\)"),
        ((GOOD.joints, np.zeros((2, 17)), GOOD.boxes, GOOD.scores), "visibility of shape"),
        ((GOOD.joints, GOOD.visibility, np.zeros((1, 5)), GOOD.scores), "boxes of shape"),
        ((GOOD.joints, GOOD.visibility, GOOD.boxes, np.zeros((1, 1))), "scores of shape"),
        ((GOOD.joints * np.nan, GOOD.visibility, GOOD.boxes, GOOD.scores), "joints that are not finite"),
        ((GOOD.joints, GOOD.visibility, GOOD.boxes, np.array([np.inf])), "scores that are not finite"),
    ],
)
def test_an_answer_that_is_none(parts, named):
    answer = FoundPeople(*parts)
    for judged in (
        lambda: oks(answer, labelled(NOSE)),
        lambda: agreement(GOOD, answer),
        lambda: agreement(answer, GOOD),
    ):
        with pytest.raises(InputError, match=named) as raised:
            judged()
        assert raised.value.hint
