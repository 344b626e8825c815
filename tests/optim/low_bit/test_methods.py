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
from optimand.optim.low_bit.clipping import clip_factor, new_history

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
def test_trust_follows_maximize_and_clipping(build: Any) -> None:
    results = []
    for sign, options in ((1.0, {}), (-1.0, {"maximize": True})):
        p = nn.Parameter(draw(0))
        optimizer = build([p], lr=0.5, percentile_clipping=5, **options)
        for step, size in ((1, 1.0), (2, 3.0)):
            p.grad = sign * size * draw(step)
            optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)


def test_percentile_clipping_is_the_worked_example() -> None:
    # norms 1, 2, 0.5: the second gradient is halved, the others are not
    p, q = nn.Parameter(torch.zeros(64, 64)), nn.Parameter(torch.zeros(3))
    optimizer = SGD8bit([p, q], lr=1.0, momentum=0.5, percentile_clipping=5)
    before, moves = [torch.zeros_like(p), torch.zeros_like(q)], []
    buffers = [0.0, 0.0]
    for norm, factor in ((1.0, 1.0), (2.0, 0.5), (0.5, 1.0)):
        for at, r in enumerate((p, q)):
            r.grad = torch.zeros_like(r)
            r.grad.view(-1)[0] = norm
            buffers[at] = 0.5 * buffers[at] + factor * norm
        optimizer.step()
        moves = [(old - new.detach()).view(-1)[0].item() for old, new in zip(before, (p, q), strict=True)]
        before = [p.detach().clone(), q.detach().clone()]
        assert moves == pytest.approx(buffers, rel=1e-6)
    history = optimizer.state[p]["grad_norms"]
    assert history.tolist() == [1.0, 1.0, 4.0, 0.25, *[1.0] * 96]


def test_percentile_clipping_takes_an_entry_of_the_sorted_norms() -> None:
    history, norms = new_history(torch.device("cpu")), []
    generator = torch.Generator().manual_seed(0)
    buffer: list[float] = []
    for t in range(1, 260):
        norm = (10 * torch.rand((), generator=generator)).item()
        buffer = [norm**2] * 100 if t == 1 else buffer
        buffer[t % 100] = norm**2
        limit = math.sqrt(sorted(buffer)[20])
        factor = clip_factor(history, torch.tensor(norm**2), t, 20).item()
        assert factor == pytest.approx(limit / norm if norm > limit else 1.0, rel=1e-5)
        norms.append(factor)
    assert min(norms) < 0.3 < max(norms) == 1.0


def test_percentile_clipping_passes_over_infinite_gradients_and_zeros() -> None:
    history = new_history(torch.device("cpu"))
    for norm, factor in ((math.inf, 1.0), (0.0, 1.0), (4.0, 1.0), (math.nan, 1.0), (0.0, 1.0), (16.0, 0.5)):
        assert clip_factor(history, torch.tensor(norm), 1, 5).item() == factor
    assert torch.isfinite(history).all()
    assert (history > 0).all()


def test_a_parameter_whose_first_gradients_are_zero_is_not_clipped_to_a_standstill() -> None:
    p = nn.Parameter(torch.zeros(64, 64))
    optimizer = SGD8bit([p], lr=1.0, percentile_clipping=5)
    for grad in (torch.zeros(64, 64), torch.ones(64, 64)):
        p.grad = grad
        optimizer.step()
    torch.testing.assert_close(p.detach(), -torch.ones(64, 64))
