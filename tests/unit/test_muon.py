"""Muon: orthogonal moves for matrices, AdamW for the rest, and a state that can be kept."""

import copy

import pytest
import torch

from training.muon import Muon, orthogonal

CHOICES = {"weight_decay": 0.1, "exact": True}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameter(*shape):
    return torch.nn.Parameter(drawn(*shape))


def pulled(optimizer, steps, start=0):
    """Steps along gradients that are drawn for each parameter and step."""
    for step in range(start, start + steps):
        places = [p for group in optimizer.param_groups for p in group["params"]]
        for i, place in enumerate(places):
            place.grad = drawn(*place.shape, seed=1000 * step + i)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("shape", [(64, 576), (256, 128), (17, 64), (8, 8), (1, 5)])
def test_strong_directions_become_equal(shape, scale, dtype):
    left, values, right = torch.linalg.svd(drawn(*shape), full_matrices=False)
    strong = torch.linspace(1, 0.2, len(values))
    (made,) = orthogonal([scale * left * strong @ right], dtype)
    values = torch.linalg.svdvals(made)
    assert made.shape == shape
    assert 0.4 < float(values.min()) <= float(values.max()) < 1.6
    # the directions are those of before, not others
    assert torch.linalg.svdvals(left.T @ made @ right.T).allclose(values, atol=0.02)
    assert float(torch.diagonal(left.T @ made @ right.T).min()) > 0.4


def test_nothing_becomes_nothing():
    assert not orthogonal([torch.zeros(4, 6)])[0].any()


def test_together_as_each_by_itself():
    shapes = [(4, 6), (6, 4), (3, 9), (4, 6), (9, 3), (5, 5)]
    matrices = [drawn(*shape, seed=place) for place, shape in enumerate(shapes)]
    made = orthogonal(matrices)
    assert [tuple(one.shape) for one in made] == shapes
    for one, matrix in zip(made, matrices, strict=True):
        torch.testing.assert_close(one, orthogonal([matrix])[0])


def test_a_kernel_moves_as_the_matrix_it_is():
    kernel, matrix = parameter(8, 4, 3, 3), torch.nn.Parameter(drawn(8, 4, 3, 3).flatten(1))
    one, other = (Muon([weight], [], lr=0.1, rest_lr=0.0, **CHOICES) for weight in (kernel, matrix))
    for step in range(3):
        kernel.grad = drawn(8, 4, 3, 3, seed=step)
        matrix.grad = kernel.grad.flatten(1)
        one.step()
        other.step()
    assert torch.equal(kernel.flatten(1), matrix)


def test_the_first_step():
    weight = parameter(6, 10)
    before, gradient = weight.detach().clone(), drawn(6, 10, seed=1)
    weight.grad = gradient.clone()
    Muon([weight], [], lr=0.5, rest_lr=0.0, weight_decay=0.1, exact=True).step()
    expected = before * (1 - 0.5 * 0.1) - 0.5 * 0.2 * 10**0.5 * orthogonal([gradient])[0]
    torch.testing.assert_close(weight.detach(), expected)


def test_the_rest_moves_as_with_adamw():
    shapes = [(3,), (4, 5), (2, 3, 1, 1)]
    ours, theirs = ([parameter(*shape) for shape in shapes] for _ in range(2))
    muon = Muon([], ours, lr=9.0, rest_lr=0.01, **CHOICES)
    adam = torch.optim.AdamW(
        [{"params": theirs[1:], "weight_decay": 0.1}, {"params": theirs[:1], "weight_decay": 0.0}], lr=0.01
    )
    pulled(muon, 5)
    pulled(adam, 5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_it_goes_on_from_a_state_that_was_kept():
    def made():
        weights = [parameter(4, 6), parameter(4)]
        return weights, Muon(weights[:1], weights[1:], lr=0.1, rest_lr=0.01, **CHOICES)

    whole, straight = made()
    pulled(straight, 6)
    first, before = made()
    pulled(before, 3)
    kept = copy.deepcopy(before.state_dict())
    second, after = made()
    after.load_state_dict(kept)
    for weight, value in zip(second, first, strict=True):
        weight.data.copy_(value)
    pulled(after, 3, start=3)
    assert all(torch.equal(one, other) for one, other in zip(whole, second, strict=True))


def test_what_has_no_gradient_stays():
    weights = [parameter(4, 6), parameter(4)]
    optimizer = Muon(weights[:1], weights[1:], lr=0.1, rest_lr=0.01, **CHOICES)
    optimizer.step()
    assert torch.equal(weights[0], parameter(4, 6))
    assert torch.equal(weights[1], parameter(4))
    assert not optimizer.state


def test_the_closure_says_the_loss():
    weight = parameter(4, 6)
    optimizer = Muon([weight], [], lr=0.1, rest_lr=0.01, **CHOICES)

    def loss():
        optimizer.zero_grad()
        value = weight.square().sum()
        value.backward()
        return float(value.detach())

    values = [optimizer.step(loss) for _ in range(20)]
    assert values[-1] < 0.7 * values[0]
