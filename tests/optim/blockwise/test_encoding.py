"""Codes by compiled code: exactly the nearest ones, on every path, for every map and scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from optimand.optim.blockwise import QuantizedTensor, fused
from optimand.optim.blockwise.codec import unpack_nibbles
from optimand.optim.blockwise.maps import MAPS
from optimand.optim.kernels import Kernel, native

needs_library = pytest.mark.skipif(not native.available(), reason="the native library has not been built")


def take(p, g, s):  # type: ignore[no-untyped-def]
    """Loads the gradient into the state."""
    return p, g


def draw(n: int, seed: int) -> Tensor:
    """Numbers of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator) * 10.0 ** (4 * torch.rand(n, generator=generator) - 3)


def bits_of(x: Tensor) -> Tensor:
    return x.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[x.element_size()])


def beside_midpoints(m: Any, per_block: int) -> Tensor:
    """Blocks with an extreme of 1 whose other values are within 17 units in the last place of a midpoint."""
    bits = m.midpoints().abs().view(torch.int32).long()
    near = (bits[:, None] + torch.arange(-17, 18)).clamp(min=0).to(torch.int32).view(torch.float32).flatten()
    near = torch.cat([near, -near] if m.signed else [near])
    near = near[near.abs() <= 1.0]
    padded = torch.cat([near, torch.zeros(-len(near) % (per_block - 1))]).view(-1, per_block - 1)
    return torch.cat([padded, torch.ones(len(padded), 1)], dim=1)


def reference_codes(x: Tensor, m: Any) -> Tensor:
    """The nearest codes of rows whose extremes are positive, by brute force in float64; ties go to the lower one."""
    y = (x / x.amax(dim=1, keepdim=True)).double()
    distance = (y[:, :, None] - m.table().double()).abs()
    return distance.argmin(dim=2)


@pytest.mark.parametrize("name", [name for name in MAPS if not MAPS[name].root])
def test_codes_are_the_nearest_beside_every_midpoint(name: str) -> None:
    m = MAPS[name]
    x = beside_midpoints(m, 256)
    expected = reference_codes(x, m).flatten().to(torch.uint8)
    for path in (*native.available(), "none"):  # "none" is Numba
        q = QuantizedTensor.zeros_like(x, name)
        with native.using(path):
            assert fused.quantize(x, q) == (path != "none")
            if path == "none":
                if m.bits == 4:
                    continue  # one compilation for each sort of map is enough
                assert fused.launch(Kernel(take, states=("s",)), [x.clone()], [x], [[q]], [()]) == []
        codes = q.codes if m.bits == 8 else unpack_nibbles(q.codes, x.numel())
        assert torch.equal(codes, expected)
        assert torch.equal(q.scale, torch.ones(len(x)))


@needs_library
@pytest.mark.parametrize("name", ["dynamic", "dynamic_unsigned"])
def test_no_element_has_a_nearer_code(name: str) -> None:
    m = MAPS[name]
    x = torch.randn(102_400, generator=torch.Generator().manual_seed(0))
    x = x if m.signed else x.abs()
    for level in native.available():
        q = QuantizedTensor.zeros_like(x, name)
        with native.using(level):
            assert fused.quantize(x, q)
        y = x.view(-1, 256).double() / q.scale.double()[:, None]
        table = m.table().double()
        stored = (y - table[q.codes.view(-1, 256).long()]).abs()
        near = torch.searchsorted(table, y.contiguous()).clamp(1, len(table) - 1)
        best = torch.minimum((y - table[near]).abs(), (y - table[near - 1]).abs())
        assert (stored - best).max() <= 1e-7


@needs_library
@pytest.mark.parametrize("name", list(MAPS))
@pytest.mark.parametrize("size", [1e-45, 3e-40, 1.2e-38, 1e-20, 1.0, 9e37, 3e38])
def test_extreme_scales_and_blocks_of_zeros(name: str, size: float) -> None:
    m = MAPS[name]
    x = draw(1000, 1).clamp(-1.0, 1.0) * size
    x[256:512] = 0.0
    x[256:300] = -0.0
    x = x if m.signed else x.abs()
    expected = QuantizedTensor.zeros_like(x, name)
    with native.using("none"):
        expected.copy_(x)
        values = expected.dequantize()
    for level in native.available():
        q = QuantizedTensor.zeros_like(x, name)
        with native.using(level):
            assert fused.quantize(x, q)
            assert torch.equal(bits_of(q.dequantize()), bits_of(values))
        assert torch.equal(q.codes, expected.codes)
        assert torch.equal(bits_of(q.scale), bits_of(expected.scale))


@needs_library
def test_what_cannot_be_quantized_is_left_to_the_caller() -> None:
    with native.using(native.available()[-1]):
        _check_refusals(torch.ones(300))


def _check_refusals(x: Tensor) -> None:
    q = QuantizedTensor.zeros_like(x, "dynamic_unsigned")
    for bad in (float("nan"), float("-inf"), -1.0):
        assert not fused.quantize(torch.where(torch.arange(300) == 7, torch.tensor(bad), x), q)
    assert not fused.quantize(x.double(), q)
    assert not fused.dequantize(q, torch.empty(300, dtype=torch.float64))
    assert not fused.dequantize(QuantizedTensor.zeros_like(torch.ones(2, 3)), torch.empty(3, 2).t())
    half = torch.linspace(0.0, 1.0, 300).bfloat16()
    assert fused.quantize(half, q)
    assert torch.equal(q.codes, QuantizedTensor.zeros_like(x, "dynamic_unsigned").copy_(half.float()).codes)
