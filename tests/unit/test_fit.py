"""The pure parts of fitting: schedule, order of the clips, temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.windows import WindowSpec, to_windows
from training.action.calibration import best_temperature
from training.action.dataset import PlainBatches, TrainingBatches
from training.action.params import AugmentParams
from training.recipe import blend, linear_decay, one_cycle, reproducible

SPEC = WindowSpec(frames=8, people=2)


def clips(count: int) -> SequenceSet:
    random = np.random.default_rng(0)
    return SequenceSet(
        ("a", "b"),
        tuple(
            SkeletonSequence(
                f"c{i}",
                random.uniform(0, 100, (1, 5, 17, 2)).astype(np.float32),
                np.ones((1, 5, 17), np.float32),
                i % 2,
                None,
                (100, 100),
            )
            for i in range(count)
        ),
    )


def epoch(number: int, *, seed: int = 0, count: int = 11) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    return list(TrainingBatches(clips(count), SPEC, AugmentParams(rotation=10), 4, seed, number))


@pytest.mark.parametrize(
    ("step", "steps", "warm_up", "factor"),
    [
        (0, 10, 0.2, 0.5),
        (1, 10, 0.2, 1.0),
        (2, 10, 0.2, 1.0),
        (6, 10, 0.2, 0.5),
        (10, 10, 0.2, 0.0),
        (0, 1, 0.2, 1.0),
        (0, 4, 0.0, 1.0),
        (3, 4, 1.0, 1.0),
    ],
)
def test_the_learning_rate_rises_and_falls(step: int, steps: int, warm_up: float, factor: float) -> None:
    for course in (one_cycle, linear_decay):
        assert course(step, steps=steps, warm_up=warm_up) == pytest.approx(factor)


@pytest.mark.parametrize(("course", "factors"), [(one_cycle, (0.8536, 0.1464)), (linear_decay, (0.75, 0.25))])
def test_the_learning_rate_falls_as_a_cosine_or_evenly(course, factors):
    assert [course(step, steps=9, warm_up=0.0) for step in (3, 7)] == pytest.approx(factors, abs=1e-4)


def test_the_average_soon_forgets_where_it_began_and_then_is_slow() -> None:
    average = [torch.ones(2), torch.tensor(0)]
    for done in range(100):
        blend(average, [torch.full((2,), 1e-4), torch.tensor(done)], done, decay=0.98)
    assert average[0].tolist() == pytest.approx([1e-4, 1e-4], rel=1e-3)
    assert int(average[1]) == 99
    blend(average, [torch.ones(2), torch.tensor(0)], 10_000, decay=0.98)
    assert average[0].tolist() == pytest.approx([0.02, 0.02], rel=0.01)


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_an_epoch_shows_every_clip_once(count: int) -> None:
    batches = epoch(0, count=count)
    assert sum(len(labels) for _, _, labels in batches) == count
    assert len(batches) == len(TrainingBatches(clips(count), SPEC, AugmentParams(), 4, 0, 0))
    labels = torch.cat([labels for _, _, labels in batches])
    assert sorted(labels.tolist()) == sorted(clips(count).labels.tolist())


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    first, again, next_one, other = epoch(3), epoch(3), epoch(4), epoch(3, seed=1)
    for one, two in zip(first, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(first[0][0], next_one[0][0])
    assert not torch.equal(first[0][0], other[0][0])


def test_validation_sees_windows_as_in_service_and_in_order() -> None:
    keypoints, visibility, labels = (torch.cat(side) for side in zip(*PlainBatches(clips(9), SPEC, 4), strict=True))
    expected = to_windows(clips(9), SPEC)
    np.testing.assert_array_equal(keypoints.numpy(), expected[0])
    np.testing.assert_array_equal(visibility.numpy(), expected[1])
    assert labels.tolist() == clips(9).labels.tolist()


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_temperature_that_was_applied_is_found(true: float) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (20_000, 4))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(4, p=row) for row in scores])
    assert best_temperature(logits * true, labels) == pytest.approx(true, rel=0.05)


def test_perfect_answers_do_not_make_a_model_infinitely_sure() -> None:
    logits = np.eye(3)[[0, 1, 2]] * 5
    assert best_temperature(logits, np.array([0, 1, 2])) == pytest.approx(0.2, abs=0.01)


def test_what_was_fixed_for_a_training_is_given_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    with reproducible(seed=5, threads=1):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
        first = torch.rand(3)
    with reproducible(seed=5, threads=1):
        assert torch.equal(torch.rand(3), first)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
