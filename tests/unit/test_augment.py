"""Augmentation: off means off, each change alone does what its name says, and randomness comes from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.skeleton import JOINTS, MIRROR
from recognizer.windows import WindowSpec, to_window
from training.action.augment import augmented_window
from training.action.params import AugmentParams

SPEC = WindowSpec(frames=40)
V = len(JOINTS)
OFF = {
    "crop": 0,
    "flip": 0,
    "rotation": 0,
    "scale": 0,
    "shear": 0,
    "stretch": 0,
    "shift": 0,
    "noise": 0,
    "hide": 0,
    "blink": 0,
}


def clip(frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    keypoints = random.uniform(100, 200, (2, 1, V, 2)) + random.normal(0, 3, (2, frames, V, 2)).cumsum(axis=1)
    visibility = np.ones((2, frames, V), np.float32)
    visibility[1, :20, 9] = 0
    return keypoints.astype(np.float32), visibility


def made(seed: tuple[int, ...] = (0, 1, 2), **changes: float) -> tuple[np.ndarray, np.ndarray]:
    return augmented_window(*clip(), SPEC, AugmentParams(**{**OFF, **changes}), seed)


def test_all_off_is_the_window_of_service() -> None:
    for one, other in zip(made(), to_window(*clip(), SPEC), strict=True):
        np.testing.assert_array_equal(one, other)


EVERY = {**OFF, "crop": 1, "flip": 0.5, "rotation": 20, "scale": 0.2, "shear": 0.1, "shift": 0.1, "noise": 0.02}
EVERY |= {"hide": 0.5, "blink": 0.1}


@pytest.mark.parametrize("name", list(OFF))
def test_each_change_is_switched_by_its_own_parameter(name: str) -> None:
    strength = {"crop": 1.0, "flip": 1.0, "hide": 1.0, "rotation": 20.0}.get(name, 0.2)
    changed = made(**{name: strength})
    assert any(not np.array_equal(a, b) for a, b in zip(changed, made(), strict=True))


@pytest.mark.parametrize("seed", [(0, 0, 0), (0, 3, 5), (9, 1, 1)])
def test_the_same_seed_gives_the_same_window_and_another_another(seed: tuple[int, ...]) -> None:
    first, again, other = made(seed, **EVERY), made(seed, **EVERY), made((*seed[:2], seed[2] + 1), **EVERY)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[0].tobytes() != other[0].tobytes()
    assert np.isfinite(first[0]).all()
    assert first[0].dtype == first[1].dtype == np.float32


def test_unseen_joints_stay_zero_whatever_happens() -> None:
    window, seen = made(**EVERY)
    assert not window[seen == 0].any()
    assert not window[2:].any()


def test_a_flip_swaps_left_and_right() -> None:
    plain, seen = made()
    flipped, flipped_seen = made(flip=1.0)
    np.testing.assert_allclose(flipped, plain[:, :, list(MIRROR)] * [-1, 1], atol=1e-6)
    np.testing.assert_array_equal(flipped_seen, seen[:, :, list(MIRROR)])


def test_a_rotation_keeps_distances() -> None:
    plain, seen = made()
    turned, _ = made(rotation=45.0)
    both = (seen[0, :, 5] > 0) & (seen[0, :, 15] > 0)
    lengths = [np.linalg.norm((w[0, :, 5] - w[0, :, 15])[both], axis=1) for w in (plain, turned)]
    np.testing.assert_allclose(*lengths, rtol=1e-4)


def test_a_hidden_joint_is_hidden_all_the_time_and_nobody_disappears() -> None:
    _, seen = made(hide=1.0)
    gone = np.flatnonzero(seen[0].max(axis=0) == 0)
    assert len(gone) == 1
    keypoints, visibility = clip()
    only_one = np.zeros_like(visibility)
    only_one[:, :, 3] = 1
    for index in range(60):
        _, left = augmented_window(keypoints, only_one, SPEC, AugmentParams(**{**OFF, "hide": 1.0}), (index,))
        assert left.any()


def test_a_crop_never_ends_up_where_nobody_is_seen() -> None:
    keypoints, visibility = clip(200)
    visibility[:, :160] = 0
    params = AugmentParams(**{**OFF, "crop": 1.0, "shortest": 0.05})
    assert all(augmented_window(keypoints, visibility, SPEC, params, (i,))[1].any() for i in range(60))


def test_a_clip_of_one_frame_survives() -> None:
    window, seen = augmented_window(*clip(1), SPEC, AugmentParams(**EVERY), (1,))
    assert np.isfinite(window).all()
    assert seen.any()
