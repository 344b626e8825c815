"""Quantize and dequantize: worked example, exact nearest against brute force, outliers, properties, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from optimand.optim.blockwise import dequantize_blockwise, dynamic_map, quantize_blockwise
from optimand.optim.blockwise.codec import pack_nibbles, pieces, unpack_nibbles

X = torch.tensor([0.5, -1, 0.001, 2, -2, 1e-6, -3e-3, 0.3])
BIG = 1 << 20


@pytest.fixture(scope="module")
def normals() -> Tensor:
    return torch.randn(BIG, generator=torch.Generator().manual_seed(0))


def best_and_chosen(x: Tensor, codes: Tensor, scale: Tensor, table: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Distances to the nearest possible value and to the chosen one, in units of the scale, in float64."""
    full = scale.repeat_interleave(block)[: x.numel()].double()
    y = torch.where(full == 0, 0.0, x.double().view(-1) / full)
    table = table.double()
    at = torch.searchsorted(table, y).clamp(1, len(table) - 1)
    best = torch.minimum((y - table[at - 1]).abs(), (table[at] - y).abs())
    return best, (y - table[codes.view(-1).long()]).abs()


@pytest.mark.parametrize("signed_scale", [False, True])
def test_worked_example(signed_scale: bool) -> None:
    codes, scale = quantize_blockwise(X, "dynamic", signed_scale=signed_scale)
    assert codes.tolist() == [201, 35, 138, 255, 0, 128, 111, 194]
    assert scale.tolist() == [2.0]
    expected = [0.495312482, -1.001562476, 0.0009875, 2.0, -1.985937476, 1.1e-6, -0.0025625, 0.298437506]
    assert dequantize_blockwise(codes, scale).tolist() == pytest.approx(expected, rel=2e-7)


def test_worked_example_without_signs() -> None:
    codes, scale = quantize_blockwise(X.abs(), "dynamic_unsigned")
    assert codes.tolist() == [148, 183, 22, 255, 255, 1, 32, 134]
    expected = [0.502343714, 0.994531214, 0.00104375, 2, 2, 6.5e-7, 0.00284375, 0.305468738]
    assert dequantize_blockwise(codes, scale, "dynamic_unsigned").tolist() == pytest.approx(expected, rel=2e-7)


@pytest.mark.parametrize("signed_scale", [False, True])
@pytest.mark.parametrize("name", ["dynamic", "dynamic_unsigned", "dynamic4", "linear4_unsigned"])
def test_every_code_is_the_nearest(normals: Tensor, name: str, signed_scale: bool) -> None:
    x = normals[:102_400] if name in ("dynamic", "dynamic4") else normals[:102_400].abs()
    table = {"dynamic": dynamic_map(True), "dynamic_unsigned": dynamic_map(False), "dynamic4": dynamic_map(True, 4, 3)}
    values = table.get(name, torch.arange(1, 17) / 16)
    codes, scale = quantize_blockwise(x, name, signed_scale=signed_scale)
    best, chosen = best_and_chosen(x, codes, scale, values, 256)
    assert (chosen - best).max() <= 1e-7


def test_square_roots() -> None:
    v = torch.tensor([1.0, 0.25, 1e-9, 1e-16, 0.0])
    codes, scale = quantize_blockwise(v, "dynamic_unsigned_sqrt")
    assert scale.tolist() == [1.0]
    assert codes.tolist() == quantize_blockwise(v.sqrt(), "dynamic_unsigned")[0].tolist()
    back = dequantize_blockwise(codes, scale, "dynamic_unsigned_sqrt")
    # levels get sparse towards the low end; the root of 1e-16, 1e-8, is less than half of the least one, 3.25e-7
    assert back.tolist() == pytest.approx([1.0, 0.2473, 7.22e-10, 0.0, 0.0], rel=1e-3)
    assert quantize_blockwise(v, "dynamic_unsigned")[0].tolist()[2:] == [0, 0, 0]


def test_signed_scale_stores_the_extreme_exactly() -> None:
    codes, scale = quantize_blockwise(torch.tensor([-4.0, 1.0, 0.0]))
    assert scale.tolist() == [-4.0]
    assert dequantize_blockwise(codes, scale).tolist()[0] == -4.0
    codes, scale = quantize_blockwise(torch.tensor([-4.0, 1.0, 0.0]), signed_scale=False)
    assert scale.tolist() == [4.0]
    assert dequantize_blockwise(codes, scale).tolist()[0] == pytest.approx(-4 * 0.99296875)


