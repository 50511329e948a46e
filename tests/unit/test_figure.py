import numpy as np
import pytest

from recognizer.scenes import HIDDEN, SEEN, UNLABELLED
from recognizer.skeleton import JOINTS, LEFT, RIGHT
from recognizer.synthetic.annotation import annotate
from recognizer.synthetic.body import joints_of
from recognizer.synthetic.canvas import NOBODY, Shape, cover, outline, paint
from recognizer.synthetic.figure import figures
from recognizer.synthetic.head import Skulls
from recognizer.synthetic.light import Light, develop
from recognizer.synthetic.pose import DEGREE, Pose
from recognizer.synthetic.things import HIDING, STANDING_BEHIND, Placed, cabinet, shapes_of
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import cast_of

SHAPE = (200, 160)
VIEW = View.towards_x(1.0, 0.0, 0.0, 300.0, SHAPE)
LIGHT = Light(np.array([0.0, -0.6, -0.8]), 0.6, 0.4)
PERSON = cast_of(0, 0)[0]
TOWARDS, AWAY = np.pi, 0.0
FACE = {"nose", "left_eye", "right_eye"}


def standing(heading, place=(4.0, 0.0), **angles):
    """Joints (17, 3) in the room; the camera stands at the origin and looks along x."""
    pose = Pose.zero(1)
    pose.heading += heading
    for name, angle in angles.items():
        getattr(pose, name)[...] = np.array(angle)[..., None] * DEGREE
    joints = joints_of(PERSON.body, pose, np.zeros(1))[0]
    joints[:, :2] += place
    return joints


def labels(*people, things=(), view=VIEW, outfit=0):
    seen = view.seen(np.stack(people))
    bodies, away = figures([PERSON] * len(people), [PERSON.outfits[outfit]] * len(people), seen, view, LIGHT)
    ids, shapes = cover([*bodies, *things], view.shape)
    return annotate(ids, shapes, seen, view.pixels(seen), away)


def named(labelled, value):
    return {JOINTS[joint] for joint in np.flatnonzero(labelled == value)}


