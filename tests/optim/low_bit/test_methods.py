"""The update rules: against torch's optimizers, or against the papers' formulas in float64, over several steps."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.optim import Lion
from optimand.optim.low_bit import (
    Adagrad8bit,
    Adam8bit,
    AdamW8bit,
    AdEMAMix8bit,
    LAMB8bit,
    LARS8bit,
    Lion8bit,
    RMSprop8bit,
    SGD8bit,
)
from optimand.optim.low_bit.adaptive import scheduled_alpha, scheduled_beta3

SHAPE = (70, 90)


def draw(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def trajectory(optimizer: torch.optim.Optimizer, steps: int = 6) -> Tensor:
    (p,) = optimizer.param_groups[0]["params"]
    for step in range(1, steps + 1):
        p.grad = draw(step).to(p.dtype)
        optimizer.step()
    return p.detach()


PAIRS = [
    (AdamW8bit, torch.optim.AdamW, {"weight_decay": 0.1}),
    (AdamW8bit, torch.optim.AdamW, {"amsgrad": True, "maximize": True}),
    (Adam8bit, torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-4}),
    (Adam8bit, torch.optim.Adam, {"amsgrad": True}),
    (SGD8bit, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (SGD8bit, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    (SGD8bit, torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    (RMSprop8bit, torch.optim.RMSprop, {"weight_decay": 0.1, "alpha": 0.9}),
    (RMSprop8bit, torch.optim.RMSprop, {"momentum": 0.9, "eps": 1e-3}),
    (Adagrad8bit, torch.optim.Adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
    (Adagrad8bit, torch.optim.Adagrad, {"initial_accumulator_value": 0.5, "eps": 1e-3}),
    (Lion8bit, Lion, {"weight_decay": 0.1}),
]


@pytest.mark.parametrize(("build", "full", "options"), PAIRS)
@pytest.mark.parametrize("bits", [32, 8])
def test_follows_the_full_precision_optimizer(build: Any, full: Any, options: dict[str, Any], bits: int) -> None:
    p, q = nn.Parameter(draw(0)), nn.Parameter(draw(0))
    low = trajectory(build([p], lr=0.01, optim_bits=bits, **options))
    other = trajectory(full([q], lr=0.01, **options))
    if bits == 32:
        torch.testing.assert_close(low, other, rtol=1e-5, atol=1e-6)
    else:
        # Rounding the states moves six steps by a few percent of their length.
        moved = (other - draw(0)).norm()
        share = 0.3 if full is Lion else 0.05  # a sign turns as a whole
        assert 0 < (low - other).norm() <= share * moved


def test_ademamix_is_the_papers() -> None:
    lr, (b1, b2, b3), alpha, eps, decay, t_alpha, t_beta3 = 0.01, (0.9, 0.99, 0.999), 4.0, 1e-6, 0.1, 4, 5
    p = nn.Parameter(draw(0).double())
    optimizer = AdEMAMix8bit(
        [p], lr, (b1, b2, b3), alpha, eps, decay, t_alpha=t_alpha, t_beta3=t_beta3
    )  # float64: full-precision states
    x = draw(0).double()
    m = slow = v = torch.zeros_like(x)
    for t in range(1, 8):
        g = draw(t).double()
        p.grad = g
        optimizer.step()
        weight = min(t / t_alpha, 1.0) * alpha
        low, high = math.log(b1), math.log(b3)
        rate = min(math.exp(low * high / ((1 - t / t_beta3) * high + t / t_beta3 * low)), b3) if t < t_beta3 else b3
        m, slow, v = b1 * m + (1 - b1) * g, rate * slow + (1 - rate) * g, b2 * v + (1 - b2) * g * g
        update = (m / (1 - b1**t) + weight * slow) / ((v / (1 - b2**t)).sqrt() + eps)
        x = x - lr * update - lr * decay * x
    torch.testing.assert_close(p.detach(), x, rtol=1e-10, atol=1e-12)


def test_schedules_on_tensors_equal_those_on_numbers() -> None:
    for step in (1.0, 3.0, 10.0, 50.0):
        tensor = torch.tensor(step, dtype=torch.float64)
        assert scheduled_alpha(5.0, tensor, 10).item() == pytest.approx(scheduled_alpha(5.0, step, 10))
        assert scheduled_beta3(0.9, 0.9999, tensor, 10).item() == pytest.approx(scheduled_beta3(0.9, 0.9999, step, 10))


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_lamb_is_the_papers(bits: int, decay: float) -> None:
    lr, (b1, b2), eps = 0.01, (0.9, 0.99), 1e-6
    p = nn.Parameter(draw(0))
    optimizer = LAMB8bit([p], lr, (b1, b2), eps, decay, optim_bits=bits)
    x = draw(0).double()
    m = v = torch.zeros_like(x)
    for t in range(1, 4):
        g = draw(t).double()
        p.grad = g.float()
        optimizer.step()
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        update = m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + eps) + decay * x
        trust = (x.norm() / update.norm()).item()
        x = x - lr * trust * update
    moved = (x - draw(0)).norm()
    assert (p.detach() - x).norm() <= (1e-5 if bits == 32 else 0.03) * moved


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_is_the_papers(bits: int, decay: float) -> None:
    lr, momentum, eta = 2.0, 0.9, 0.01
    p = nn.Parameter(draw(0))
    options = {"momentum": momentum, "weight_decay": decay, "trust_coefficient": eta, "optim_bits": bits}
    optimizer = LARS8bit([p], lr, **options)
    x = draw(0).double()
    buffer = torch.zeros_like(x)
    for t in range(1, 4):
        g = draw(t).double()
        p.grad = g.float()
        optimizer.step()
        trust = eta * x.norm() / (g.norm() + decay * x.norm())
        buffer = momentum * buffer + trust * (g + decay * x)
        x = x - lr * buffer
    moved = (x - draw(0)).norm()
    assert (p.detach() - x).norm() <= (1e-5 if bits == 32 else 0.02) * moved


@pytest.mark.parametrize("build", [LAMB8bit, LARS8bit])
def test_trust_is_one_where_a_norm_is_zero(build: Any) -> None:
    p, q = nn.Parameter(torch.zeros(SHAPE)), nn.Parameter(torch.ones(SHAPE))
    optimizer = build([p, q], lr=0.5)
    p.grad, q.grad = torch.ones(SHAPE), torch.zeros(SHAPE)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full(SHAPE, -0.5), rtol=1e-5, atol=0)
    assert torch.equal(q.detach(), torch.ones(SHAPE))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("build", [LAMB8bit, LARS8bit])
def test_trust_is_zero_where_a_norm_is_not_finite(build: Any, bad: float) -> None:
    # 1 instead would be a thousand times LARS's usual step
    p = nn.Parameter(draw(0))
    optimizer = build([p], lr=0.5, nonfinite="skip")
    p.grad = draw(1)
    p.grad[0, 0] = bad
    optimizer.step()
    assert torch.equal(p.detach(), draw(0))


@pytest.mark.parametrize("build", [LAMB8bit, LARS8bit])
def test_trust_follows_maximize(build: Any) -> None:
    results = []
    for sign, options in ((1.0, {}), (-1.0, {"maximize": True})):
        p = nn.Parameter(draw(0))
        optimizer = build([p], lr=0.5, **options)
        for step, size in ((1, 1.0), (2, 3.0)):
            p.grad = sign * size * draw(step)
            optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)