def test_requantizing_is_idempotent_with_the_signed_scale(normals: Tensor) -> None:
    codes, scale = quantize_blockwise(normals)
    again = quantize_blockwise(dequantize_blockwise(codes, scale))
    assert torch.equal(codes, again[0])
    assert torch.equal(scale, again[1])
    codes, scale = quantize_blockwise(normals, signed_scale=False)
    again = quantize_blockwise(dequantize_blockwise(codes, scale), signed_scale=False)
    shrunk = again[1] < scale * 0.999
    assert 0.4 < shrunk.float().mean() < 0.55  # the blocks whose extreme is negative


def test_what_is_below_half_the_least_level_is_0() -> None:
    x = torch.tensor([1.0, 1e-8, -1e-8, 0.0, -0.0])
    assert quantize_blockwise(x)[0].tolist() == [255, 127, 127, 127, 127]


def test_errors_of_standard_normals_are_the_published_ones(normals: Tensor) -> None:
    for block, absolute, relative in ((256, 0.008527, 0.015382), (2048, 0.009724, 0.016699)):
        codes, scale = quantize_blockwise(normals, "dynamic", block, signed_scale=False)
        error = (dequantize_blockwise(codes, scale, "dynamic", block) - normals).abs()
        assert error.mean().item() == pytest.approx(absolute, rel=5e-3)
        assert (error / normals.abs()).mean().item() == pytest.approx(relative, rel=1e-2)
    codes, scale = quantize_blockwise(normals)
    error = (dequantize_blockwise(codes, scale) - normals).abs()
    assert error.mean().item() == pytest.approx(0.008485, rel=5e-3)


def relative_error(x: Tensor, block: int | None) -> float:
    if block is not None:
        codes, scale = quantize_blockwise(x, "dynamic", block)
        back = dequantize_blockwise(codes, scale, "dynamic", block)
    else:  # one scale for the whole tensor
        scale = x.abs().max()
        back = dynamic_map()[torch.bucketize(x / scale, (dynamic_map()[1:] + dynamic_map()[:-1]) / 2)] * scale
    return ((back - x) / x).abs().mean().item()


def test_an_outlier_spoils_its_own_block_only(normals: Tensor) -> None:
    spoilt = normals.clone()
    spoilt[12_345] = 1000.0
    assert relative_error(spoilt, 256) <= 1.05 * relative_error(normals, 256)
    assert relative_error(spoilt, None) >= 4.0 * relative_error(normals, None)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=150, deadline=None)
@given(
    x=arrays(np.float32, st.integers(0, 700), elements=FLOATS),
    block=st.sampled_from([64, 128, 256]),
    signed_scale=st.booleans(),
)
@example(x=np.zeros(130, np.float32), block=64, signed_scale=True)
@example(x=np.full(70, -1e-45, np.float32), block=64, signed_scale=True)
@example(x=np.array([3.4e38, -3.4e38, 1e-45, 0.0], np.float32), block=64, signed_scale=False)
def test_any_finite_values_survive_within_half_a_gap(x: np.ndarray, block: int, signed_scale: bool) -> None:
    tensor = torch.from_numpy(x)
    codes, scale = quantize_blockwise(tensor, "dynamic", block, signed_scale=signed_scale)
    back = dequantize_blockwise(codes, scale, "dynamic", block)
    assert torch.isfinite(back).all()
    assert (scale.abs() == torch.tensor([float(np.abs(x[i : i + block]).max()) for i in range(0, len(x), block)])).all()
    size = scale.abs().repeat_interleave(block)[: len(x)].double()
    # half-gaps of the top decade, doubled at the negative end, which has no -1; values of 1e-45 have one digit only
    assert ((back.double() - tensor.double()).abs() <= 0.0070314 * size * (1 if signed_scale else 1.01) + 1e-45).all()
    assert (back[tensor == 0] == 0).all()
    assert ((back == 0) | (back.sign() == tensor.sign())).all()
    if signed_scale and size.numel() and size.min() > 1e-30:
        again = quantize_blockwise(back, "dynamic", block)
        assert torch.equal(again[0], codes)
        assert torch.equal(again[1], scale)


@settings(max_examples=100, deadline=None)
@given(
    x=arrays(np.float32, st.integers(0, 700), elements=st.floats(0.0, 3.0000000054977558e38, width=32)),
    name=st.sampled_from(["dynamic_unsigned", "dynamic_unsigned_sqrt", "linear4_unsigned"]),
)
def test_any_non_negative_values_survive(x: np.ndarray, name: str) -> None:
    tensor = torch.from_numpy(x)
    codes, scale = quantize_blockwise(tensor, name, 64)
    back = dequantize_blockwise(codes, scale, name, 64)
    assert torch.isfinite(back).all()
    assert (back >= 0).all()
    size = torch.tensor([float(x[i : i + 64].max()) for i in range(0, len(x), 64)])
    size = size.repeat_interleave(64)[: len(x)].double()
    gap = {"linear4_unsigned": 1 / 16, "dynamic_unsigned_sqrt": 0.0071}.get(name, 0.003516)
    assert ((back.double() - tensor.double()).abs() <= gap * size + 1e-44).all()


