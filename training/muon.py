"""Muon: every weight matrix moves by an orthogonal matrix, so that no direction of it learns slower than another.

Gradients of a matrix have few strong directions, and an optimizer that scales single numbers follows these. Here the
momentum M = U S V^T is replaced by U V^T, nearly, by a few matrix products. Six minutes of it find twice as many people
as six of AdamW (docs/models/pose.md).

`torch.optim.Muon` takes matrices alone, neither kernels of convolutions nor the vectors beside them, and Lightning
takes one optimizer; so this is one for both.

Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Amsel et al. 2025, "The Polar
Express" (the coefficients); Liu et al. 2025, "Muon is Scalable for LLM Training" (the length of a step); Loshchilov,
Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW, for everything that is no matrix).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

STEPS = (
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
)
"""a, b, c of x <- a x + b x^3 + c x^5, each the best for what the steps before it leave; with a margin for bf16."""
MATRICES = "matrices"
"""Key of a parameter group: whether it is moved by orthogonal matrices."""


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices and kernels, AdamW for the other parameters.

    Args:
        matrices: weights (out, ...) of any number of further axes, which are taken as one.
        rest: biases, gains, embeddings, and the first and last layers of a network.
        lr: length of a step of `matrices`. It is measured in what AdamW would move each number by, but the best
            values are several times larger.
        rest_lr: of `rest`.
        weight_decay: per step and unit of `lr`; parameters of one axis do not shrink.
        momentum: of `matrices`; Nesterov's.
        exact: orthogonal matrices are computed in fp32; else in bf16, for hardware that multiplies it.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        rest: Iterable[Tensor],
        *,
        lr: float,
        rest_lr: float,
        weight_decay: float,
        momentum: float = 0.9,
        exact: bool = False,
    ) -> None:
        others = list(rest)
        still = {MATRICES: False, "lr": rest_lr}
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), MATRICES: True, "lr": lr, "weight_decay": weight_decay},
            {"params": [p for p in others if p.ndim > 1], **still, "weight_decay": weight_decay},
            {"params": [p for p in others if p.ndim <= 1], **still, "weight_decay": 0.0},
        ]
        self._dtype = torch.float32 if exact else torch.bfloat16
        super().__init__([group for group in groups if group["params"]], {"momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step by the gradients there are; parameters without one stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group[MATRICES]:
                self._turn(moved, group)
            elif moved:
                self._adapt(moved, group)
        return loss

    def _turn(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        aims = []
        for weight in weights:
            state, gradient = self.state[weight], weight.grad
            assert gradient is not None
            if not state:
                state["average"] = torch.zeros_like(weight)
            average = state["average"].lerp_(gradient, 1 - group["momentum"])
            aims.append(gradient.lerp(average, group["momentum"]).flatten(1))
        for weight, move in zip(weights, orthogonal(aims, self._dtype), strict=True):
            # As long as a step of AdamW, whose numbers have a root mean square of about 0.2 (Liu et al.).
            length = 0.2 * max(move.shape) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(move.reshape(weight.shape), alpha=-group["lr"] * length)

    def _adapt(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["step"] = torch.zeros((), device=weight.device)
                state["average"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        states = [self.state[weight] for weight in weights]
        adamw(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            [state["average"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,  # one step over all of them instead of ten
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def orthogonal(matrices: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """About U V^T of each matrix U S V^T: singular values of a twentieth of its norm and more end between 0.4 and 1.6.

    Args:
        matrices: (rows, columns) each, of any scale. Those of one shape, be it on its side, are multiplied together:
            most are so small that starting a product costs more than it.
        dtype: in which products are computed.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, matrix in enumerate(matrices):
        alike.setdefault(tuple(sorted(matrix.shape)), []).append(place)
    made = list(matrices)
    for places in alike.values():
        wide = [matrices[place].T if _tall(matrices[place]) else matrices[place] for place in places]
        # A single one by itself: the product of many is a third slower for it.
        moves = _orthogonal(torch.stack(wide) if len(wide) > 1 else wide[0], dtype)
        for place, move in zip(places, moves if len(wide) > 1 else [moves], strict=True):
            made[place] = move.T if _tall(matrices[place]) else move
    return made


def _orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(rows, columns) or (n, rows, columns), no more rows than columns."""
    kept = x.dtype
    x = (x / (torch.linalg.matrix_norm(x, keepdim=True) * 1.01 + 1e-7)).to(dtype).contiguous()
    added = torch.addmm if x.ndim == 2 else torch.baddbmm
    for a, b, c in STEPS:
        square = x @ x.mT
        x = added(x, added(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.to(kept)


def _tall(matrix: Tensor) -> bool:
    return len(matrix) > matrix.shape[1]
