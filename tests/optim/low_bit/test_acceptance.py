"""What the paper's page asks of the optimizers: drift, first step, memory, trust ratios, stability, quality."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optimand.optim import Lion, low_bit
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.low_bit import (
    Adagrad8bit,
    Adam8bit,
    AdamW4bit,
    AdamW8bit,
    AdEMAMix8bit,
    LAMB8bit,
    LARS8bit,
    Lion8bit,
    RMSprop8bit,
    SGD8bit,
)
from optimand.optim.memory import state_bytes

ALL = [getattr(low_bit, name) for name in low_bit.__all__ if name.endswith("bit")]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def steps(optimizer: torch.optim.Optimizer, grads: list[Tensor]) -> None:
    (p,) = optimizer.param_groups[0]["params"]
    for g in grads:
        p.grad = g
        optimizer.step()


@pytest.mark.parametrize(
    ("sign", "signed_scale", "end", "tolerance"),
    [(1.0, True, -0.5, 1e-5), (1.0, False, -0.5, 1e-5), (-1.0, True, 0.5, 1e-5), (-1.0, False, 0.4792, 1e-4)],
)
def test_entries_without_gradient_do_not_drift(sign: float, signed_scale: bool, end: float, tolerance: float) -> None:
    p = nn.Parameter(torch.zeros(64, 64))
    g = torch.zeros(4096)
    g[::256] = sign
    optimizer = Adam8bit([p], lr=0.01, signed_scale=signed_scale)
    steps(optimizer, [g.view(64, 64)] * 50)
    moved = p.detach().view(-1)
    assert torch.equal(moved[g == 0], torch.zeros(4096 - 16))
    assert moved[g != 0].tolist() == pytest.approx([end] * 16, abs=tolerance)


FULL: dict[Any, tuple[Any, dict[str, Any]]] = {
    AdamW8bit: (torch.optim.AdamW, {"weight_decay": 0.1}),
    AdamW4bit: (torch.optim.AdamW, {"weight_decay": 0.1}),
    Adam8bit: (torch.optim.Adam, {"weight_decay": 0.1}),
    SGD8bit: (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    RMSprop8bit: (torch.optim.RMSprop, {"weight_decay": 0.1}),
    Adagrad8bit: (torch.optim.Adagrad, {"weight_decay": 0.1}),
    Lion8bit: (Lion, {"weight_decay": 0.1}),
    AdEMAMix8bit: (None, {}),
    LAMB8bit: (None, {"weight_decay": 0.1}),
    LARS8bit: (None, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("build", ALL, ids=lambda b: b.__name__)
def test_first_step_is_that_of_the_32_bit_optimizer(build: Any) -> None:
    full, options = FULL[build]
    p, q = nn.Parameter(draw(100, 50)), nn.Parameter(draw(100, 50))
    optimizer = build([p], lr=0.01, **options)
    other = full([q], lr=0.01, **options) if full else build([q], lr=0.01, optim_bits=32, **options)
    g = draw(100, 50, seed=1)
    steps(optimizer, [g])
    steps(other, [g])
    assert isinstance(next(iter(optimizer.state[p].values())), QuantizedTensor)
    assert not any(isinstance(value, QuantizedTensor) for value in other.state[q].values())
    before = draw(100, 50)
    torch.testing.assert_close(p - before, q - before, rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize(("build", "states"), [(AdamW8bit, 2), (Adam8bit, 2), (LAMB8bit, 2), (AdEMAMix8bit, 3)])
def test_state_of_a_large_tensor_takes_a_byte_per_value(build: Any, states: int) -> None:
    n = 1 << 20
    p = nn.Parameter(torch.zeros(n))
    optimizer = build([p])
    steps(optimizer, [torch.ones(n)])
    assert state_bytes(optimizer) <= states * (n + 4 * n / 256) + 64


@pytest.mark.parametrize("build", [SGD8bit, Lion8bit, RMSprop8bit, Adagrad8bit, LARS8bit])
def test_one_state_takes_half_of_two(build: Any) -> None:
    n = 1 << 20
    p = nn.Parameter(torch.zeros(n))
    optimizer = build([p])
    steps(optimizer, [torch.ones(n)])
    assert state_bytes(optimizer) <= n + 4 * n / 256 + 64


def test_four_bits_take_half_a_byte() -> None:
    n = 1 << 20
    p = nn.Parameter(torch.zeros(n))
    optimizer = AdamW4bit([p])
    steps(optimizer, [torch.ones(n)])
    assert state_bytes(optimizer) <= 2 * (n / 2 + 4 * n / 128) + 64


@pytest.mark.parametrize("build", ALL, ids=lambda b: b.__name__)
def test_tensors_below_4096_elements_have_full_states(build: Any) -> None:
    small, large = nn.Parameter(draw(4095)), nn.Parameter(draw(4096))
    optimizer = build([small, large])
    small.grad, large.grad = draw(4095, seed=1), draw(4096, seed=2)
    optimizer.step()
    states = [{n: v for n, v in optimizer.state[p].items() if n != "step"} for p in (small, large)]
    assert all(v.dtype == torch.float32 and v.shape == (4095,) for v in states[0].values())
    assert all(isinstance(v, QuantizedTensor) for v in states[1].values())
    assert states[0].keys() == states[1].keys()


def test_lamb_has_a_trust_ratio() -> None:
    # Adam's first step is lr in every coordinate; LAMB's is as long as lr times the parameter's norm.
    results = {}
    for build, options in ((Adam8bit, {}), (LAMB8bit, {}), (LAMB8bit, {"optim_bits": 32})):
        p = nn.Parameter(0.02 * draw(100, 100))
        optimizer = build([p], lr=0.1, **options)
        start = p.detach().clone()
        steps(optimizer, [draw(100, 100, seed=1)])
        results[(build, *options)] = p.detach() - start
    adam, lamb, full = results.values()
    norm = (0.02 * draw(100, 100)).norm()
    assert lamb.norm().item() == pytest.approx(0.1 * norm.item(), rel=1e-5)
    assert (lamb - full).norm() <= 0.02 * full.norm()
    assert (lamb - adam).norm() > 0.5 * adam.norm()


def deviation(second_moment: str, seed: int) -> tuple[float, float]:
    """How far 100 steps of Adam8bit end from Adam's, worst coordinate and root of the mean square, in units of lr.

    Each step's gradients spread over five decades within a block, drawn anew.
    """
    generator = torch.Generator().manual_seed(seed)
    lr = 1e-3
    p, q = nn.Parameter(torch.zeros(4096)), nn.Parameter(torch.zeros(4096))
    optimizers = Adam8bit([p], lr=lr, second_moment=second_moment), torch.optim.Adam([q], lr=lr)
    for _ in range(100):
        size = 10.0 ** (5.204 * torch.rand(4096, generator=generator) - 2.6)
        p.grad = torch.randn(4096, generator=generator) * size
        q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    off = (p - q).detach() / lr
    return off.abs().max().item(), off.square().mean().sqrt().item()


@pytest.mark.parametrize("seed", range(3))
def test_small_second_moments_do_not_explode_a_step(seed: int) -> None:
    worst, rms = deviation("sqrt", seed)
    assert worst <= 5.0
    assert rms <= 0.6
    assert deviation("plain", seed)[0] > 100.0


def digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data / 16.0, dtype=torch.float32), torch.tensor(data.target)


def final_loss(build: Any, seed: int) -> float:
    """Loss of a small network on held-out digits after 120 steps."""
    inputs, labels = digits()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = build(model.parameters(), lr=1e-3)
    for step in range(120):
        rows = torch.from_numpy(np.random.default_rng([seed, step]).integers(0, 1200, 64))
        loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return nn.functional.cross_entropy(model(inputs[1200:]), labels[1200:]).item()


def test_quality_is_that_of_32_bits() -> None:
    full = np.mean([final_loss(torch.optim.AdamW, seed) for seed in range(3)])
    low = np.mean([final_loss(AdamW8bit, seed) for seed in range(3)])
    assert low <= 1.015 * full
    assert math.isfinite(low)