def board(left, right, depth, top=-10, bottom=1000):
    """Something flat between two columns of the picture."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return Shape(depth, [(outline(corners), (90.0, 90.0, 90.0))])


# Heading, joints that cannot be seen; the rest can.
SIDES = {
    "from the front": (TOWARDS, set()),
    "from behind": (AWAY, FACE),
    "from its left": (np.pi / 2, None),
    "from its right": (-np.pi / 2, None),
}


@pytest.mark.parametrize("side", SIDES)
def test_what_is_seen_of_somebody_who_stands_with_arms_out(side):
    heading, hidden = SIDES[side]
    # Arms out of the way: sideways, or forward where that would be towards the camera.
    arms = {"raised": (35, 35)} if hidden is not None else {"shoulder": (45, 45)}
    people, _ = labels(standing(heading, **arms, spread=(6, 6)))
    found = named(people.labelled[0], HIDDEN)
    if hidden is None:
        # The far eye, ear, shoulder and hip, at least; of the near side nothing.
        far, near = ("right", "left") if "its left" in side else ("left", "right")
        assert {f"{far}_{part}" for part in ("eye", "ear", "shoulder", "hip")} <= found
        assert not any(name.startswith(near) for name in found)
        assert "nose" not in found
    else:
        assert found == hidden
    assert not named(people.labelled[0], UNLABELLED)


@pytest.mark.parametrize(("heading", "seen"), [(TOWARDS, True), (AWAY, False)])
def test_hands_in_front_of_the_belly_are_hidden_from_behind(heading, seen):
    people, _ = labels(standing(heading, shoulder=(25, 25), elbow=(60, 60), raised=(5, 5), sweep=(-40, -40)))
    assert ({"left_wrist", "right_wrist"} <= named(people.labelled[0], SEEN)) == seen


@pytest.mark.parametrize(("depth", "hides"), [(2.0, True), (6.0, False)])
def test_a_board_hides_what_is_behind_it(depth, hides):
    joints = standing(TOWARDS, raised=(40, 40))
    middle = (SHAPE[1] - 1) / 2
    # Facing the camera, the left side is on the picture's right.
    people, _ = labels(joints, things=[board(middle + 3, 1000, depth)])
    hidden = named(people.labelled[0], HIDDEN)
    arms_and_legs = {JOINTS[joint] for joint in LEFT if joint > 4}
    assert (arms_and_legs <= hidden) == hides
    assert not hidden & {JOINTS[joint] for joint in RIGHT}
    whole, _ = labels(joints)
    assert (people.areas[0] < 0.7 * whole.areas[0]) == hides
    assert (people.boxes[0, 2] < 0.7 * whole.boxes[0, 2]) == hides


def test_nobody_is_labelled_of_whom_nothing_shows():
    people, there = labels(standing(TOWARDS), standing(TOWARDS, (4.0, -0.6)), things=[board(-1000, 105, 2.0)])
    assert there.tolist() == [1]
    assert len(people) == 1
    people, there = labels(standing(TOWARDS), things=[board(-1000, 1000, 2.0)])
    assert len(people) == len(there) == 0


def test_nobody_is_labelled_who_stands_outside_of_the_picture():
    people, there = labels(standing(TOWARDS, (4.0, 9.0)), standing(TOWARDS))
    assert there.tolist() == [1]
    assert not named(people.labelled[0], UNLABELLED)


def test_joints_beyond_the_border_are_unlabelled():
    close = View.towards_x(1.45, 0.0, 0.0, 400.0, SHAPE)
    people, _ = labels(standing(TOWARDS, (2.0, 0.0)), view=close)
    assert {"left_ankle", "right_ankle", "left_knee", "right_knee"} <= named(people.labelled[0], UNLABELLED)
    assert "nose" in named(people.labelled[0], SEEN)
    assert not people.joints[0, people.labelled[0] == UNLABELLED].any()


@pytest.mark.parametrize("first_is_nearer", [True, False])
def test_the_nearer_of_two_people_hides_the_other(first_is_nearer):
    near, far = standing(TOWARDS, (3.0, 0.0)), standing(TOWARDS, (4.5, 0.1))
    people, _ = labels(*((near, far) if first_is_nearer else (far, near)))
    front, back = (0, 1) if first_is_nearer else (1, 0)
    assert not named(people.labelled[front], HIDDEN)
    assert len(named(people.labelled[back], HIDDEN)) > 8


@pytest.mark.parametrize("heading", np.linspace(0, 2 * np.pi, 7))
def test_the_skull_has_the_axes_of_the_head(heading):
    joints = standing(heading, turn=20)
    skulls = Skulls.of(joints[None])
    want = np.array([-np.sin(heading + 20 * DEGREE), np.cos(heading + 20 * DEGREE), 0])
    np.testing.assert_allclose(skulls.axes[0, 0], want, atol=1e-6)
    np.testing.assert_allclose(skulls.axes[0, 2], [0, 0, 1], atol=0.02)
    np.testing.assert_allclose(skulls.axes[0] @ skulls.axes[0].T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("outfit", range(len(PERSON.outfits)))
def test_limbs_are_painted_around_their_joints(outfit):
    for heading in (TOWARDS - 0.4, TOWARDS, TOWARDS + 0.4, AWAY - 0.4, AWAY + 0.4):
        people, _ = labels(standing(heading, raised=(50, 50), spread=(15, 15), elbow=(20, 70)), outfit=outfit)
        assert {"left_wrist", "right_wrist", "left_ankle", "right_ankle"} <= named(people.labelled[0], SEEN)


def test_toes_point_the_way_somebody_faces():
    for heading, sign in ((np.pi / 2, -1), (-np.pi / 2, 1)):
        seen = VIEW.seen(standing(heading)[None])
        bodies, _ = figures([PERSON], [PERSON.outfits[0]], seen, VIEW, LIGHT)
        feet = [shape.axis for shape in bodies if shape.joints in ((15,), (16,))]
        assert len(feet) == 2
        assert all(sign * (toes[0] - heel[0]) > 0.1 for heel, toes in feet)


def test_a_figure_is_lit_from_the_side_of_the_lamp():
    seen = VIEW.seen(standing(TOWARDS)[None])
    sides = []
    for lamp in (-1.0, 1.0):
        bodies, _ = figures([PERSON], [PERSON.outfits[0]], seen, VIEW, Light(np.array([lamp, 0, 0]), 0.4, 0.6))
        ids, shapes = cover(bodies, SHAPE)
        painted = paint(np.zeros((*SHAPE, 3), np.uint8), ids, shapes, np.zeros(SHAPE, np.float32))
        legs = painted.image[120:170].astype(float)
        sides.append(np.average(np.arange(SHAPE[1]), weights=legs.sum(axis=(0, 2))))
    assert sides[0] < sides[1] - 0.3


@pytest.mark.parametrize("make", sorted({*HIDING, *STANDING_BEHIND}, key=lambda make: make.__name__))
def test_things_stand_on_the_floor(make):
    for number in range(5):
        thing = make(np.random.default_rng(number))
        assert min(middle[2] - sizes[2] / 2 for middle, sizes, _ in thing.cuboids) > -1e-9
        (shape,) = shapes_of([Placed(thing, (5.0, 0.0), 0.4 * number)], VIEW, LIGHT)
        assert shape.owner == NOBODY
        assert 3.5 < shape.depth < 6.5
        ids, _ = cover([shape], SHAPE)
        rows = np.nonzero(ids.any(axis=1))[0]
        lowest = VIEW.pixels(VIEW.seen(np.array([[3.0, 0, 0], [7.0, 0, 0]])))[:, 1]
        assert lowest[1] - 2 < rows.max() < lowest[0]


def test_things_in_the_way_of_the_camera_are_left_out():
    thing = cabinet(np.random.default_rng(0))
    assert shapes_of([], VIEW, LIGHT) == []
    assert shapes_of([Placed(thing, (0.2, 0.0), 0.0)], VIEW, LIGHT) == []
    (shape,) = shapes_of([Placed(thing, (0.2, 0.0), 0.0), Placed(thing, (4.0, 0.0), 0.0, depth=9.0)], VIEW, LIGHT)
    assert shape.depth == 9.0


@pytest.mark.parametrize("pitch", [-0.2, 0.0, 0.6])
def test_the_view_keeps_distances_and_straight_ahead(pitch):
    view = View.towards_x(2.0, pitch, 0.1, 250.0, (120, 90))
    np.testing.assert_allclose(view.turn @ view.turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view.turn) == pytest.approx(1)
    ahead = np.array([3 * np.cos(pitch), 0, 2 - 3 * np.sin(pitch)])
    np.testing.assert_allclose(view.seen(ahead), [0, 0, 3], atol=1e-12)
    np.testing.assert_allclose(view.pixels(view.seen(ahead)), [44.5, 59.5])
    assert view.scale(view.seen(ahead)) == pytest.approx(250 / 3)
    above = view.pixels(view.seen(ahead + np.array([0, 0, 0.1])))
    assert above[1] < 59.5
    assert view.pixels(view.seen(ahead + np.array([0, 0.1, 0])))[0] < 44.5


def test_more_shapes_than_fit_leave_out_the_farthest():
    boards = [board(0, 10, float(depth)) for depth in range(1, 300)]
    ids, shapes = cover(boards, (20, 20))
    assert len(shapes) == 255
    assert shapes[-1].depth == 1
    assert shapes[0].depth == 255
    assert ids[5, 5] == 255


def test_developing_keeps_the_shape_and_is_repeatable():
    image = np.full((90, 700, 3), 120, np.uint8)
    seen = set()
    for seed in range(30):
        made = develop(image.copy(), np.random.default_rng(seed))
        assert made.shape == image.shape
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, develop(image.copy(), np.random.default_rng(seed)))
        seen.add(int(made.mean()))
    assert len(seen) > 15
