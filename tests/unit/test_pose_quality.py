"""Teaching a trained network how well it places joints."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recognizer.scenes import People
from recognizer.synthetic.scenes import generate_scenes
from training.models.rtmo import Rtmo
from training.models.sizes import RtmoConfig
from training.pose.augment import together
from training.pose.params import TrainParams
from training.pose.quality import _reached, fit_quality
from training.pose.targets import collate
from training.recipe import reproducible

TINY = RtmoConfig(
    width=0.125, hidden=16, fine=16, inner=8, stride_groups=1, pose_width=16, joint_features=8, encoding=8
)
SIZE = (64, 64)
SCENES = tuple(generate_scenes(48, size=64))
PARAMS = TrainParams(epochs=1, people=8)


def network(config=TINY):
    torch.manual_seed(0)
    net = Rtmo(config)
    with torch.no_grad():
        for part in net.parameters():
            part.add_(0.1 * torch.randn_like(part))
    return net


def fitted(scenes=SCENES, config=TINY):
    with reproducible(0, 1):
        net = network(config)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        fit_quality(net, scenes, SIZE, PARAMS)
    return net, before


def test_nothing_else_learns():
    net, before = fitted()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("quality")}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_same_training_gives_the_same_weights():
    for one, other in zip(fitted()[0].quality.parameters(), fitted()[0].quality.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_comes_nearer_to_what_is_reached(monkeypatch):
    """An untrained network reaches next to nothing, and answers half at first."""
    monkeypatch.setattr("training.pose.quality.PASSES", 40)
    net, _ = fitted()
    images = torch.rand(4, 3, *SIZE)
    with torch.no_grad():
        dense = net(images)
        at = torch.arange(4), torch.arange(4)
        assert net.expected(dense, *at, net.place(dense, *at)).sigmoid().max() < 0.2


def test_a_few_pictures_are_enough():
    net, before = fitted(SCENES[:3])
    assert any(not torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_network_without_refiner_has_none():
    net, before = fitted(config=replace(TINY, refine=0))
    assert net.quality is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def person(x, crowd=False):
    joints = np.full((1, 17, 2), x, np.float32)
    box = np.array([[x - 8, x - 8, 16, 16]], np.float32)
    labelled = np.full((1, 17), 2, np.uint8)
    return People(joints, labelled, box, np.array([256], np.float32), np.array([crowd]))


@pytest.mark.parametrize(
    ("people", "at", "reached", "counts"),
    [
        (person(20.0), 20.0, 1.0, 1.0),
        (person(20.0), 60.0, 0.0, 1.0),
        (person(24.0, crowd=True), 24.0, 0.0, 0.0),  # nobody knows who is right in a crowd
        (person(48.0, crowd=True), 24.0, 0.0, 1.0),
        (together([person(24.0, crowd=True), person(22.0)]), 22.0, 1.0, 1.0),
    ],
)
def test_what_a_candidate_reaches(people, at, reached, counts):
    net = network().eval()
    with torch.no_grad():
        dense = net(torch.rand(1, 3, *SIZE))
    anchor = torch.tensor([5])  # of the 4 x 4 at stride 16: its centre is (24, 24)
    assert dense.anchors.centres[5].tolist() == [24, 24]
    found, weight = _reached(dense, collate([people]), torch.full((1, 1, 17, 2), at), anchor)
    assert found.item() == pytest.approx(reached, abs=1e-3)
    assert weight.item() == counts


def test_pictures_without_anybody():
    dense = network().eval()(torch.rand(2, 3, *SIZE))
    nobody = People(*(array[:0] for array in vars(person(20.0)).values()))
    found, weight = _reached(dense, collate([nobody, nobody]), torch.zeros(2, 3, 17, 2), torch.arange(6) % 3)
    assert found.tolist() == [0] * 6
    assert weight.tolist() == [1] * 6
