"""What the network that finds people is taught by."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recognizer.scenes import People
from training.models.coordinate_classifier import Bins, V
from training.models.instance_maps import Maps
from training.models.rtmo import Rtmo
from training.models.sizes import RtmoConfig
from training.pose.assign import Assignment, AssignParams
from training.pose.heat import heat_loss
from training.pose.loss import (
    bins_loss,
    distance_loss,
    joint_weights,
    losses,
    maps_loss,
    score_loss,
    visibility_loss,
)
from training.pose.params import LossParams
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
    joint_expansion=1,
    refine=2,
    region=(2, 3),
    region_features=3,
    region_inner=6,
    map_features=6,
    refine_features=4,
)
WEIGHTS = LossParams()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()  # several threads that wait for each other cost more than these networks
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def person(x=20.0, y=20.0, size=64.0, crowd=False, labelled=2, seed=0):
    places = np.random.default_rng(seed).uniform(0, size, (1, V, 2)) + np.array((x, y))
    return People(
        places.astype(np.float32),
        np.full((1, V), labelled, np.uint8),
        np.array([[x, y, size, size]], np.float32),
        np.array([size * size / 2], np.float32),
        np.array([crowd]),
    )


def run(*people, seed=0, config=TINY, weights=WEIGHTS):
    torch.manual_seed(seed)
    net = Rtmo(config)
    dense = net(torch.rand(len(people), 3, 128, 128))
    total, parts = losses(net, dense, collate(people), weights, AssignParams())
    total.backward()
    return net, total, parts


def test_all_losses_are_finite_and_teach():
    net, total, parts = run(person(), person(40, 30, 50), person(70, 70, 30), person(10, 60, 24))
    names = set(LossParams.model_fields) - {"hidden", "power", "unlabelled_is_hidden"}
    assert set(parts) == names
    assert total.item() == pytest.approx(sum(parts.values()).item(), rel=1e-5)
    for name, part in net.named_parameters():
        # Refiner, region and second look begin with zeros at their end, so that at first only these learn; quality is
        # taught later.
        part_of = name.partition(".")[0]
        if (
            part_of == "quality"
            or {"refiner": "moves", "region": "more", "second_look": "more"}.get(part_of, "") not in name
        ):
            continue
        assert part.grad is not None, name
        assert torch.isfinite(part.grad).all(), name
        assert part.grad.abs().sum() > 0 or "bias" in name, name


def test_what_the_classifier_expects_is_taught_by_no_loss():
    """OKS and distance of that place would reach the layers that tell bins apart; likelihood does."""
    people = (person(), person(40, 30, 50))
    nets = [run(*people, weights=LossParams(oks=by, distance=by))[0] for by in (1.0, 1000.0)]
    for along in ("along_x", "along_y"):
        one, other = (getattr(net.classifier, along).weight.grad for net in nets)
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)
    assert nets[1].refiner.moves[0].weight.grad.norm() > 100 * nets[0].refiner.moves[0].weight.grad.norm()


def test_without_refiner_the_joints_told_directly_have_oks_and_distance_to_themselves():
    net, total, parts = run(person(), person(40, 30, 50), config=replace(TINY, refine=0))
    assert torch.isfinite(total)
    assert {"proxy", "bins", "distance"} < set(parts)
    assert not {"oks", "maps"} & set(parts)
    assert net.heads[0].proxies.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("people", [People.nobody(), person(crowd=True), person(labelled=0)])
def test_images_without_people_teach_where_nobody_is(people):
    net, total, parts = run(people, people)
    assert set(parts) == {"score", "heat"}
    assert total.item() > 0
    assert net.classifier.split.weight.grad is None
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_one_person_in_the_whole_batch():
    _, total, _ = run(person(), People.nobody())
    assert torch.isfinite(total)


def test_a_crowd_over_everything_teaches_nothing():
    net, total, _ = run(person(-1, -1, 130, crowd=True))
    assert total.item() == 0
    assert not any(p.grad.any() for p in net.parameters() if p.grad is not None)


def test_where_an_unlabelled_joint_is_does_not_matter():
    one, other = person(), person()
    for each in (one, other):
        each.labelled[0, 3:9] = 0
    other.joints[0, 3:9] = 1000.0
    assert run(one)[1].item() == run(other)[1].item()


def test_the_same_twice():
    first, second = run(person(), person(8, 8, 90)), run(person(), person(8, 8, 90))
    for one, other in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert one.grad is None or torch.equal(one.grad, other.grad)


def _pairs(ignored, *at):
    images, anchors = torch.tensor(at, dtype=torch.long).reshape(-1, 2).T
    return Assignment(images, anchors, torch.zeros_like(images), torch.tensor(ignored), torch.ones_like(images) > 0)


@pytest.mark.parametrize(
    ("logit", "wanted", "positive", "ignored", "expected"),
    [
        (0.0, 0.0, False, False, 0.75 * 0.25 * math.log(2)),
        (0.0, 0.8, True, False, 0.8 * math.log(2)),
        (0.0, 0.0, True, False, 0.0),  # to find somebody, but far off as yet
        (3.0, 0.0, False, True, 0.0),
    ],
)
def test_varifocal_loss_by_hand(logit, wanted, positive, ignored, expected):
    pairs = _pairs([[ignored]], *([(0, 0)] if positive else []))
    loss = score_loss(torch.tensor([[logit]]), torch.tensor([[wanted]]), pairs)
    assert loss.item() == pytest.approx(expected)


def _bins(x, places, deviation=0.1):
    """One person, of whom all joints have these logits over x and y."""
    logits = torch.tensor(x).expand(1, V, len(x))
    where = torch.tensor([places])
    return Bins(logits, logits, where, where, torch.full((1, V), deviation), logits)


@pytest.mark.parametrize(
    ("logits", "truth", "expected"),
    [
        ((100.0, 0.0), 0.0, math.log(0.1)),  # sure and right
        ((0.0, 0.0), 0.0, math.log(0.1) + math.log(2) - math.log1p(math.exp(-20 / 2))),
        ((100.0, 0.0), 20.0, math.log(0.1) + 20 / (2 * 0.1 * 10)),  # sure and wrong
    ],
)
def test_likelihood_of_bins_by_hand(logits, truth, expected):
    joints = torch.full((1, V, 2), truth)
    loss = bins_loss(_bins(logits, (0.0, 20.0)), joints, torch.ones(1, V), torch.tensor([100.0]))
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_likelihood_far_outside_the_bins_is_finite():
    joints = torch.full((1, V, 2), 1e6)
    loss = bins_loss(_bins((1.0, 2.0), (0.0, 20.0), 1e-3), joints, torch.ones(1, V), torch.tensor([1.0]))
    assert torch.isfinite(loss)


def _maps(w=10, h=8):
    """Of one person, with nothing to choose a cell by."""
    totals = torch.full((1, V), math.log(w * h))
    return Maps(
        joints=torch.zeros(1, V, 2),
        peak=totals,
        total=totals,
        queries=torch.zeros(1, V, 3),
        keys=torch.zeros(1, 3, h, w),
        rows=torch.zeros(1, V, h),
        columns=torch.zeros(1, V, w),
    )


@pytest.mark.parametrize(
    ("place", "weight", "taught"),
    [
        ((40.0, 40.0), 1.0, True),
        ((40.0, 40.0), 0.0, False),
        ((0.0, 64.0), 1.0, True),  # the picture's edge
        ((70.0, 70.0), 1.0, False),  # outside, as pictures of 10 x 8 cells are 80 wide and 64 high
        ((81.0, 40.0), 1.0, False),
        ((40.0, -0.5), 1.0, False),
    ],
)
def test_maps_are_taught_where_joints_are_in_the_picture(place, weight, taught):
    joints = torch.full((1, V, 2), 40.0)
    joints[0, 5] = torch.tensor(place)
    teaches = torch.zeros(1, V)
    teaches[0, 5] = weight
    maps = _maps()
    maps.total[0, 6:] = 1e6  # of joints that teach nothing
    expected = math.log(80) if taught else 0.0
    assert maps_loss([maps], torch.tensor([0]), joints, teaches).item() == pytest.approx(expected)


def test_maps_are_taught_by_the_mean_of_all_looks():
    torch.manual_seed(0)
    one, other = (
        _maps()._replace(queries=torch.randn(1, V, 3), keys=torch.ones(1, 3, 8, 10), total=torch.rand(1, V))
        for _ in range(2)
    )
    given = torch.tensor([0]), torch.full((1, V, 2), 40.0), torch.ones(1, V)
    alone = [maps_loss([look], *given) for look in (one, other)]
    assert abs(alone[0] - alone[1]) > 0.01
    torch.testing.assert_close(maps_loss([one, other], *given), sum(alone) / 2)


def test_hidden_joints_teach_less_and_those_without_label_nothing():
    assert joint_weights(torch.tensor([[0, 1, 2]]), 0.5).tolist() == [[0.0, 0.5, 1.0]]


def test_each_part_is_a_mean_by_how_much_joints_teach():
    """One that is right and one that is wrong and teaches a third as much: a quarter of the loss of the wrong one."""
    guess, joints, areas = torch.zeros(1, V, 2), torch.zeros(1, V, 2), torch.tensor([100.0])
    joints[0, 6] = 20.0
    both, wrong = torch.zeros(1, V), torch.zeros(1, V)
    both[0, 5], both[0, 6], wrong[0, 6] = 0.3, 0.1, 0.1  # less than one joint in all
    alone, together = (distance_loss(guess, joints, teaches, areas) for teaches in (wrong, both))
    assert together.item() == pytest.approx(alone.item() / 4, rel=2e-3)  # a guess that is right is 1e-3 off
    bins = _bins((100.0, 0.0), (0.0, 20.0))
    right = math.log(0.1)
    alone, together = (bins_loss(bins, joints, teaches, areas) - right for teaches in (wrong, both))
    assert together.item() == pytest.approx(alone.item() / 4, rel=1e-3)


def test_less_is_learned_from_hidden_joints_when_they_are_to_teach_less():
    def change(hidden, labelled):
        """What moving the truth of half of the joints changes in each part."""
        parts = []
        for off in (0.0, 40.0):
            some = person()
            some.labelled[0, :9] = labelled
            some.joints[0, :9] += off
            parts.append(run(some, weights=LossParams(hidden=hidden))[2])
        return {name: abs(parts[1][name] - parts[0][name]).item() for name in ("bins", "maps", "distance")}

    little, much, seen = change(0.1, 1), change(1.0, 1), change(0.1, 2)
    for name, changed in much.items():
        assert little[name] < changed / 2, name
        assert seen[name] == pytest.approx(changed, rel=1e-4), name


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_distance_counts_joints_that_teach(weight):
    guess, joints = torch.zeros(1, V, 2), torch.zeros(1, V, 2)
    teaches = torch.zeros(1, V)
    teaches[0, 5] = weight
    joints[0, 5, 0] = 2 * 0.079 * 10
    loss = distance_loss(guess, joints, teaches, torch.tensor([100.0]))
    assert loss.item() == pytest.approx(math.log(2) if weight else 0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "unlabelled_is_hidden", "expected"),
    [
        ([100.0, -100.0, 0.0], [2, 1, 0], False, 0.0),
        ([100.0, -100.0, 0.0], [2, 1, 0], True, math.log(2) / 3),
        ([-10.0, -100.0, 0.0], [2, 1, 0], False, 5.0),
        ([0.0, 0.0, 0.0], [0, 0, 0], False, 0.0),
    ],
)
def test_visibility_by_hand(logits, labels, unlabelled_is_hidden, expected):
    loss = visibility_loss(torch.tensor([logits]), torch.tensor([labels]), unlabelled_is_hidden)
    assert loss.item() == pytest.approx(expected, abs=1e-3)


def heat(people, *joints, height=8.0):
    """Loss of maps of 16 x 16 cells that are sure of these (joint, column, row), and of nothing else."""
    logits = torch.full((1, V, 16, 16), -height)
    for joint, column, row in joints:
        logits[0, joint, row, column] = height
    return float(heat_loss(logits, collate([people])))


def test_heat_is_where_a_joint_is():
    who = person()
    right = [(joint, int(x // 8), int(y // 8)) for joint, (x, y) in enumerate(who.joints[0])]
    wrong = [(joint, 15 - column, 15 - row) for joint, column, row in right]
    assert heat(who, *right) < 0.01
    assert heat(who) > 5
    assert heat(who, *wrong) > heat(who, *right[1:]) > 0.2


def test_heat_close_by_is_less_wrong_than_far_away():
    who = person(size=96)
    joint, (x, y) = 12, who.joints[0, 12]
    near, far = (joint, int(x // 8) + 1, int(y // 8)), (joint, (int(x // 8) + 8) % 16, int(y // 8))
    assert heat(who, near) < heat(who, far)


def test_heat_is_not_asked_for_where_somebody_is_ignored():
    crowd = person(x=16, y=16, crowd=True)
    assert heat(crowd, (3, 4, 4)) < 0.01 < heat(crowd, (3, 14, 14))
    assert heat(person(labelled=0)) < 0.01


def test_heat_is_where_joints_can_be_seen():
    hidden = person(labelled=1)
    assert heat(hidden) < 0.01 < heat(hidden, (3, int(hidden.joints[0, 3, 0] // 8), int(hidden.joints[0, 3, 1] // 8)))
