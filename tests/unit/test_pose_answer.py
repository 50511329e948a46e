"""What the pose door answers, notes and draws."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from recognizer.errors import FormatError
from recognizer.images import decode
from recognizer.pose.answers import stack, unstack
from recognizer.pose.evaluator import PoseEvaluator
from recognizer.scenes import FoundPeople
from recognizer.skeleton import JOINTS, LEFT, RIGHT
from serving.pose.answer import PoseEndpoint, count_label, write_people
from serving.pose.body import PoseRequest
from serving.pose.drawing import BLUE, DARK, LIMBS, ORANGE, WHITE, draw, line_width
from serving.pose.predictor import PosePrediction
from serving.routing import Arm

GREY = 110
PLAIN = cv2.imencode(".png", np.full((240, 320, 3), GREY, np.uint8))[1].tobytes()


def people(n, visibility=1.0, score=0.9):
    """In a row, each with joints 10 pixels apart in two columns: left ones on the right hand."""
    rows = np.array([[25 if j in LEFT else 5 if j in RIGHT else 15, 20 + 10 * (j // 2)] for j in range(len(JOINTS))])
    left = 20 + 60 * np.arange(n)
    joints = rows[None] + np.stack([left, np.full(n, 20)], axis=1)[:, None]
    boxes = np.stack([left, np.full(n, 30), np.full(n, 30), np.full(n, 110)], axis=1)
    return FoundPeople(
        joints.astype(np.float32),
        np.full((n, len(JOINTS)), visibility, np.float32),
        boxes.astype(np.float32),
        (score - 0.1 * np.arange(n)).astype(np.float32),
    )


def answered(found, *, unnoticed=0.0, by_cpu=False, recovered=False, draw=False):
    return SimpleNamespace(
        prediction_id="p",
        servable=SimpleNamespace(task="pose", version=3, digest="d"),
        arm=Arm.CHAMPION,
        recovered=recovered,
        case=PoseRequest(PLAIN, draw),
        prediction=PosePrediction.of([found], [unnoticed], recovered=by_cpu),
    )


@pytest.mark.parametrize("query", [{}, {"draw": "png"}])
def test_a_body_becomes_a_case(query):
    asked = PoseEndpoint().read(PLAIN, "image/png", query)
    assert asked.case == PoseRequest(PLAIN, bool(query))
    assert not asked.canary


def test_people_as_json():
    content = PoseEndpoint().write(answered(people(2)))
    assert json.loads(json.dumps(content)) == content
    assert content["prediction_id"] == "p"
    assert content["model"] == {"name": "pose", "version": 3, "digest": "d"}
    first, second = content["people"]
    assert (first["score"], second["score"]) == (0.9, 0.8)
    assert first["box"] == [20, 30, 30, 110]
    assert list(first["joints"]) == list(JOINTS)
    assert first["joints"]["nose"] == [35, 40, 1]
    assert second["joints"]["left_ankle"] == [105, 110, 1]


def test_numbers_are_short():
    exact = people(1)
    found = FoundPeople(exact.joints / 3, exact.visibility / 3, exact.boxes / 3, exact.scores / 7)
    (person,) = write_people(found)
    assert person["score"] == 0.129
    assert person["box"] == [6.7, 10, 10, 36.7]
    assert person["joints"]["nose"] == [11.7, 13.3, 0.333]


@pytest.mark.parametrize(
    ("by_cpu", "recovered", "says"),
    [(False, False, None), (True, False, True), (False, True, True), (True, True, True)],
)
def test_whether_something_failed_on_the_way(by_cpu, recovered, says):
    asked = {"by_cpu": by_cpu, "recovered": recovered}
    assert PoseEndpoint().write(answered(people(1), **asked)).get("recovered") is says
    assert PoseEndpoint().write(answered(people(1), draw=True, **asked)).said.get("recovered") is says


@pytest.mark.parametrize("n", [0, 1, 3])
def test_what_a_client_hears_is_what_was_answered(n):
    written = PoseEndpoint().write(answered(people(n)))
    heard = PoseEndpoint().heard(json.loads(json.dumps(written)), ("person",))
    assert heard.consistent
    (found,) = unstack(heard.answers)
    np.testing.assert_allclose(found.joints, people(n).joints, atol=0.051)
    np.testing.assert_allclose(found.scores, people(n).scores, atol=0.0006)
    assert PoseEvaluator().compare(heard.answers, stack([people(n)])).same.all()


def changed(change):
    content = PoseEndpoint().write(answered(people(2)))
    change(content["people"])
    return content


def test_people_in_another_order_than_their_scores():
    assert not PoseEndpoint().heard(changed(list.reverse), ("person",)).consistent


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"people": {}},
        {"people": [1]},
        {"people": [None] * 21},
        changed(lambda told: told[0].pop("score")),
        changed(lambda told: told[0].update(score="sure")),
        changed(lambda told: told[1].update(box=[1, 2, 3])),
        changed(lambda told: told[1]["joints"].pop("nose")),
        changed(lambda told: told[1]["joints"].update(nose=[1, 2])),
        changed(lambda told: told[1]["joints"].update(nose=[1, float("nan"), 1])),
    ],
    ids=range(10),
)
def test_what_is_no_answer(content):
    with pytest.raises(FormatError) as caught:
        PoseEndpoint().heard(content, ("person",))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("n", "unnoticed", "label", "confidence"),
    [
        (0, 0.0, "0 people", 1.0),
        (0, 0.25, "0 people", 0.75),
        (1, 0.0, "1 person", 0.9),
        (2, 0.1, "2 people", 0.8),
        (2, 0.29, "2 people", 0.71),
    ],
)
def test_what_the_log_keeps(n, unnoticed, label, confidence):
    noted = PoseEndpoint().note(answered(people(n), unnoticed=unnoticed))
    assert noted.label == label == count_label(n)
    assert noted.confidence == pytest.approx(confidence)
    assert set(noted.inputs) == {"image"}
    assert noted.inputs["image"].tobytes() == PLAIN


def logged(found):
    noted = PoseEndpoint().note(answered(found))
    return SimpleNamespace(label=noted.label, answer=json.loads(json.dumps(noted.answer)))


def corrected(found):
    return [{"joints": dict(zip(JOINTS, joints.tolist(), strict=True)), "area": 3000} for joints in found.joints]


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ({"people": corrected(people(2))}, True),
        ({"people": corrected(people(1))}, False),
        ({"people": corrected(people(3))}, False),
        ({"people": []}, False),
        ({"truth": "2 people"}, True),
        ({"truth": "1 person"}, False),
        ({"truth": "0 people"}, False),
    ],
)
def test_feedback_on_people(told, right):
    found = PoseEndpoint().correction(told, logged(people(2)), ("person",))
    assert found.right is right
    assert found.truth == told.get("truth", found.truth)
    assert "people" not in told or json.loads(found.truth) == told["people"]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"people": [], "truth": "0 people"},
        {"people": {}},
        {"truth": "person"},
        {"truth": "1 people"},
        {"truth": "2 person"},
        {"truth": "02 people"},
        {"truth": "\u0662 people"},
        {"truth": 2},
        {"more": 1},
    ],
)
def test_what_is_no_feedback_on_people(told):
    with pytest.raises(FormatError) as caught:
        PoseEndpoint().correction(told, logged(people(2)), ("person",))
    assert caught.value.hint


def drawn(found, content=PLAIN):
    return decode(draw(decode(content), found))


def at(image, point):
    return tuple(image[int(point[1]), int(point[0])].tolist())


def test_the_drawing_is_an_answer_of_its_own():
    document = PoseEndpoint().write(answered(people(1), draw=True))
    assert document.media_type == "image/png"
    assert document.said["prediction_id"] == "p"
    image = decode(document.content)
    assert image.shape == (240, 320, 3)
    assert (image != GREY).any()


def test_nobody_changes_nothing():
    assert (drawn(people(0)) == GREY).all()


@pytest.mark.parametrize("joint", range(len(JOINTS)))
def test_sides_have_their_colours(joint):
    found = people(1)
    colour = BLUE if joint in LEFT else ORANGE if joint in RIGHT else WHITE
    assert at(drawn(found), found.joints[0, joint]) == colour


@pytest.mark.parametrize(("visibility", "colour"), [(0.9, BLUE), (0.3, DARK)])
def test_hidden_joints_are_hollow(visibility, colour):
    found = people(1, visibility)
    big = FoundPeople(found.joints * 6, found.visibility, found.boxes * 6, found.scores)
    image = cv2.imencode(".png", np.full((1000, 1400, 3), GREY, np.uint8))[1].tobytes()
    assert at(drawn(big, image), big.joints[0, JOINTS.index("left_wrist")]) == colour


def test_joints_that_nobody_sees_are_not_drawn():
    image = drawn(people(1, visibility=0.0))
    assert (image[40:130, 26:45] == GREY).all(), "only the box"
    assert (image != GREY).any()


@pytest.mark.parametrize(("sight", "colour"), [((1.0, 0.2), BLUE), ((0.2, 1.0), DARK)])
def test_the_surest_person_lies_on_top(sight, colour):
    two, wrist = people(2), JOINTS.index("left_wrist")
    seen = np.repeat(np.float32(sight)[:, None], len(JOINTS), axis=1)
    image = drawn(FoundPeople(two.joints[[0, 0]], seen, two.boxes[[0, 0]], two.scores))
    assert at(image, two.joints[0, wrist]) == colour


def test_the_middle_of_a_line_is_where_it_belongs():
    """A line from (10, 20) to (30, 20) is as dark above its axis as below."""
    joints = np.zeros((1, 17, 2), np.float32)
    joints[0, 5], joints[0, 6] = (10, 20), (30, 20)
    visibility = np.zeros((1, 17), np.float32)
    visibility[0, [5, 6]] = 1
    content = cv2.imencode(".png", np.full((40, 40, 3), GREY, np.uint8))[1].tobytes()
    nowhere = np.float32([[-100, -100, 10, 10]])
    image = drawn(FoundPeople(joints, visibility, nowhere, np.float32([0.9])), content)
    np.testing.assert_allclose(image[:20, 18:22].astype(int), image[20:, 18:22][::-1], atol=40)


@pytest.mark.parametrize(
    ("picture", "person", "width"),
    [
        ((240, 320), (30, 110), 2),
        ((480, 640), (190, 390), 3),
        ((1080, 1920), (400, 900), 7),
        ((1080, 1920), (20, 30), 1),
        ((1, 1), (1, 1), 1),
    ],
)
def test_lines_fit_the_picture_and_the_person(picture, person, width):
    assert line_width(picture, np.array(person)) == width


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
def test_the_smallest_pictures(shape):
    content = cv2.imencode(".png", np.full((*shape, 3), GREY, np.uint8))[1].tobytes()
    assert drawn(people(2), content).shape == (*shape, 3)


def test_joints_far_outside():
    found = people(1)
    far = FoundPeople(found.joints * 1e9, found.visibility, found.boxes * 1e9, found.scores)
    assert drawn(far).shape == (240, 320, 3)


def test_every_joint_hangs_on_a_line():
    assert {joint for limb in LIMBS for joint in limb} == set(range(len(JOINTS)))
