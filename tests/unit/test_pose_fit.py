"""Fitting the network that finds people: it learns, and the same training gives the same weights."""

import numpy as np
import pytest
import torch

from recognizer.errors import TrainingError
from recognizer.scenes import People
from training.action.fit import reproducible
from training.models.rtmo import Rtmo
from training.models.sizes import RtmoConfig
from training.pose.fit import FitParams, fit
from training.pose.targets import collate

TINY = RtmoConfig(
    width=0.125,
    hidden=16,
    fine=16,
    inner=8,
    feedforward=16,
    attention_heads=2,
    stride_groups=1,
    pose_width=16,
    joint_features=8,
    encoding=8,
    bins=(12, 16),
    refine_features=4,
)


def somebody(generator):
    corner = generator.uniform(0, 48, 2)
    joints = (corner + generator.uniform(0, 80, (1, 17, 2))).astype(np.float32)
    box = np.array([[*corner, 80, 80]], np.float32)
    return People(joints, np.full((1, 17), 2, np.uint8), box, np.full(1, 3200, np.float32), np.zeros(1, bool))


class Batches:
    """Two batches of two images an epoch, the same ones in each; remembers what it was asked for."""

    def __init__(self, broken=False):
        generator = np.random.default_rng(0)
        self.asked = []
        people = [[somebody(generator), somebody(generator)], [somebody(generator), People.nobody()]]
        scale = float("nan") if broken else 1.0
        self.content = [(torch.rand(2, 3, 128, 128) * scale, collate(part)) for part in people]

    def __call__(self, epoch, mixed):
        self.asked.append((epoch, mixed))
        return self.content


def run(epochs=2, **changes):
    with reproducible(0, 1):
        batches = Batches(broken=changes.pop("broken", False))
        params = FitParams(epochs=epochs, plain_epochs=1, learning_rate=2e-3, average=0.5, **changes)
        network, history = fit(Rtmo(TINY), batches, 2 * epochs, params)
    return network, history, batches


def test_the_same_training_gives_the_same_weights():
    first, second = run(), run()
    assert first[1] == second[1]
    for (name, one), other in zip(first[0].state_dict().items(), second[0].state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert first[2].asked == [(0, True), (1, False)]  # images are not mixed at the end


def test_it_learns():
    _, history, _ = run(epochs=12)
    assert len(history) == 12
    assert history[-1]["total"] < history[0]["total"] - 1
    assert history[-1]["bins"] < history[0]["bins"]


def test_a_loss_that_is_no_number_ends_it():
    with pytest.raises(TrainingError, match="epoch 1"):
        run(broken=True)
