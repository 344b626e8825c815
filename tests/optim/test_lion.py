"""Lion: the paper's algorithm, its guarantees and its interface."""

from __future__ import annotations

import copy
import warnings

import lion_pytorch
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from optimand.optim import Lion, state_bytes
from optimand.optim.methods import signum

# theta_0 and three gradients, float64, lr = 0.01, betas (0.9, 0.99), weight decay 0.1; the trajectory was computed
# by hand from the algorithm and agrees with lion-pytorch 0.2.5.
THETA = [0.5, -0.25, 1.0, 0.0]
GRADS = ([0.3, -0.2, 0.0, 1e-3], [-0.1, 0.4, 0.0, -2e-3], [-0.5, -0.05, 0.0, 5e-3])
TRAJECTORY = (
    [0.4895, -0.23975, 0.999, -0.01],
    [0.4990105, -0.24951025, 0.998001, 1e-5],
    [0.5085114895, -0.23926073975, 0.997002999, -0.00999001],
)
MOMENTUM = [-0.0030497, 0.0014998, 0.0, 4.0001e-5]
PATHS = (
    {"fused": True},
    {"foreach": True},
    {"foreach": False, "fused": False},
    {"capturable": True},
)


def reference_step(theta, m, g, lr, beta1, beta2, weight_decay):
    """The algorithm box in NumPy, each operation rounded by itself."""
    dtype = theta.dtype.type
    c = dtype(beta1) * m + dtype(1 - beta1) * g
    theta = theta * dtype(1 - lr * weight_decay) - dtype(lr) * np.sign(c)
    return theta, dtype(beta2) * m + dtype(1 - beta2) * g


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_worked_example(path):
    p = nn.Parameter(torch.tensor(THETA, dtype=torch.float64))
    optimizer = Lion([p], lr=0.01, weight_decay=0.1, **path)
    for g, expected in zip(GRADS, TRAJECTORY, strict=True):
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        torch.testing.assert_close(p.detach(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)
    m = optimizer.state[p]["exp_avg"]
    torch.testing.assert_close(m, torch.tensor(MOMENTUM, dtype=torch.float64), rtol=0, atol=1e-17)


def test_equals_lion_pytorch():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (nn.Parameter(torch.tensor(THETA, dtype=torch.float64)) for _ in range(2))
    optimizers = Lion([ours], lr=0.01, weight_decay=0.1), lion_pytorch.Lion([theirs], lr=0.01, weight_decay=0.1)
    for _ in range(50):
        ours.grad = torch.randn(4, generator=generator, dtype=torch.float64)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paths_are_bit_equal_to_the_reference_for_500_steps(dtype):
    generator = torch.Generator().manual_seed(1)
    shapes = [(33, 7), (5,), (), (0, 3), (2, 3, 4), (70_000,)]
    start = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
    runs = []
    for path in PATHS:
        params = [nn.Parameter(t.clone()) for t in start]
        runs.append((params, Lion(params, lr=3e-3, weight_decay=0.3, **path)))
    reference = [(t.numpy().copy(), np.zeros_like(t.numpy())) for t in start]
    for step in range(500):
        if step >= 20:  # the large one only at first, to keep the test short
            for params, _ in runs:
                params[-1].grad = None
        for i, shape in enumerate(shapes[: 6 if step < 20 else 5]):
            g = torch.randn(shape, generator=generator, dtype=dtype)
            for params, _ in runs:
                params[i].grad = g.clone()
            reference[i] = reference_step(*reference[i], g.numpy(), 3e-3, 0.9, 0.99, 0.3)
        for _, optimizer in runs:
            optimizer.step()
    for params, optimizer in runs:
        for p, (theta, m) in zip(params, reference, strict=True):
            assert torch.equal(p.detach(), torch.from_numpy(np.asarray(theta)))
            assert torch.equal(optimizer.state[p]["exp_avg"], torch.from_numpy(np.asarray(m)))


def test_decay_is_decoupled():
    # a decay inside the sign would move by lr whatever the size of the parameter
    p = nn.Parameter(torch.tensor([4.0, -0.5], dtype=torch.float64))
    p.grad = torch.zeros_like(p)
    Lion([p], lr=0.125, weight_decay=0.5).step()
    assert p.tolist() == [4.0 * (1 - 0.0625), -0.5 * (1 - 0.0625)]


@settings(max_examples=30, deadline=None)
@given(st.integers(-20, 20), st.integers(0, 1000))
def test_trajectory_is_invariant_to_scaling_all_gradients_by_powers_of_two(exponent, seed):
    generator = torch.Generator().manual_seed(seed)
    grads = [torch.randn(9, generator=generator) for _ in range(5)]
    results = []
    for scale in (1.0, 2.0**exponent):
        p = nn.Parameter(torch.ones(9))
        optimizer = Lion([p], lr=0.01, weight_decay=0.1)
        for g in grads:
            p.grad = g * scale
            optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)