def test_shapes_dtypes_and_layouts(normals: Tensor) -> None:
    x = normals[:6000].view(60, 100)
    codes, scale = quantize_blockwise(x)
    assert codes.shape == x.shape
    assert scale.shape == (math.ceil(6000 / 256),)
    assert torch.equal(quantize_blockwise(x.double())[0], codes)
    assert torch.equal(quantize_blockwise(x.t())[0], quantize_blockwise(x.t().contiguous())[0])
    half = x.bfloat16()
    assert torch.equal(quantize_blockwise(half)[0], quantize_blockwise(half.float())[0])
    table = dynamic_map()
    assert torch.equal(quantize_blockwise(x, table)[0], codes)
    assert torch.equal(dequantize_blockwise(codes, scale, table), dequantize_blockwise(codes, scale))
    empty, none = quantize_blockwise(torch.empty(0, 3))
    assert empty.shape == (0, 3)
    assert none.shape == (0,)
    assert dequantize_blockwise(empty, none).shape == (0, 3)
    assert quantize_blockwise(torch.tensor(-2.5))[1].tolist() == [-2.5]


def test_pieces_cover_everything_in_whole_blocks() -> None:
    for numel, block, most in ((0, 64, 1000), (1, 64, 10), (64, 64, 10), (1000, 64, 200), (4096, 256, 4096)):
        cut = pieces(numel, block, most)
        assert [begin for begin, _, _ in cut] == [0, *(end for _, end, _ in cut)][: len(cut)]
        assert sum(end - begin for begin, end, _ in cut) == numel
        assert sum(rows for _, _, rows in cut) == -(-numel // block)
        assert all((end - begin) % rows == 0 for begin, end, rows in cut)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_nibbles_round_trip(count: int) -> None:
    codes = torch.randint(0, 16, (count,), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
    packed = pack_nibbles(codes)
    assert packed.numel() == (count + 1) // 2
    assert torch.equal(unpack_nibbles(packed, count), codes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": torch.ones(3, dtype=torch.int32)}, TypeError, "x must be a floating-point tensor, got torch.int32"),
        ({"x": [1.0]}, TypeError, "x must be a floating-point tensor, got list"),
        ({"x": X, "block_size": 100}, ValueError, "power of two in .64, 4096., got 100"),
        ({"x": X, "block_size": 32}, ValueError, r"block_size must be in \[64, 4096\], got 32"),
        ({"x": X, "block_size": 256.0}, TypeError, "block_size must be an integer"),
        ({"x": X, "code": "dynamik"}, ValueError, "did you mean 'dynamic'"),
        ({"x": X, "code": torch.tensor([0.0, 0.0])}, ValueError, "code must be increasing values"),
        ({"x": X, "code": torch.tensor([0.0, 2.0])}, ValueError, r"within \[-1, 1\]"),
        ({"x": X, "code": torch.ones(2, 2)}, ValueError, "vector of 2 to 256 values"),
        ({"x": X, "code": "dynamic_unsigned"}, ValueError, "must not be negative"),
        ({"x": torch.tensor([1.0, math.nan])}, ValueError, "x must be finite"),
        ({"x": torch.tensor([1.0, -math.inf])}, ValueError, "x must be finite"),
    ],
)
def test_quantize_refuses_bad_input(arguments, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quantize_blockwise(**arguments)


def test_dequantize_refuses_bad_input() -> None:
    codes, scale = quantize_blockwise(X)
    with pytest.raises(TypeError, match=r"codes must be a uint8 tensor, got torch\.float32"):
        dequantize_blockwise(X, scale)
    with pytest.raises(ValueError, match=r"scale must have shape \(1,\), one number per block, got \(2,\)"):
        dequantize_blockwise(codes, torch.ones(2))
    with pytest.raises(TypeError, match="scale must be a tensor, got float"):
        dequantize_blockwise(codes, 1.0)
    with pytest.raises(ValueError, match="codes must be below 16 for the map 'dynamic4', got 16"):
        dequantize_blockwise(torch.tensor([15, 16], dtype=torch.uint8), torch.ones(1), "dynamic4")
