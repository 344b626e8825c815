"""The schedule and the checks of settings."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimand.training import Settings


@given(
    st.sampled_from(["cosine", "linear", "constant"]),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.integers(1, 500),
)
def test_learning_rate_rises_then_never_rises_again(schedule, warmup, floor, budget):
    settings = Settings(schedule=schedule, warmup=warmup, floor=floor)
    factors = [settings.factor(step, budget) for step in range(budget)]
    warm = round(warmup * budget)
    assert all(0 < f <= 1 for f in factors[:warm])
    assert factors[:warm] == sorted(factors[:warm])
    rest = factors[warm:]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rest))
    assert all(f >= floor - 1e-12 for f in rest)
    if warm < budget:
        assert rest[0] == pytest.approx(1.0)


def test_cosine_equals_torchs_annealing():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    settings = Settings(warmup=0.0, floor=0.1)
    for step in range(50):
        assert settings.factor(step, 50) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
        ({"schedule": "cosin"}, ValueError, "did you mean 'cosine'"),
        ({"warmup": 1.0}, ValueError, "warmup must be in"),
        ({"floor": -0.1}, ValueError, "floor must be in"),
        ({"clip": 0.0}, ValueError, "clip must be in"),
        ({"amp": "fp8"}, ValueError, "amp must be one of"),
        ({"accumulate": 65}, ValueError, r"accumulate must be in \[1, 64\], got 65"),
        ({"device": "tpu"}, ValueError, "device must be 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
        ({"evaluations": 0}, ValueError, "evaluations must be at least 1"),
    ],
)
def test_bad_setting_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        Settings(**changes)
