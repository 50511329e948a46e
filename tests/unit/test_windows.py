"""Windows: any number of people and frames in, one fixed finite form out."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError
from recognizer.sequences import SkeletonSequence
from recognizer.skeleton import JOINTS
from recognizer.windows import WindowSpec, to_window, to_windows

SPEC = WindowSpec()
V = len(JOINTS)


def person(frames: int, *, at: tuple[float, float] = (300.0, 200.0), size: float = 1.0, seed: int = 0) -> np.ndarray:
    """(frames, 17, 2): somebody who stands at `at` and moves the left hand."""
    random = np.random.default_rng(seed)
    points = random.uniform(-40, 40, (V, 2))
    points[5], points[6], points[11], points[12] = (20, 0), (-20, 0), (15, 60), (-15, 60)
    moving = np.repeat(points[None], frames, axis=0)
    moving[:, 9, 1] = 50 * np.sin(np.linspace(0, 6, frames))
    return (moving * size + at).astype(np.float32)


@pytest.mark.parametrize(("people", "frames"), [(1, 1), (1, 2), (2, 99), (4, 100), (9, 1000), (0, 5)])
def test_every_number_of_people_and_frames_gives_one_shape(people: int, frames: int) -> None:
    keypoints = np.stack([person(frames, seed=i) for i in range(people)]) if people else np.zeros((0, frames, V, 2))
    window, seen = to_window(keypoints, np.ones((people, frames, V), np.float32), SPEC)
    assert window.shape == (4, 100, V, 2)
    assert seen.shape == (4, 100, V)
    assert window.dtype == seen.dtype == np.float32
    assert (seen.max(axis=(1, 2)) > 0).sum() == min(people, 4)
    assert np.isfinite(window).all()


def test_place_and_size_in_the_picture_do_not_matter() -> None:
    visibility = np.ones((1, 30, V), np.float32)
    near, _ = to_window(person(30)[None], visibility, SPEC)
    far, _ = to_window(person(30, at=(50, 400), size=0.25)[None], visibility, SPEC)
    np.testing.assert_allclose(near, far, atol=1e-4)


def test_the_torso_is_one_long_and_the_shoulders_are_in_the_middle() -> None:
    window, _ = to_window(person(30)[None], np.ones((1, 30, V), np.float32), SPEC)
    np.testing.assert_allclose(window[0, :, 5:7].mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(window[0, 0, 11:13].mean(axis=0), (0, 1), atol=1e-5)


def test_walking_through_the_picture_stays_visible() -> None:
    walking = person(50) + np.linspace(0, 200, 50, dtype=np.float32)[:, None, None] * np.array([1, 0], np.float32)
    window, _ = to_window(walking[None], np.ones((1, 50, V), np.float32), SPEC)
    assert window[0, -1, 0, 0] - window[0, 0, 0, 0] > 3


@pytest.mark.parametrize("hidden", [[], [11, 12], [5], [5, 6], [5, 6, 11, 12], list(range(1, V)), list(range(V))])
def test_hidden_joints_are_zero_and_nothing_is_nan(hidden: list[int]) -> None:
    visibility = np.ones((2, 20, V), np.float32)
    visibility[:, :, hidden] = 0
    keypoints = np.stack([person(20), person(20, seed=1)])
    keypoints[:, :, hidden] = 0
    window, seen = to_window(keypoints, visibility, SPEC)
    assert np.isfinite(window).all()
    assert not window[:, :, hidden].any()
    assert not window[seen == 0].any()
    assert np.abs(window).max() <= SPEC.limit


def test_the_keypoint_of_an_unseen_joint_is_ignored() -> None:
    visibility = np.ones((1, 20, V), np.float32)
    visibility[:, 5:10, 9] = 0
    clean = person(20)[None]
    dirty = clean.copy()
    dirty[:, 5:10, 9] = (np.nan, np.inf)
    clean[:, 5:10, 9] = 0
    for one, other in zip(to_window(clean, visibility, SPEC), to_window(dirty, visibility, SPEC), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_joint_that_is_not_finite_counts_as_unseen() -> None:
    keypoints = person(100)[None]
    keypoints[0, 40, 3] = np.nan
    window, seen = to_window(keypoints, np.ones((1, 100, V), np.float32), SPEC)
    assert seen[0, 40, 3] == 0
    assert np.isfinite(window).all()


def test_the_most_visible_people_are_kept_in_order_of_visibility() -> None:
    visibility = np.zeros((6, 10, V), np.float32)
    for index, joints in enumerate([3, 17, 0, 9, 12, 5]):
        visibility[index, :, :joints] = 1
    keypoints = np.stack([person(10, seed=i) for i in range(6)])
    _, seen = to_window(keypoints, visibility, SPEC)
    assert [int(slot[0].sum()) for slot in seen] == [17, 12, 9, 5]


def test_between_two_frames_a_joint_is_interpolated_only_when_both_saw_it() -> None:
    keypoints = person(2)[None]
    visibility = np.ones((1, 2, V), np.float32)
    visibility[0, 1, 9] = 0
    window, seen = to_window(keypoints, visibility, WindowSpec(frames=5))
    np.testing.assert_array_equal(seen[0, :, 9] > 0, [True, True, True, False, False])
    np.testing.assert_allclose(window[0, 2, 0], (window[0, 0, 0] + window[0, 4, 0]) / 2, atol=1e-5)
    np.testing.assert_array_equal(window[0, 0, 9], window[0, 2, 9])


def test_it_is_deterministic_and_leaves_its_input_alone() -> None:
    keypoints, visibility = np.stack([person(77), person(77, seed=3)]), np.ones((2, 77, V), np.float32)
    before = keypoints.copy()
    first, second = to_window(keypoints, visibility, SPEC)[0], to_window(keypoints, visibility, SPEC)[0]
    assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(keypoints, before)


@pytest.mark.parametrize(
    ("keypoints", "visibility"),
    [
        ((1, 0, 17, 2), (1, 0, 17)),
        ((1, 5, 16, 2), (1, 5, 16)),
        ((1, 5, 17, 3), (1, 5, 17)),
        ((5, 17, 2), (5, 17)),
        ((1, 5, 17, 2), (1, 6, 17)),
    ],
)
def test_wrong_shapes_are_refused(keypoints: tuple[int, ...], visibility: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"do not fit|at least 1 frame"):
        to_window(np.zeros(keypoints, np.float32), np.zeros(visibility, np.float32), SPEC)


def test_windows_of_many_sequences_are_stacked() -> None:
    sequences = [
        SkeletonSequence(f"s{n}", np.stack([person(n)] * (n % 3 + 1)), np.ones((n % 3 + 1, n, V)), 0, None, (480, 640))
        for n in (3, 50, 200)
    ]
    windows, seen = to_windows(sequences, SPEC)
    assert windows.shape == (3, 4, 100, V, 2)
    assert seen.shape == (3, 4, 100, V)
    np.testing.assert_array_equal(windows[1], to_window(sequences[1].keypoints, sequences[1].visibility, SPEC)[0])
    assert to_windows([], SPEC)[0].shape == (0, 4, 100, V, 2)


def test_a_spec_survives_its_json_form() -> None:
    spec = WindowSpec(frames=50, people=2, shoulder_factor=1.5)
    assert WindowSpec.from_dict(spec.as_dict()) == spec


@pytest.mark.parametrize("content", [{"frames": 0}, {"people": -1}, {"sampling": 3}, {"frames": "many"}, {"limit": 0}])
def test_a_spec_that_cannot_be_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        WindowSpec.from_dict(content)
