"""Float tensors as 8-bit codes: representation, rounding, scales."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.optim.int8_weights import QuantizedLinear, dequantize_int8, quantize_int8
from optimand.optim.projection import generator_of


def test_a_group_far_from_zero_is_represented():
    w = torch.linspace(2, 3, 128)
    found = dequantize_int8(*quantize_int8(w))
    assert (found - w).abs().max() <= 3 / 255


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 400), st.sampled_from((1, 7, 64, 128)), st.floats(-4, 4), st.floats(0, 3), st.integers(0, 99))
def test_rounding_moves_an_entry_by_half_a_step_and_zero_not_at_all(count, group, shift, width, seed):
    w = shift + width * torch.randn(count, generator=generator_of(seed))
    w[::5] = 0.0
    codes, scale, zero = quantize_int8(w, group)
    found = dequantize_int8(codes, scale, zero, group)
    assert codes.dtype == zero.dtype == torch.uint8
    assert scale.shape == zero.shape == (-(-count // group),)
    step = scale.repeat_interleave(group)[:count]
    assert ((found - w).abs() <= 0.501 * step).all()
    assert (found[::5] == 0.0).all()
    for part, spacing in zip(w.split(group), scale, strict=True):
        span = part.clamp(min=0).max() - part.clamp(max=0).min()
        assert spacing <= max(span.item(), 1e-5) / 255 * 1.008  # codes that reach both ends cost little
    again = quantize_int8(found, group, previous=(scale, zero))
    assert all(torch.equal(a, b) for a, b in zip(again, (codes, scale, zero), strict=True))


def test_values_that_codes_hit_come_back_exactly():
    w = torch.arange(-100, 156).float() / 256
    assert torch.equal(dequantize_int8(*quantize_int8(w, 256), 256), w)


@pytest.mark.parametrize("values", [torch.zeros(4), torch.full((4,), 1e-9), torch.full((4,), -1e-7)], ids=str)
def test_groups_without_range_survive(values):
    found = dequantize_int8(*quantize_int8(values, 4), 4)
    assert (found - values).abs().max() <= 1e-5 / 255


def test_stochastic_rounding_is_unbiased_everywhere():
    w = torch.randn(128, generator=generator_of(3)) - 0.3
    total, square = torch.zeros(128, dtype=torch.float64), torch.zeros(128, dtype=torch.float64)
    for key in range(1024):
        found = dequantize_int8(*quantize_int8(w, key=key)).double()
        total += found
        square += (found - w.double()) ** 2
    mean = total / 1024
    error = (square / 1024).sqrt() / math.sqrt(1024)
    assert ((mean - w.double()).abs() <= 4 * error + 1e-6).all()
    nearest = dequantize_int8(*quantize_int8(w)).double()
    assert ((nearest - w.double()).abs() > 4 * error + 1e-6).any()


def test_scales_are_kept_until_they_no_longer_serve():
    w = torch.linspace(-1, 2, 128)
    _, scale, zero = quantize_int8(w)
    for factor, kept in ((1.0, True), (0.97, True), (0.9, False), (1.02, False), (-1.0, False)):
        codes, new_scale, new_zero = quantize_int8(factor * w, previous=(scale, zero))
        assert (torch.equal(new_scale, scale) and torch.equal(new_zero, zero)) == kept
        found = dequantize_int8(codes, new_scale, new_zero)
        assert (found - factor * w).abs().max() <= 0.501 * new_scale


def test_a_weight_that_does_not_move_does_not_drift():
    layer = QuantizedLinear(64, 64, bias=False)
    before = layer.dequantize()
    optimizer = torch.optim.SGD([layer.weight], lr=1.0)
    for _ in range(50):
        layer.weight.grad = torch.zeros(64, 64)
        optimizer.step()
    changed = (layer.dequantize() != before).float().mean()
    assert changed < 0.01  # where a quotient of float32 is not the integer, one in 1e5 roundings goes down


def test_noise_is_a_function_of_the_key():
    w = torch.randn(600, 700, generator=generator_of(1))  # more than one piece
    first = quantize_int8(w, key=5)[0]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert torch.equal(first, quantize_int8(w, key=5)[0])
    assert torch.equal(torch.get_rng_state(), before)
    other = quantize_int8(w, key=6)[0]
    share = (first != other).float().mean().item()
    assert 0.2 < share < 0.5  # a third of the entries in expectation
    parts = (first.float() - first.float().mean(1, keepdim=True)).view(-1)
    assert not torch.equal(parts[: 1 << 18], parts[1 << 17 : (1 << 17) + (1 << 18)])


def test_bad_group_sizes_are_refused():
    with pytest.raises(ValueError, match=r"group_size.*0"):
        quantize_int8(torch.ones(4), 0)
    with pytest.raises(TypeError, match="group_size"):
        QuantizedLinear(4, 4, group_size=2.5)  # type: ignore[arg-type]
