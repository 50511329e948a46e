from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recognizer.errors import UsageError
from recognizer.ingest.split import cut
from recognizer.skeleton import BONES, JOINTS
from recognizer.synthetic import ACTIONS, generate
from recognizer.synthetic.body import Body, joints_of
from recognizer.synthetic.camera import detect, film
from recognizer.synthetic.pose import Pose, bump, rise
from recognizer.windows import WindowSpec, to_windows

SECONDS = np.arange(120) / 30
RIGID = [bone for bone in BONES if bone[0] in range(7, 11) or bone[0] in range(13, 17)]


@pytest.fixture(scope="module")
def recorded():
    return generate(480)


@pytest.fixture
def generator():
    return np.random.default_rng(5)


def acted(action, seed=0, seconds=SECONDS):
    generator = np.random.default_rng(seed)
    body = Body.draw(generator)
    return body, joints_of(body, ACTIONS[action](body, seconds, generator), seconds)


def joint(joints, name):
    return joints[:, JOINTS.index(name)]


def test_the_same_arguments_give_the_same_recordings():
    first, again = generate(40, seed=3), generate(40, seed=3)
    assert first.split == again.split
    assert first.source == again.source
    for a, b in zip(first.sequences, again.sequences, strict=True):
        assert (a.name, a.label, a.subject, a.image_shape) == (b.name, b.label, b.subject, b.image_shape)
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.visibility, b.visibility)


def test_another_seed_gives_others_and_a_larger_count_the_same_first_ones():
    base, other, more = generate(40), generate(40, seed=1), generate(48)
    assert base.source != other.source
    assert any(a.keypoints.shape != b.keypoints.shape for a, b in zip(base.sequences, other.sequences, strict=True))
    for a, b in zip(base.sequences, more.sequences, strict=False):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)


def test_every_action_by_every_subject(recorded):
    labels = Counter((item.subject, recorded.sequences.classes[item.label]) for item in recorded.sequences)
    assert {action for _, action in labels} == set(ACTIONS)
    assert len(ACTIONS) >= 8
    assert len({who for who, _ in labels}) == 40
    assert set(labels.values()) == {1, 2}


def test_people_frames_and_images(recorded):
    people = Counter(item.people for item in recorded.sequences)
    assert set(people) == {1, 2, 3, 4}
    frames = [item.frames for item in recorded.sequences]
    assert min(frames) >= 40
    assert max(frames) <= 300
    assert len({item.image_shape for item in recorded.sequences}) == 3
    fighting = recorded.sequences.classes.index("fighting")
    assert all(item.people >= 2 for item in recorded.sequences if item.label == fighting)


def test_joints_lie_in_the_image_and_most_are_seen(recorded):
    for item in recorded.sequences:
        size = np.array(item.image_shape[::-1])
        assert (item.keypoints >= 0).all()
        assert (item.keypoints <= size).all()
        unseen = item.visibility == 0
        assert not item.keypoints[unseen].any()
        assert item.keypoints[~unseen].any(axis=-1).all()
    shares = [float((item.visibility > 0).mean()) for item in recorded.sequences]
    assert 0.8 < np.mean(shares) < 0.97
    assert min(shares) > 0.3


def test_whole_subjects_are_held_out(recorded):
    train, test = recorded.part("train"), recorded.part("test")
    assert not set(train.subjects) & set(test.subjects)
    assert len(train) + len(test) == 480
    assert set(test.labels) == set(range(len(ACTIONS)))
    split = cut(recorded)
    assert set(split.test.subjects) == set(test.subjects)
    assert split.warnings == ()


def test_the_smallest_count_can_be_cut_and_a_smaller_one_is_refused():
    split = cut(generate(40))
    assert {len(part) for part in split.sets().values()} == {8, 24}
    with pytest.raises(UsageError, match="too few"):
        generate(39)


# On the floor, limbs that would reach into it are laid on it and shorten.
@pytest.mark.parametrize("action", [action for action in ACTIONS if action not in ("falling", "lying")])
def test_bones_keep_their_length_while_upright(action):
    for seed in range(5):
        _, joints = acted(action, seed)
        for end, start in RIGID:
            lengths = np.linalg.norm(joints[:, end] - joints[:, start], axis=1)
            np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6)


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_sinks_into_the_floor_or_floats(action):
    for seed in range(5):
        body, joints = acted(action, seed)
        assert joints[:, :, 2].min() >= 0
        assert joints[:, :, 2].min(axis=1).max() < 0.3
        assert joints[:, :, 2].max() < 1.4 * body.height
        steps = np.linalg.norm(np.diff(joints, axis=0), axis=2)
        assert steps.max() * 30 < 25  # metres per second, of a fist


def head(joints):
    return joint(joints, "nose")[:, 2]


