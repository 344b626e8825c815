"""The regularizers that IGNITE is compared to, each against its definition."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.offline.ignite import GradientNorm, Sensitivity, SharpnessAware, WeightDecay, make_regularizer
from optimand.offline.surrogates import GaussianMLP, gaussian_nll

KINDS = ("adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay")


def network() -> GaussianMLP:
    return GaussianMLP(3, 8, generator=torch.Generator().manual_seed(0)).double()


X = torch.randn(16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = X.sum(dim=1).sin()


def loss_of(model: nn.Module) -> Tensor:
    return gaussian_nll(*model(X), Y)


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def gradient(model: nn.Module) -> Tensor:
    return flat(torch.autograd.grad(loss_of(model), list(model.parameters())))


def moved(step: Tensor) -> GaussianMLP:
    model = network()
    torch.nn.utils.vector_to_parameters(flat(model.parameters()) + step, model.parameters())
    return model


def regularized(regularizer_class: Any, **options: Any) -> tuple[Tensor, Any]:
    model = network()
    regularizer = regularizer_class(model, **options)
    loss_of(model).backward()
    regularizer.add_grad_(X, lambda: loss_of(model))
    assert torch.equal(flat(model.parameters()), flat(network().parameters()))
    return flat(p.grad for p in model.parameters()), regularizer


def test_sam_takes_the_gradient_ahead() -> None:
    g = gradient(network())
    found, regularizer = regularized(SharpnessAware, rho=0.1)
    assert torch.allclose(found, gradient(moved(0.1 * g / g.norm())), rtol=1e-10)
    assert regularizer.norm == pytest.approx(g.norm().item())


def test_the_gradient_norm_penalty_is_a_forward_difference() -> None:
    g = gradient(network())
    found, _ = regularized(GradientNorm, lam=0.3, r=0.01)
    ahead = gradient(moved(0.01 * g / g.norm()))
    assert torch.allclose(found, g + 0.3 / 0.01 * (ahead - g), rtol=1e-9)
    # and near the exact gradient of lam |grad L|
    model = network()
    params = list(model.parameters())
    first = torch.autograd.grad(loss_of(model), params, create_graph=True)
    exact = flat(torch.autograd.grad(torch.cat([f.flatten() for f in first]).norm(), params))
    tiny, _ = regularized(GradientNorm, lam=0.3, r=1e-6)
    assert torch.allclose(tiny - g, 0.3 * exact, rtol=1e-3, atol=1e-4 * exact.norm().item())


def test_weight_decay_adds_the_weights() -> None:
    found, _ = regularized(WeightDecay, lam=0.2)
    assert torch.allclose(found, gradient(network()) + 0.2 * flat(network().parameters()))


def test_sensitivity_is_the_gradient_of_its_penalty() -> None:
    options = {"lam": 0.7, "alpha": 5.0, "sigma": 0.01, "sigma_bounds": (0.01, 0.01), "eta": 0.0, "seed": 3}
    found, regularizer = regularized(Sensitivity, **options)
    model = network()
    params = list(model.parameters())
    reached = [p for p in params if p.ndim]  # the learned bounds are no part of the mean
    generator = SeedTree(3).child("moves", 0).torch()
    moves = {id(p): 0.01 * torch.randn(p.shape, generator=generator).double() for p in reached}
    names = {name: p + moves[id(p)] if id(p) in moves else p for name, p in model.named_parameters()}
    change = torch.func.functional_call(model, names, (X,))[0].mean() - model.mean(X).mean()
    assert regularizer.change == pytest.approx(change.item(), rel=1e-9)
    penalty = torch.autograd.grad((change / 5.0) ** 2, params, allow_unused=True)
    exact = flat(torch.zeros_like(p) if g is None else g for p, g in zip(params, penalty, strict=True))
    assert torch.allclose(found, gradient(network()) + 0.7 * exact, rtol=1e-8)


def test_sensitivity_beyond_its_level_is_flat_and_its_adversary_stays_in_bounds() -> None:
    found, _ = regularized(Sensitivity, lam=10.0, alpha=1e-9)
    assert torch.allclose(found, gradient(network()))
    regularizer = Sensitivity(network(), alpha=100.0, eta=0.5)
    for _ in range(20):
        regularizer.add_grad_(X)
        assert 1e-4 <= regularizer.sigma <= 1e-2
        assert abs(regularizer.mu) <= 1e-3
    assert regularizer.mu != 0.0
    again = Sensitivity(network(), alpha=100.0, eta=0.5)
    again.load_state_dict(regularizer.state_dict())
    assert again.state_dict() == regularizer.state_dict()


def test_sensitivity_draws_by_seed_and_step() -> None:
    ends = [regularized(Sensitivity, alpha=10.0, seed=seed)[0] for seed in (1, 1, 2)]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_advances_statistics_or_random_numbers(kind: str) -> None:
    ends = []
    for used in (None, kind):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1)).double()
        regularizer = make_regularizer(used, model)
        loss = lambda out: (out[:, 0] - Y).square().mean()  # noqa: E731
        if regularizer is None:
            loss(model(X)).backward()
        else:
            regularizer.backward(X, loss)
        ends.append((flat(model.state_dict().values()).double(), torch.get_rng_state()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert torch.equal(ends[0][1], ends[1][1])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "weight-decay"])
def test_numbers_that_are_not_finite_are_an_error(kind: str) -> None:
    model = network()
    regularizer = make_regularizer(kind, model)
    with pytest.raises(FloatingPointError, match="is nan"):
        regularizer.backward(X * math.nan, lambda out: gaussian_nll(*out, Y))


def test_a_loss_at_its_minimum_is_left_alone() -> None:
    for kind in ("sam", "gradient-norm"):
        model = nn.Linear(1, 1, bias=False)
        model.weight.grad = torch.zeros_like(model.weight)
        regularizer = make_regularizer(kind, model)
        regularizer.add_grad_(None, lambda model=model: model.weight.sum())
        assert torch.equal(model.weight.grad, torch.zeros_like(model.weight))


def test_bad_options_are_named() -> None:
    model = network()
    for build, message in (
        (lambda: SharpnessAware(model, rho=0.0), "rho must be in"),
        (lambda: GradientNorm(model, r=0.0), "r must be in"),
        (lambda: GradientNorm(model, lam=-1.0), "lam must be in"),
        (lambda: WeightDecay(model, lam=math.nan), "lam must be in"),
        (lambda: Sensitivity(model, alpha=0.0), "alpha must be in"),
        (lambda: Sensitivity(model, sigma=1.0), "sigma must be in"),
        (lambda: Sensitivity(model, sigma_bounds=(0.1, 0.01)), "sigma_bounds must be"),
    ):
        with pytest.raises(ValueError, match=message):
            build()
    with pytest.raises(TypeError, match="needs loss"):
        SharpnessAware(model).add_grad_(X)
    with pytest.raises(OptimandError, match="no gradient path"):
        Sensitivity(model, predict=lambda x: model.mean(x).detach()).add_grad_(X)