def test_every_coordinate_moves_by_lr():
    p = nn.Parameter(torch.zeros(1000, dtype=torch.float64))
    optimizer = Lion([p], lr=2.0**-7)
    for seed in range(5):
        before = p.detach().clone()
        p.grad = torch.randn(1000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        optimizer.step()
        assert ((p.detach() - before).abs() == 2.0**-7).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 5.0), st.floats(0.01, 0.19), st.integers(0, 1000))
def test_iterates_stay_in_the_box_of_weight_decay(weight_decay, lr, seed):
    generator = torch.Generator().manual_seed(seed)
    p = nn.Parameter(torch.randn(20, generator=generator, dtype=torch.float64) * 3)
    bound = max(p.detach().abs().max().item(), 1 / weight_decay)
    optimizer = Lion([p], lr=lr, weight_decay=weight_decay)
    for _ in range(30):
        p.grad = torch.randn(20, generator=generator, dtype=torch.float64) + 1.0
        optimizer.step()
        assert p.detach().abs().max().item() <= bound * (1 + 1e-12)


def test_zero_update_where_the_interpolated_momentum_is_zero():
    p = nn.Parameter(torch.tensor([1.0, -0.0]))
    p.grad = torch.zeros(2)
    Lion([p], lr=0.1).step()
    assert p.tolist() == [1.0, -0.0]


@pytest.mark.parametrize("path", PATHS[:3], ids=str)
def test_cautious_equals_lion_pytorch(path):
    from lion_pytorch.cautious_lion import Lion as CautiousLion

    generator = torch.Generator().manual_seed(3)
    ours = nn.Parameter(torch.randn(30, generator=generator, dtype=torch.float64))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = (
        Lion([ours], lr=0.01, weight_decay=0.1, cautious=True, **path),
        CautiousLion([theirs], lr=0.01, weight_decay=0.1, cautious_factor=0.0),
    )
    for _ in range(20):
        ours.grad = torch.randn(30, generator=generator, dtype=torch.float64)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-14)


def test_cautious_step_keeps_its_mean_size_and_never_opposes_the_gradient():
    p = nn.Parameter(torch.zeros(400))
    optimizer = Lion([p], lr=0.01, cautious=True)
    for seed in range(3):
        before = p.detach().clone()
        p.grad = torch.randn(400, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
        moved = p.detach() - before
        assert (moved * p.grad <= 0).all()
        assert moved.abs().mean().item() == pytest.approx(0.01, rel=1e-4)


def test_signum_is_the_sign_of_the_momentum():
    generator = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.zeros(50))
    optimizer = signum([p], lr=1.0, momentum=0.5)
    for _ in range(10):
        before = p.detach().clone()
        p.grad = torch.randn(50, generator=generator)
        optimizer.step()
        m = optimizer.state[p]["exp_avg"]
        assert torch.equal(before - p.detach(), torch.sign(m))


def test_bfloat16_momentum_halves_the_state_and_survives_loading():
    params = [nn.Parameter(torch.randn(64, 32, generator=torch.Generator().manual_seed(0)))]
    full, half = Lion(params), Lion(params, momentum_dtype=torch.bfloat16)
    params[0].grad = torch.ones_like(params[0])
    full.step()
    half.step()
    assert state_bytes(full) == 64 * 32 * 4
    assert state_bytes(half) == 64 * 32 * 2
    other = Lion(params, momentum_dtype=torch.bfloat16)
    other.load_state_dict(half.state_dict())
    assert other.state[params[0]]["exp_avg"].dtype == torch.bfloat16
    # and float32 momentum for bfloat16 parameters, which torch's loader would round
    p = nn.Parameter(torch.ones(5, dtype=torch.bfloat16))
    p.grad = torch.full_like(p, 0.3)
    wide = Lion([p], momentum_dtype=torch.float32)
    wide.step()
    again = Lion([p], momentum_dtype=torch.float32)
    again.load_state_dict(copy.deepcopy(wide.state_dict()))
    assert torch.equal(again.state[p]["exp_avg"], wide.state[p]["exp_avg"])
    assert again.state[p]["exp_avg"].dtype == torch.float32


