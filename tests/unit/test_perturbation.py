"""Changes to a recording: what each does, what it leaves alone, and what the window makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.errors import UsageError
from recognizer.perturbation import drop_joint, mirror, scale, shift, thin
from recognizer.sequences import SkeletonSequence
from recognizer.skeleton import JOINTS, MIRROR
from recognizer.synthetic import generate
from recognizer.windows import WindowSpec, to_window

SPEC = WindowSpec()
CHANGES = {
    "shift": lambda sequence: shift(sequence, right=0.1, down=-0.05),
    "scale": lambda sequence: scale(sequence, 0.5),
    "mirror": mirror,
    "drop_joint": lambda sequence: drop_joint(sequence, "left_ear"),
    "thin": thin,
}


@pytest.fixture(scope="module")
def recorded():
    """Sixteen synthetic recordings: up to four people, joints lost now and then."""
    return generate(40, seed=4).sequences.sequences[:16]


def sequence(points=((10, 20), (0, 0), (30, 40)), *, image=(100, 200)):
    """One person in as many frames as points, whose nose is there; a nose at (0, 0) and all other joints are unseen."""
    keypoints = np.zeros((1, len(points), len(JOINTS), 2), np.float32)
    keypoints[0, :, 0] = points
    visibility = np.where(keypoints.any(axis=-1), 0.5, 0).astype(np.float32)
    return SkeletonSequence("case", keypoints, visibility, 3, "p1", image)


@pytest.mark.parametrize(
    ("change", "nose", "image"),
    [
        (lambda s: shift(s, right=0.1, down=0.2), [(30, 40), (0, 0), (50, 60)], (100, 200)),
        (lambda s: shift(s, right=-0.1, down=0), [(-10, 20), (0, 0), (10, 40)], (100, 200)),
        (lambda s: scale(s, 2.0), [(20, 40), (0, 0), (60, 80)], (200, 400)),
        (lambda s: scale(s, 0.001), [(0.01, 0.02), (0, 0), (0.03, 0.04)], (1, 1)),
        (mirror, [(190, 20), (0, 0), (170, 40)], (100, 200)),
        (lambda s: drop_joint(s, "nose"), [(0, 0)] * 3, (100, 200)),
        (lambda s: drop_joint(s, "left_ear"), [(10, 20), (0, 0), (30, 40)], (100, 200)),
        (thin, [(10, 20), (30, 40)], (100, 200)),
        (lambda s: thin(s, step=1), [(10, 20), (0, 0), (30, 40)], (100, 200)),
        (lambda s: thin(s, step=9), [(10, 20)], (100, 200)),
    ],
)
def test_by_hand(change, nose, image):
    made = change(sequence())
    np.testing.assert_allclose(made.keypoints[0, :, 0], nose, rtol=1e-6)
    assert not made.keypoints[0, :, 1:].any()
    assert made.image_shape == image
    assert made.keypoints.dtype == made.visibility.dtype == np.float32


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_who_and_what_stay_and_the_given_sequence_is_left_alone(change, recorded):
    for before in recorded:
        keypoints, visibility = before.keypoints.copy(), before.visibility.copy()
        after = change(before)
        assert (after.name, after.label, after.subject) == (before.name, before.label, before.subject)
        assert after.people == before.people
        assert not after.keypoints[after.visibility == 0].any()
        np.testing.assert_array_equal(before.keypoints, keypoints)
        np.testing.assert_array_equal(before.visibility, visibility)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: shift(s, right=0.3, down=0.2),
        lambda s: shift(s, right=-2, down=0),
        lambda s: scale(s, 0.25),
        lambda s: scale(s, 3.0),
    ],
)
def test_the_window_does_not_notice_place_and_size(change, recorded):
    for before in recorded:
        after = change(before)
        (window, seen), (other, still) = (to_window(s.keypoints, s.visibility, SPEC) for s in (before, after))
        np.testing.assert_allclose(other, window, atol=1e-4)
        np.testing.assert_array_equal(still, seen)


def test_a_mirror_in_a_mirror_shows_the_recording(recorded):
    for before in recorded:
        again = mirror(mirror(before))
        np.testing.assert_allclose(again.keypoints, before.keypoints, atol=1e-3)
        np.testing.assert_array_equal(again.visibility, before.visibility)


def test_the_window_of_a_mirrored_recording_is_the_mirrored_window(recorded):
    for before in recorded:
        after, order = mirror(before), list(MIRROR)
        (window, seen), (other, still) = (to_window(s.keypoints, s.visibility, SPEC) for s in (before, after))
        np.testing.assert_allclose(other, window[:, :, order] * (-1, 1), atol=1e-4)
        np.testing.assert_array_equal(still, seen[:, :, order])


@pytest.mark.parametrize("joint", JOINTS)
def test_one_joint_goes_and_the_others_stay(joint, recorded):
    index, others = JOINTS.index(joint), [name != joint for name in JOINTS]
    for before in recorded:
        after = drop_joint(before, joint)
        assert not after.visibility[:, :, index].any()
        assert not after.keypoints[:, :, index].any()
        np.testing.assert_array_equal(after.keypoints[:, :, others], before.keypoints[:, :, others])
        np.testing.assert_array_equal(after.visibility[:, :, others], before.visibility[:, :, others])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: scale(s, 0), "0 times as large"),
        (lambda s: scale(s, -1.5), "-1.5 times"),
        (lambda s: drop_joint(s, "left_hand"), "no joint is called 'left_hand'"),
        (lambda s: thin(s, step=0), "every 0th frame"),
    ],
)
def test_what_makes_no_sense_is_refused(change, says):
    with pytest.raises(UsageError, match=says) as caught:
        change(sequence())
    assert caught.value.hint
