"""The network: what it must not look at, and that its deployed form says the same."""

from __future__ import annotations

import pytest
import torch

from recognizer.skeleton import BONES
from training.action.params import NetworkParams
from training.action.stgcn import Scorer, SkeletonNetwork, Streams, filled, skeleton_graph

SMALL = NetworkParams(channels=(8, 12), strides=(2, 1))
V = 17


def window(people: int, batch: int = 3, frames: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(people)
    return torch.randn(batch, people, frames, V, 2, generator=random), torch.ones(batch, people, frames, V)


def padded(keypoints: torch.Tensor, visibility: torch.Tensor, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    empty = slots - keypoints.shape[1]
    return (
        torch.cat([keypoints, torch.zeros(len(keypoints), empty, *keypoints.shape[2:])], dim=1),
        torch.cat([visibility, torch.zeros(len(keypoints), empty, *visibility.shape[2:])], dim=1),
    )


def network(params: NetworkParams = SMALL) -> SkeletonNetwork:
    torch.manual_seed(0)
    return SkeletonNetwork(5, params)


def test_the_graph_takes_means_over_neighbours() -> None:
    graph = skeleton_graph()
    assert graph.shape == (3, V, V)
    assert set(graph.sum(dim=2).flatten().tolist()) <= {0.0, 1.0}
    assert {(j, p) for j, p in graph[1].nonzero().tolist()} == set(BONES)
    assert {(j, p) for p, j in graph[2].nonzero().tolist()} == set(BONES)


@pytest.mark.parametrize("people", [1, 2, 3])
def test_empty_slots_change_neither_answers_nor_batch_norm(people: int) -> None:
    plain, with_empty = network().train(), network().train()
    for module in (*plain.modules(), *with_empty.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    alone = window(people)
    torch.testing.assert_close(plain(*alone), with_empty(*padded(*alone, 4)))
    for one, other in zip(plain.buffers(), with_empty.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(plain.eval()(*alone), plain(*padded(*alone, 4)))


@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_the_deployed_graph_gives_the_calibrated_scores(people: int) -> None:
    net = network().eval()
    net.temperature.fill_(0.7)
    inputs = padded(*window(people), 4)
    with torch.inference_mode():
        expected = torch.softmax(net(*inputs) / 0.7, dim=1)
        torch.testing.assert_close(Scorer(net)(*inputs), expected)
        torch.testing.assert_close(expected.sum(dim=1), torch.ones(3))


def test_a_last_batch_of_one_person_can_be_trained_on() -> None:
    net = network().train()
    net(*window(1, batch=1)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_people_have_no_order() -> None:
    net = network().eval()
    keypoints, visibility = window(3)
    torch.testing.assert_close(net(keypoints, visibility), net(keypoints.flip(1), visibility.flip(1)))


@pytest.mark.parametrize("mode", [True, False])
def test_a_window_with_nobody_in_it_is_answered_finitely(mode: bool) -> None:
    net = network().train(mode)
    keypoints, visibility = torch.zeros(2, 4, 20, V, 2), torch.zeros(2, 4, 20, V)
    assert torch.isfinite(net(keypoints, visibility)).all()
    assert torch.isfinite(Scorer(net.eval())(keypoints, visibility)).all()
    assert not filled(visibility).any()


def test_the_keypoint_of_an_unseen_joint_is_not_read() -> None:
    net = network().eval()
    keypoints, visibility = window(1)
    visibility[:, :, 4:9, 7] = 0
    other = keypoints.clone()
    other[:, :, 4:9, 7] = 1000.0
    torch.testing.assert_close(net(keypoints, visibility), net(other, visibility))


def test_bones_and_velocity_count_only_where_both_ends_were_seen() -> None:
    streams = Streams().eval()
    streams.norm.eps = 0.0
    keypoints, visibility = (part[:, 0] for part in window(1, batch=1))
    visibility[0, 5, 7] = 0
    joint, bone, velocity, seen = streams(keypoints, visibility).split((2, 2, 2, 1), dim=1)
    torch.testing.assert_close(bone[0, :, 3, 9], keypoints[0, 3, 9] - keypoints[0, 3, 7])
    torch.testing.assert_close(velocity[0, :, 3, 9], keypoints[0, 3, 9] - keypoints[0, 2, 9])
    for hidden in (joint[0, :, 5, 7], bone[0, :, 5, 7], bone[0, :, 5, 9], velocity[0, :, 5, 7], velocity[0, :, 6, 7]):
        assert not hidden.any()
    assert not velocity[:, :, 0].any()
    assert seen[0, 0, 5, 7] == 0
    assert seen.sum() == 20 * V - 1


def test_the_full_size_network_is_a_matter_of_parameters() -> None:
    full = NetworkParams(channels=(64,) * 4 + (128,) * 3 + (256,) * 3, strides=(1, 1, 1, 1, 2, 1, 1, 2, 1, 1))
    net = network(full).eval()
    assert sum(p.numel() for p in net.parameters()) > 2_500_000
    with torch.inference_mode():
        assert net(*window(1, batch=1)).shape == (1, 5)