def test_from_adamw_divides_lr_and_multiplies_decay():
    p = nn.Parameter(torch.zeros(1))
    group = Lion.from_adamw([p], lr=1e-3, weight_decay=1.0, ratio=10.0, betas=(0.95, 0.98)).param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-4, 10.0, (0.95, 0.98))
    with pytest.raises(ValueError, match=r"ratio.*0"):
        Lion.from_adamw([p], ratio=0.0)


def test_a_decay_that_turns_signs_warns():
    p = nn.Parameter(torch.zeros(1))
    with pytest.warns(UserWarning, match=r"lr \* weight_decay is 1"):
        Lion([p], lr=0.1, weight_decay=10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Lion([p], lr=0.1, weight_decay=9.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betas": (0.9,)}, "two numbers"),
        ({"betas": (1.0, 0.9)}, "1.0"),
        ({"momentum_dtype": torch.int32}, "int32"),
        ({"momentum_dtype": "bf16"}, "bf16"),
        ({"foreach": True, "fused": True}, "both"),
        ({"fused": True, "differentiable": True}, "differentiable"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Lion([nn.Parameter(torch.zeros(1))], **options)


def test_stochastic_rounding_moves_what_nearest_rounding_cannot():
    # half a bfloat16 spacing at 1.0 is 2**-8 upward: steps of 2**-12 vanish when rounded to nearest
    nearest, stochastic = (nn.Parameter(torch.ones(4096, dtype=torch.bfloat16)) for _ in range(2))
    optimizers = Lion([nearest], lr=2.0**-12), Lion([stochastic], lr=2.0**-12, stochastic_rounding=True)
    for _ in range(64):
        for p in (nearest, stochastic):
            p.grad = torch.full_like(p, -1.0)
        for optimizer in optimizers:
            optimizer.step()
    assert (nearest == 1.0).all()
    assert stochastic.float().mean().item() == pytest.approx(1.0 + 64 * 2.0**-12, abs=5e-4)


def test_stochastic_rounding_resumes_bit_for_bit_and_is_the_same_on_all_paths():
    results = []
    for path in PATHS[:3]:
        p = nn.Parameter(torch.ones(1000, dtype=torch.bfloat16))
        optimizer = Lion([p], lr=1e-3, stochastic_rounding=True, **path)
        for step in range(10):
            if step == 5:
                state, old = copy.deepcopy(optimizer.state_dict()), p.detach().clone()
                p = nn.Parameter(old)
                optimizer = Lion([p], stochastic_rounding=True, **path)
                optimizer.load_state_dict(state)
            p.grad = torch.full_like(p, 0.5)
            optimizer.step()
        results.append(p.detach())
    straight = nn.Parameter(torch.ones(1000, dtype=torch.bfloat16))
    optimizer = Lion([straight], lr=1e-3, stochastic_rounding=True)
    for _ in range(10):
        straight.grad = torch.full_like(straight, 0.5)
        optimizer.step()
    for result in results:
        assert torch.equal(result, straight.detach())


def test_differentiable_step_lets_the_learning_rate_be_learned():
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    p = start.clone()
    p.grad = torch.tensor([0.5, -0.5], dtype=torch.float64)
    optimizer = Lion([{"params": [p]}], lr=lr, weight_decay=0.5, differentiable=True)
    optimizer.step()
    p.sum().backward()
    # d/dlr of theta - lr (sign(g) + 0.5 theta), summed
    assert lr.grad.item() == pytest.approx(-((1.0 - 1.0) + 0.5 * (1.0 - 2.0)))
    assert torch.equal(start.grad, torch.full((2,), 0.95, dtype=torch.float64))