def test_what_makes_each_action():
    """Means over several seeds, so that one odd draw decides nothing."""
    seeds = range(8)
    for seed in seeds:
        assert head(acted("lying", seed)[1]).max() < 0.9
        falls, sits = acted("falling", seed)[1], acted("sitting_down", seed)[1]
        assert head(falls)[0] > 1.1
        assert head(falls)[-1] < 0.7
        assert head(sits)[0] > 1.1
        assert 0.3 < joint(sits, "left_hip")[-1, 2] < 0.75
        assert joint(sits, "left_hip")[0, 2] > 0.7
    speed = {
        action: np.mean([_speed(acted(action, seed)[1]) for seed in seeds])
        for action in ("standing", "walking", "running")
    }
    assert speed["standing"] < 0.2
    assert 0.8 < speed["walking"] < 1.9
    assert speed["running"] > 1.9
    drop = {
        action: np.mean([-np.diff(head(acted(action, seed)[1])).min() * 30 for seed in seeds])
        for action in ("sitting_down", "falling")
    }
    assert drop["falling"] > 2 * drop["sitting_down"]
    turns = {
        action: np.mean([_hand_turns(acted(action, seed)[1]) for seed in seeds]) for action in ("standing", "waving")
    }
    assert turns["waving"] > turns["standing"] + 2


def _speed(joints):
    middle = joints[:, 11:13, :2].mean(axis=1)
    return np.linalg.norm(np.diff(middle, axis=0), axis=1).mean() * 30


def _hand_turns(joints):
    """How often the busier hand changes direction with some way (10 cm) behind it."""
    counts = []
    for side in ("left", "right"):
        way = joint(joints, f"{side}_wrist") - joint(joints, f"{side}_elbow")
        main = np.linalg.svd(way - way.mean(axis=0), full_matrices=False)[2][0]
        along, last, turns, direction = way @ main, (way @ main)[0], 0, 0
        for value in along:
            if abs(value - last) > 0.1:
                turns += direction not in (0, np.sign(value - last))
                direction, last = np.sign(value - last), value
        counts.append(turns)
    return max(counts)


def test_left_is_left_and_forward_is_forward(generator):
    pose = Pose.zero(2)
    pose.elbow[0] = np.pi / 2
    joints = joints_of(Body.draw(generator), pose, np.array([0, 0.1]))
    assert joint(joints, "left_shoulder")[0, 1] > joint(joints, "right_shoulder")[0, 1]
    assert joint(joints, "nose")[0, 0] > joint(joints, "left_ear")[0, 0]
    assert joint(joints, "left_wrist")[0, 0] > joint(joints, "right_wrist")[0, 0] + 0.1


def test_the_camera_keeps_actors_in_the_picture_upright_and_right_way_round():
    _, joints = acted("standing")
    for seed in range(20):
        pixels, (height, width) = film(joints[None], 1, np.random.default_rng(seed))
        assert pixels.min() >= 0
        assert pixels[..., 0].max() <= width
        assert pixels[..., 1].max() <= height
        head_row, foot_row = pixels[0, :, 0, 1].mean(), pixels[0, :, 15:17, 1].mean()
        assert head_row < foot_row
    # Three points on the floor that turn left seen from above turn left in the picture too; a mirror would not.
    floor = np.zeros((1, 1, 17, 3))
    floor[0, 0, 1], floor[0, 0, 2] = (1, 0, 0), (0, 1, 0)
    for seed in range(20):
        pixels, _ = film(floor, 1, np.random.default_rng(seed))
        corner, first, second = pixels[0, 0, :3] * (1, -1)
        assert np.linalg.det(np.stack([first - corner, second - corner])) > 0


def test_a_detector_loses_joints_and_never_reports_what_is_outside(generator):
    points = np.full((1, 50, 17, 2), 50.0)
    points[:, :, 0] = -30
    points[:, :, 1:3] = 130
    points[:, :, 3:, 1] += np.arange(14)
    keypoints, scores = detect(points, (100, 100), generator)
    assert keypoints.dtype == scores.dtype == np.float32
    assert not scores[:, :, :3].any()
    assert 0.3 < (scores[:, :, 3:] > 0).mean() <= 1
    assert scores.max() <= 1
    assert keypoints[scores > 0].std() > 0


def test_curves_in_time():
    ramp = rise(100, 20, 40)
    assert ramp[:21].max() == 0
    assert ramp[60:].min() == 1
    assert (np.diff(ramp) >= 0).all()
    hill = bump(100, 50, 12)
    assert hill.argmax() == 50
    assert hill[:38].max() < 0.02


def test_a_linear_model_on_flat_windows_stays_below_three_quarters(recorded):
    sets = [recorded.part(name) for name in ("train", "test")]
    flat = [to_windows(part, WindowSpec(frames=50))[0].reshape(len(part), -1) for part in sets]
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=100, tol=1e-2))
    accuracy = linear.fit(flat[0], sets[0].labels).score(flat[1], sets[1].labels)
    assert 0.3 < accuracy < 0.75
