"""The perceptron: its law, its initial weights, its activations, its bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from optimand.offline.surrogates import GaussianMLP, gaussian_nll, make_activation


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_likelihood_is_that_of_torch() -> None:
    mean, logstd, y = torch.randn(3, 50, generator=seeded(), dtype=torch.float64)
    expected = -torch.distributions.Normal(mean, logstd.exp()).log_prob(y).mean()
    assert gaussian_nll(mean, logstd, y).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_deviation_stays_softly_between_learned_bounds() -> None:
    model = GaussianMLP(2, 4, generator=seeded())
    with torch.no_grad():
        model.head.weight[1] *= 1e4
    _, logstd = model(10 * torch.randn(200, 2, generator=seeded(1)))
    low, high = math.log(0.1), math.log(0.2)
    # The lower bound is put on after the upper one, and softplus adds at most its value at the distance of the two.
    assert logstd.min() >= low
    assert logstd.max() <= low + math.log1p(math.exp(high - low)) + 1e-6
    assert logstd.max() - logstd.min() > 0.3
    gaussian_nll(*model(torch.randn(20, 2, generator=seeded(2))), torch.randn(20)).backward()
    assert model.min_logstd.grad.abs() > 0
    assert model.max_logstd.grad is not None


def test_glorot_weights_and_zero_biases() -> None:
    model = GaussianMLP(40, 200, 2, generator=seeded())
    for layer in (m for m in model.modules() if isinstance(m, nn.Linear)):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    one = GaussianMLP(3, generator=seeded(7))
    torch.manual_seed(2)
    two = GaussianMLP(3, generator=seeded(7))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
    assert one.head.weight.shape == (2, 256)


def test_shapes_and_the_mean_alone() -> None:
    model = GaussianMLP(24, [16, 8], activation=["leaky_relu:0.3", "cos"], generator=seeded())
    x = torch.randn(5, 8, 3, generator=seeded())
    mean, logstd = model(x)
    assert mean.shape == logstd.shape == (5,)
    assert torch.equal(model.mean(x.flatten(1)), mean)
    linear = GaussianMLP(3, depth=0, generator=seeded())
    assert sum(p.numel() for p in linear.parameters()) == 3 * 2 + 2 + 2


@pytest.mark.parametrize(
    ("name", "at_minus_one"),
    [
        ("leaky_relu", -0.3),
        ("leaky_relu:0.01", -0.01),
        ("relu", 0.0),
        ("tanh", math.tanh(-1)),
        ("cos", math.cos(1)),
    ],
)
def test_activations_by_name(name: str, at_minus_one: float) -> None:
    assert make_activation(name)(torch.tensor(-1.0)).item() == pytest.approx(at_minus_one, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"depth": -1}, "depth must be at least 0"),
        ({"activation": "swosh"}, "activation must be one of"),
        ({"activation": "leaky_relu:steep"}, "slope"),
        ({"activation": ["relu"]}, "one for each of 2 hidden layers"),
        ({"dropout": 1.0}, "dropout must be"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMLP(**{"dim": 3, **options})
