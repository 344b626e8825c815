"""The linear layer with 8-bit weights, and models that have it."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from tests.optim.int8_weights.network import Network, float_weights, quantized, train
from torch import nn

from optimand.optim.int8_weights import QuantizedLinear, quantize_model_int8
from optimand.optim.routing import param_groups_for


@pytest.mark.parametrize("bias", [True, False])
def test_layer_computes_with_the_rounded_weight(bias):
    linear = nn.Linear(20, 12, bias)
    layer = QuantizedLinear.from_linear(linear, group_size=32)
    twin = copy.deepcopy(linear)
    twin.weight.data = layer.dequantize()
    x = torch.randn(5, 3, 20, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = layer(x), twin(y)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(layer.weight.grad, twin.weight.grad)
    if bias:
        torch.testing.assert_close(layer.bias.grad, twin.bias.grad)
    assert layer.weight.shape == (12, 20)
    assert "group_size=32" in repr(layer)


def test_weights_take_a_byte_each_and_the_placeholder_none():
    layer = QuantizedLinear(256, 512, bias=False)
    assert layer.weight.untyped_storage().nbytes() == 4
    assert sum(b.nbytes for b in layer.buffers()) == 256 * 512 + 5 * 1024 + 16
    assert layer.weight.isnan().all()


def test_bfloat16_inputs_and_autocast():
    layer = QuantizedLinear(16, 8)
    x = torch.randn(4, 16)
    half = layer.bfloat16()
    assert half.weight_scale.dtype == torch.float32
    out = half(x.bfloat16())
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert half.weight.grad.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert half(x).dtype == torch.bfloat16


def test_gradients_accumulate_in_float32():
    layer = QuantizedLinear(8, 8, bias=False)
    x = torch.randn(3, 8)
    for _ in range(2):
        layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * x.sum(0).expand(8, 8).contiguous())


def test_a_frozen_weight_has_no_gradient():
    linear = nn.Linear(8, 8)
    linear.weight.requires_grad_(False)
    layer = QuantizedLinear.from_linear(linear)
    x = torch.randn(2, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


def test_state_dict_holds_codes_and_loads_codes_or_floats():
    layer = QuantizedLinear(20, 12, group_size=16)
    assert set(layer.state_dict()) == {"bias", "weight_codes", "weight_scale", "weight_zero", "rounding"}
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other = QuantizedLinear(20, 12, group_size=16)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(layer.dequantize(), other.dequantize())
    linear = nn.Linear(20, 12)
    other.load_state_dict({**layer.state_dict(), **linear.state_dict()})
    assert (other.dequantize() - linear.weight).abs().max() <= 0.51 * other.weight_scale.max()
    other.load_state_dict(linear.state_dict())
    with pytest.raises(ValueError, match=r"weight.*\(12, 20\).*\(3, 3\)"):
        other.load_state_dict({**linear.state_dict(), "weight": torch.ones(3, 3)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        QuantizedLinear(20, 12, group_size=8).load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="weight_codes"):
        other.load_state_dict({"bias": torch.zeros(12)})


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_train_by_themselves(how):
    model = quantized()
    if how == "deepcopy":
        twin = copy.deepcopy(model)
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    assert twin.mlp_up.weight.untyped_storage().nbytes() == 4
    before = float_weights(model)
    train(twin, torch.optim.AdamW(twin.parameters(), lr=0.01), 0, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, float_weights(model), strict=True))
    assert not torch.equal(float_weights(twin)[0], before[0])
    train(model, torch.optim.AdamW(model.parameters(), lr=0.01), 0, 2)
    assert all(torch.equal(a, b) for a, b in zip(float_weights(twin), float_weights(model), strict=True))


def test_moving_a_model_keeps_parameters_and_their_order():
    model = quantized()
    params = list(model.parameters())
    model.mlp_up.weight.grad = torch.ones(40, 16)
    model.double()
    model.float()
    assert [id(p) for p in model.parameters()] == [id(p) for p in params]
    assert model.mlp_up.weight.untyped_storage().nbytes() == 4
    assert torch.equal(model.mlp_up.weight.grad, torch.ones(40, 16))


# Models


def test_matrices_are_quantized_and_the_head_is_not():
    kinds = [type(m).__name__ for m in quantized().children()]
    assert kinds == ["QuantizedLinear", "QuantizedLinear", "Linear"]
    kinds = [type(m).__name__ for m in quantized(exclude=("down",)).children()]
    assert kinds == ["QuantizedLinear", "Linear", "Linear"]
    shared = Network()
    shared.again = shared.mlp_up  # type: ignore[assignment]
    quantize_model_int8(shared)
    assert shared.again is shared.mlp_up


def test_what_cannot_be_quantized_is_refused():
    with pytest.raises(ValueError, match="linear layer"):
        quantize_model_int8(nn.Sequential(nn.Embedding(4, 4), nn.LayerNorm(4)))
    tied = Network()
    tied.mlp_other = nn.Linear(16, 40)
    tied.mlp_other.weight = tied.mlp_up.weight
    with pytest.raises(ValueError, match="share"):
        quantize_model_int8(tied)
    with pytest.raises(ValueError, match="group_size"):
        quantize_model_int8(Network(), group_size=-1)


def test_groups_for_matrix_methods_find_quantized_layers():
    model = quantized()
    groups = param_groups_for(model, "apollo", rank=4)
    assert groups[0]["params"] == [model.mlp_up.weight, model.mlp_down.weight]
