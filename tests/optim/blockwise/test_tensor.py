"""The container of codes and scales: layouts, copies, saving, bad input."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from optimand.optim.blockwise import MAPS, QuantizedTensor, dequantize_blockwise, quantize_blockwise
from optimand.optim.memory import state_bytes, tensor_bytes, tensors_in

UNSIGNED = [name for name, m in MAPS.items() if not m.signed]


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", [(), (1,), (63,), (64,), (65,), (3, 5, 7), (40, 50), (0, 4)])
def test_equals_the_functions_on_the_flat_values(name: str, shape: tuple[int, ...]) -> None:
    x = values(*shape) if MAPS[name].signed else values(*shape).abs()
    q = QuantizedTensor.zeros_like(x, name, 64)
    assert torch.equal(q.dequantize(), torch.zeros_like(x))
    assert q.copy_(x) is q
    codes, scale = quantize_blockwise(x, name, 64)
    assert torch.equal(q.scale, scale)
    assert torch.equal(q.dequantize(), dequantize_blockwise(codes, scale, name, 64))
    assert q.dequantize().shape == x.shape
    assert q.nbytes == -(-x.numel() * MAPS[name].bits // 8) + 4 * -(-x.numel() // 64)


@pytest.mark.parametrize("name", ["dynamic", "dynamic4"])
def test_pieces_of_a_large_tensor_make_the_whole(name: str) -> None:
    x = values(30_001)
    q = QuantizedTensor.zeros_like(x, name, 128).copy_(x)
    codes, scale = quantize_blockwise(x, name, 128)
    assert torch.equal(q.dequantize(), dequantize_blockwise(codes, scale, name, 128))
    assert torch.equal(q.fill_(0.0).copy_(torch.nn.Parameter(x)).scale, scale)


def test_blocks_follow_the_memory_order() -> None:
    x = values(20, 30)
    turned = x.t().contiguous().t()
    q = QuantizedTensor.zeros_like(turned, block_size=64).copy_(turned)
    flat, scale = quantize_blockwise(x.t().contiguous(), block_size=64)
    assert torch.equal(q.codes, flat.view(-1))
    assert torch.equal(q.scale, scale)
    assert q.dequantize().stride() == turned.stride()
    # the same values in another layout are stored alike
    assert torch.equal(QuantizedTensor.zeros_like(turned, block_size=64).copy_(x).codes, q.codes)

    image = values(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    q = QuantizedTensor.zeros_like(image).copy_(image)
    assert torch.equal(q.codes, quantize_blockwise(image.permute(0, 2, 3, 1))[0].view(-1))
    assert (q.dequantize() - image).abs().max() < 0.0071 * image.abs().max()

    gaps = torch.zeros(40)[::2]
    assert QuantizedTensor.zeros_like(gaps).stride == (1,)


def test_zeros_and_constants() -> None:
    for name in UNSIGNED:
        q = QuantizedTensor.zeros_like(torch.empty(70), name, 64).fill_(0.3)
        assert q.dequantize().tolist() == pytest.approx([0.3] * 70, rel=1e-6)
        assert torch.equal(q.fill_(0.0).dequantize(), torch.zeros(70))
        fresh = QuantizedTensor.zeros_like(torch.empty(70), name, 64)
        assert torch.equal(q.codes, fresh.codes)


def test_copies_are_independent_and_share_the_tables() -> None:
    q = QuantizedTensor.zeros_like(values(10, 20), "dynamic4", 64, signed_scale=False).copy_(values(10, 20))
    for twin in (copy.deepcopy(q), pickle.loads(pickle.dumps(q)), q.clone()):
        assert torch.equal(twin.codes, q.codes)
        assert torch.equal(twin.scale, q.scale)
        assert (twin.map, twin.shape, twin.stride, twin.block_size, twin.signed_scale) == (
            "dynamic4", (10, 20), (20, 1), 64, False,
        )  # fmt: skip
        assert twin.table is q.table
        twin.fill_(0.0)
        assert q.dequantize().abs().max() > 0.5
    assert q.to("cpu") is q
    assert q.to(torch.device("meta")).device.type == "meta"


def test_state_dict_survives_a_file_without_code() -> None:
    x = values(300).abs()
    q = QuantizedTensor.zeros_like(x, "dynamic_unsigned_sqrt").copy_(x)
    buffer = io.BytesIO()
    torch.save(q.state_dict(), buffer)
    buffer.seek(0)
    back = QuantizedTensor.from_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(back.codes, q.codes)
    assert torch.equal(back.scale, q.scale)
    assert repr(back) == "QuantizedTensor(shape=(300,), map='dynamic_unsigned_sqrt', block_size=256, device='cpu')"


def test_memory_is_counted() -> None:
    q = QuantizedTensor.zeros_like(torch.empty(1000))
    assert q.nbytes == 1000 + 4 * 4
    assert tensor_bytes(tensors_in({"a": [q], "b": (torch.zeros(3), None, "c")})) == q.nbytes + 12
    p = torch.nn.Parameter(torch.zeros(1000))
    optimizer = torch.optim.SGD([p])
    optimizer.state[p]["momentum"] = q
    assert state_bytes(optimizer) == q.nbytes


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"codes": torch.zeros(9, dtype=torch.uint8)}, ValueError, "codes must be 10 uint8 numbers"),
        ({"codes": torch.zeros(10)}, ValueError, r"got \(10,\) of torch.float32"),
        ({"scale": torch.zeros(2)}, ValueError, "scale must be 1 float32 numbers"),
        ({"map": "linear"}, ValueError, "map must be one of"),
        ({"block_size": 65}, ValueError, "power of two"),
    ],
)
def test_parts_must_fit(change: dict[str, Any], error: type[Exception], message: str) -> None:
    parts: dict[str, Any] = {
        "codes": torch.zeros(10, dtype=torch.uint8),
        "scale": torch.zeros(1),
        "map": "dynamic",
        "shape": (10,),
        "stride": (1,),
    }
    QuantizedTensor(**parts)
    with pytest.raises(error, match=message):
        QuantizedTensor(**{**parts, **change})


def test_a_saved_stride_must_fill_the_memory() -> None:
    saved = QuantizedTensor.zeros_like(torch.empty(5)).state_dict()
    with pytest.raises(ValueError, match=r"stride must fill the memory of shape \(5,\), got \(2,\)"):
        QuantizedTensor.from_state_dict({**saved, "stride": torch.tensor([2])})


def test_bad_values_are_refused_and_change_nothing() -> None:
    q = QuantizedTensor.zeros_like(torch.empty(5)).copy_(torch.ones(5))
    with pytest.raises(ValueError, match="x must be finite"):
        q.copy_(torch.tensor([1.0, float("nan"), 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"x must have shape \(5,\), got \(4,\)"):
        q.copy_(torch.ones(4))
    assert torch.equal(q.dequantize(), torch.ones(5))
    with pytest.raises(ValueError, match="must not be negative"):
        QuantizedTensor.zeros_like(torch.empty(5), "dynamic_unsigned").copy_(-torch.ones(5))
