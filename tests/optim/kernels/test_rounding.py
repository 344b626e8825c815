"""16-bit floating point: conversions against torch's, stochastic rounding against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optimand.optim.kernels import Kernel
from optimand.optim.kernels.rounding import noise, noise_tensor, round_stochastic_tensor

HALF = (torch.bfloat16, torch.float16)


def copy_of(p, g, s):
    """Loads float32 ``s`` into the parameter, and the parameter into ``s``."""
    return s, p


COPY = Kernel(copy_of, states=("s",))


def interesting_floats() -> torch.Tensor:
    bits = torch.arange(0, 2**32, 65537 * 3, dtype=torch.int64)
    spread = torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32).view(torch.float32)
    edges = torch.tensor(
        [0.0, -0.0, 65504.0, 65519.9, 65520.0, 65536.0, 1e38, 6.1e-5, 5.97e-8, 2.98e-8, 2.99e-8, 1e-10]
    )
    half_way = (torch.arange(2048) + 0.5) * 2.0**-24
    return torch.cat([spread, edges, -edges, half_way, torch.tensor([float("inf"), -float("inf"), float("nan")])])


@pytest.mark.parametrize("dtype", HALF)
def test_compiled_rounding_to_nearest_is_torchs(dtype):
    x = interesting_floats()
    p = torch.zeros(x.shape, dtype=dtype)
    assert COPY.launch([p], [p.clone()], [[x.clone()]], [()]) == []
    torch.testing.assert_close(p, x.to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", HALF)
def test_compiled_reading_is_torchs_for_every_pattern(dtype):
    p = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    s = torch.zeros(p.shape)
    expected = p.float()
    assert COPY.launch([p.clone()], [p.clone()], [[s]], [()]) == []
    torch.testing.assert_close(s, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", HALF)
def test_stochastic_rounding_compiled_and_by_tensors_is_the_same(dtype):
    x = interesting_floats()
    p = torch.zeros(x.shape, dtype=dtype)
    COPY.launch([p], [p.clone()], [[x.clone()]], [()], keys=[987654321])
    expected = round_stochastic_tensor(x, dtype, noise_tensor(987654321, x.shape, x.device))
    torch.testing.assert_close(p, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("value", [1.001, -3.14159, 3e-6, 1e-7, 100.01])
def test_stochastic_rounding_has_the_value_as_its_mean(dtype, value):
    n = 40_000
    x = torch.full((n,), value)
    rounded = round_stochastic_tensor(x, dtype, noise_tensor(5, x.shape, x.device)).double()
    assert len(rounded.unique()) == 2
    low, high = rounded.min().item(), rounded.max().item()
    assert low <= x[0].item() <= high
    deviation = (high - low) / 2 / n**0.5
    assert abs(rounded.mean().item() - x[0].item()) < 5 * deviation


@pytest.mark.parametrize("dtype", HALF)
def test_representable_values_are_kept(dtype):
    x = torch.tensor([0.0, -0.0, 1.0, -0.5, 2.0**-20, float("inf"), -float("inf")])
    for key in range(20):
        rounded = round_stochastic_tensor(x, dtype, noise_tensor(key, x.shape, x.device))
        assert torch.equal(rounded.float(), x)


def test_noise_is_uniform_and_differs_between_keys():
    x = noise_tensor(1, torch.Size([1 << 16]), torch.device("cpu")).numpy()
    y = noise_tensor(2, torch.Size([1 << 16]), torch.device("cpu")).numpy()
    counts = np.bincount(x >> 24, minlength=256)
    chi2 = ((counts - 256) ** 2 / 256).sum()
    assert 150 < chi2 < 400  # 255 degrees of freedom: mean 255, standard deviation 22.6
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.02
    assert [int(noise(np.uint32(1), np.int64(i))) for i in range(5)] == x[:5].tolist()
