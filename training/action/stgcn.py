"""ST-GCN: graph convolution over the skeleton, convolution over time.

Source: Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition"
(2018); the bone and motion streams after Shi et al., "Two-Stream Adaptive Graph Convolutional Networks" (2019).

Axes: B windows, M people, N people that are looked at one by one, T frames, V joints, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recognizer.skeleton import BONES, JOINTS
from training.action.params import NetworkParams

V = len(JOINTS)
PARTITIONS = 3
STREAMS = 7
"""Joint x, y; bone x, y; velocity x, y; seen."""


def skeleton_graph() -> Tensor:
    """(3, V, V): identity, inward and outward edges; each joint takes the mean over each kind of its neighbours."""
    graph = torch.zeros(PARTITIONS, V, V)
    graph[0] = torch.eye(V)
    for joint, parent in BONES:
        graph[1, joint, parent] = 1.0
        graph[2, parent, joint] = 1.0
    return graph / graph.sum(dim=2, keepdim=True).clamp(min=1)


class Streams(nn.Module):
    """Derives bones and velocity from joints, so that whoever calls the model need not."""

    parents: Tensor

    def __init__(self) -> None:
        super().__init__()
        parents = torch.arange(V)
        for joint, parent in BONES:
            parents[joint] = parent
        self.register_buffer("parents", parents, persistent=False)
        self.norm = nn.BatchNorm2d(STREAMS)

    def forward(self, keypoints: Tensor, visibility: Tensor) -> Tensor:
        """Keypoints (N, T, V, 2) and visibility (N, T, V) to streams (N, 7, T, V).

        A difference of two joints counts only where both were seen. Each stream keeps one scale over all joints: with
        one per joint, the jitter of still joints would look as large as the movement of a hand.
        """
        seen = (visibility > 0).to(keypoints.dtype)[..., None]
        joint = keypoints * seen
        bone = (joint - joint[:, :, self.parents]) * seen * seen[:, :, self.parents]
        step = (joint[:, 1:] - joint[:, :-1]) * seen[:, 1:] * seen[:, :-1]
        velocity = torch.cat([torch.zeros_like(joint[:, :1]), step], dim=1)
        streams = torch.cat([joint, bone, velocity, seen], dim=-1)
        return self.norm(streams.permute(0, 3, 1, 2))


class GraphConvolution(nn.Module):
    """Each joint gathers from its neighbours, one weight matrix per kind of edge, one learned factor per edge.

    Gathering before the weights, channels last: twice as fast on a CPU as the other way round.
    """

    graph: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("graph", skeleton_graph(), persistent=False)
        self.edges = nn.Parameter(torch.ones(PARTITIONS, V, V))
        self.weights = nn.Linear(inputs * PARTITIONS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, _ = x.shape
        gather = (self.graph * self.edges).permute(1, 0, 2).reshape(V * PARTITIONS, V)
        gathered = torch.matmul(gather, x.permute(0, 2, 3, 1))
        # A plain matrix is the same to torch, and exported as one step, bias and all.
        return self.weights(gathered.reshape(-1, PARTITIONS * c)).reshape(n, t, V, -1).permute(0, 3, 1, 2)


class Block(nn.Module):
    """(N, C, T, V) to (N, C', T / stride, V)."""

    def __init__(self, inputs: int, outputs: int, stride: int, params: NetworkParams, residual: bool) -> None:
        super().__init__()
        self.space = GraphConvolution(inputs, outputs)
        self.space_norm = nn.BatchNorm2d(outputs)
        self.time = nn.Conv2d(outputs, outputs, (params.kernel, 1), (stride, 1), (params.kernel // 2, 0))
        self.time_norm = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout2d(params.dropout)  # whole channels: cheaper to draw than single values
        self.stride = stride
        self.shortcut: nn.Module | None = None
        if residual:
            same = inputs == outputs and stride == 1
            self.shortcut = (
                nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.space_norm(self.space(x)))
        y = self.dropout(self.time_norm(self.time(y)))
        if self.shortcut is not None:
            # Frames are left out here and not by a stride of the 1 x 1 convolution, which is the same sum: with fewer
            # than 16 channels oneDNN's backward pass of that writes past its memory (uxlfoundation/oneDNN issue 6035).
            y = y + self.shortcut(x[:, :, :: self.stride])
        return torch.relu(y)


class SkeletonNetwork(nn.Module):
    """Windows to one logit per class: people are looked at one by one, then their features are averaged.

    An empty slot (nothing seen in any frame) takes no part: neither in the average nor in batch norm.
    """

    temperature: Tensor

    def __init__(self, classes: int, params: NetworkParams) -> None:
        super().__init__()
        self.streams = Streams()
        widths = (STREAMS, *params.channels)
        self.blocks = nn.Sequential(
            *[
                Block(widths[i], widths[i + 1], stride, params, residual=i > 0)
                for i, stride in enumerate(params.strides)
            ]
        )
        # Without it the mean over time and joints hardly differs from clip to clip, and the first epochs learn nothing.
        self.norm = nn.BatchNorm1d(widths[-1])
        self.dropout = nn.Dropout(params.head_dropout)
        self.head = nn.Linear(widths[-1], classes)
        self.register_buffer("temperature", torch.ones(()))

    def features(self, keypoints: Tensor, visibility: Tensor) -> Tensor:
        """Keypoints (N, T, V, 2) and visibility (N, T, V) of single people to features (N, C)."""
        pooled = self.blocks(self.streams(keypoints, visibility)).mean(dim=(2, 3))
        if self.training and len(pooled) == 1:  # one person has no variance to learn from
            norm = self.norm
            return functional.batch_norm(pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return self.norm(pooled)

    def forward(self, keypoints: Tensor, visibility: Tensor) -> Tensor:
        """Keypoints (B, M, T, V, 2) and visibility (B, M, T, V) to logits (B, K); computes filled slots only."""
        people = keypoints.shape[1]
        slots = filled(visibility).flatten().nonzero().squeeze(1)
        total = keypoints.new_zeros(len(keypoints), self.head.in_features)
        if len(slots):
            each = self.features(keypoints.flatten(0, 1)[slots], visibility.flatten(0, 1)[slots])
            total = total.index_add(0, slots // people, each.to(total.dtype))
        return self.classify(total, visibility)

    def classify(self, total: Tensor, visibility: Tensor) -> Tensor:
        """Sum over people of features (B, C) to logits (B, K) of their mean."""
        count = filled(visibility).sum(dim=1, keepdim=True).clamp(min=1)
        return self.head(self.dropout(total / count))


def filled(visibility: Tensor) -> Tensor:
    """(B, M, T, V) to (B, M): which slots hold somebody."""
    return visibility.amax(dim=(2, 3)) > 0


class Scorer(nn.Module):
    """The network as it is deployed: a fixed graph over all slots, calibrated scores (B, K) that sum to 1."""

    def __init__(self, network: SkeletonNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, keypoints: Tensor, visibility: Tensor) -> Tensor:
        people, frames = keypoints.shape[1:3]
        each = self.network.features(keypoints.reshape(-1, frames, V, 2), visibility.reshape(-1, frames, V))
        present = filled(visibility).to(each.dtype)[..., None]
        total = (each.reshape(-1, people, self.network.head.in_features) * present).sum(dim=1)
        return torch.softmax(self.network.classify(total, visibility) / self.network.temperature, dim=-1)
