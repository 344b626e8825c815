"""Steps of any optimizer on 8-bit weights."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from tests.optim.int8_weights.network import Network, float_weights, loss_of, quantized, train
from torch import Tensor, nn

from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.badam import BAdam
from optimand.optim.frugal import FRUGAL
from optimand.optim.int8_weights import QuantizedLinear
from optimand.optim.layerwise_updates import layerwise
from optimand.optim.lion import Lion
from optimand.optim.low_bit import AdamW8bit

FACTORIES: dict[str, Any] = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "adamw-fused": lambda ps: torch.optim.AdamW(ps, lr=0.01, fused=True),
    "adamw-8bit": lambda ps: AdamW8bit(ps, lr=0.01, min_8bit_size=64),
    "lion": lambda ps: Lion(ps, lr=0.005),
    "apollo": lambda ps: APOLLO(ps, lr=0.01, rank=4, update_proj_gap=2, oversize="clamp"),
    "apollo-mini": lambda ps: APOLLOMini(ps, lr=0.003),
    "frugal": lambda ps: FRUGAL(ps, lr=0.005, density=0.5, update_gap=2),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_a_step_is_the_optimizers_own_and_then_rounding(name):
    model = quantized(stochastic_round=False)
    plain = Network()
    for layer, twin in zip(model.children(), plain.children(), strict=True):
        if isinstance(layer, QuantizedLinear):
            twin.weight.data = layer.dequantize()
    optimizers = FACTORIES[name](model.parameters()), FACTORIES[name](plain.parameters())
    for step in range(4):
        for net, optimizer in zip((model, plain), optimizers, strict=True):
            loss_of(net, step).backward()
            optimizer.step()
            optimizer.zero_grad()
        for layer, twin in zip(model.children(), plain.children(), strict=True):
            if isinstance(layer, QuantizedLinear):
                step_size = layer.weight_scale.max()
                assert (layer.dequantize() - twin.weight).abs().max() <= 0.51 * step_size + 1e-5
                twin.weight.data = layer.dequantize()
            else:
                torch.testing.assert_close(layer.weight, twin.weight)


@pytest.mark.parametrize("name", FACTORIES)
def test_layerwise_gives_the_same_weights(name):
    plain, hooked = quantized(), quantized()
    train(plain, FACTORIES[name](plain.parameters()), 0, 5)
    train(hooked, layerwise(FACTORIES[name], hooked), 0, 5)
    assert all(torch.equal(a, b) for a, b in zip(float_weights(plain), float_weights(hooked), strict=True))
    for p in hooked.parameters():
        assert p.grad is None


def test_accumulation_under_layerwise_rounds_once_an_update():
    model = quantized()
    optimizer = layerwise(FACTORIES["adamw"], model, accumulate=2)
    train(model, optimizer, 0, 4)
    assert model.mlp_up.rounding.tolist()[1] == 2


@pytest.mark.parametrize("name", ["adamw", "apollo"])
def test_training_follows_float32(name):
    model, plain = quantized(), Network()
    losses = train(model, FACTORIES[name](model.parameters()), 0, 150)
    reference = train(plain, FACTORIES[name](plain.parameters()), 0, 150)
    assert sum(reference[-20:]) / 20 < 0.5 * reference[0]
    assert sum(losses[-20:]) / 20 < sum(reference[-20:]) / 20 + 0.1


def test_stochastic_rounding_sees_updates_that_nearest_rounding_loses():
    moved = []
    for stochastic in (True, False):
        layer = QuantizedLinear(64, 64, bias=False, stochastic_round=stochastic)
        before = layer.dequantize()
        optimizer = torch.optim.SGD([layer.weight], lr=1e-2)
        for _ in range(20):
            layer.weight.grad = torch.full((64, 64), 1e-2 * before.abs().max().item())
            optimizer.step()
        moved.append((layer.dequantize() - before).mean().item() / (-0.2 * 1e-2 * before.abs().max().item()))
    assert moved[0] == pytest.approx(1.0, abs=0.25)
    assert abs(moved[1]) < 0.05


def test_one_weight_is_float_at_a_time():
    model = quantized()
    floating: list[int] = []

    class Watch(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            weights = [m.weight for m in model.children()][:2]
            floating.append(sum(w.untyped_storage().nbytes() > 4 for w in weights))
            return super().step(closure)

    optimizer = Watch(model.parameters(), lr=0.1)
    loss_of(model, 0).backward()
    grads = [p.grad for p in model.parameters()]
    optimizer.step()
    assert max(floating) == 1
    assert [p.grad for p in model.parameters()] == grads
    assert all(m.weight.untyped_storage().nbytes() == 4 for m in list(model.children())[:2])


def test_closures_work():
    model, twin = quantized(), quantized()
    optimizer = FACTORIES["adamw"](model.parameters())
    train(twin, FACTORIES["adamw"](twin.parameters()), 0, 3)
    for step in range(3):

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            return loss

        loss = optimizer.step(closure) if step else optimizer.step(closure=closure)
        assert loss.item() > 0
    assert all(torch.equal(a, b) for a, b in zip(float_weights(model), float_weights(twin), strict=True))


def test_clipping_and_gradient_scalers_see_the_gradients():
    model = quantized()
    loss_of(model, 0).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    assert norm > 1e-3
    assert model.mlp_up.weight.grad.norm() <= 1e-3
    optimizer = FACTORIES["adamw"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = float_weights(model)
    scaler.scale(loss_of(model, 0)).backward()
    model.mlp_up.weight.grad[0, 0] = math.inf
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(a, b) for a, b in zip(before, float_weights(model), strict=True))


def test_resuming_is_bitwise():
    straight = quantized()
    train(straight, FACTORIES["apollo"](straight.parameters()), 0, 6)
    first = quantized()
    optimizer = FACTORIES["apollo"](first.parameters())
    train(first, optimizer, 0, 3)
    buffer = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = quantized(seed=5)
    resumed.load_state_dict(saved["model"])
    optimizer = FACTORIES["apollo"](resumed.parameters())
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(float_weights(straight), float_weights(resumed), strict=True))


def test_counts_of_steps_move_on_once_where_quantized_and_float_matrices_share_a_group():
    def steps(model: Network) -> tuple[int, int]:
        optimizer = FRUGAL(model.parameters(), lr=0.005, density=0.5, update_gap=2)
        train(model, optimizer, 0, 5)
        group = optimizer.param_groups[0]
        return group["refreshes"], group["since_refresh"]

    assert steps(quantized(exclude=("down",))) == steps(Network()) == (3, 1)
    assert steps(quantized()) == (3, 1)


def test_an_error_in_a_step_leaves_the_placeholder():
    model = quantized()

    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise RuntimeError("broken")

    loss_of(model, 0).backward()
    before = float_weights(model)
    optimizer = Broken(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="broken"):
        optimizer.step()
    assert model.mlp_up.weight.untyped_storage().nbytes() == 4
    assert all(torch.equal(a, b) for a, b in zip(before, float_weights(model), strict=True))
    assert len(optimizer.param_groups[0]["params"]) == 5


@pytest.mark.parametrize("method", [torch.optim.LBFGS, BAdam])
def test_what_needs_all_gradients_is_refused(method):
    model = quantized()
    before = float_weights(model)
    with pytest.raises(ValueError, match=rf"own gradient alone, got {method.__name__}"):
        method(model.parameters()).step(lambda: loss_of(model, 0).backward())
    assert all(torch.equal(a, b) for a, b in zip(before, float_weights(model), strict=True))


def test_optimizers_of_other_models_take_no_notice():
    quantized()
    p = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([p], lr=1.0)
    p.grad = torch.ones(2)
    optimizer.step()
    assert p.tolist() == [-1.0, -1.0]
    assert "_updates_weights" not in optimizer.__dict__


def test_a_step_that_calls_its_base_class_updates_once():
    base = nn.Parameter(torch.zeros(1))
    torch.optim.SGD([base], lr=0.1)  # now torch's hooks run around the base class's step as well

    class Derived(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    models = quantized(), quantized()
    for model, method in zip(models, (Derived, torch.optim.SGD), strict=True):
        optimizer = method(model.parameters(), lr=0.1)
        train(model, optimizer, 0, 3)
        assert model.mlp_up.rounding.tolist()[1] == 3
    assert all(torch.equal(a, b) for a, b in zip(*map(float_weights, models), strict=True))


def test_training_goes_on_after_a_step_that_failed():
    model = quantized()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loss_of(model, 0).backward()
    head, model.head.weight.grad = model.head.weight.grad, torch.zeros(4, 16).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    model.head.weight.grad = head
    before = float_weights(model)
    train(model, optimizer, 1, 2)
    assert not any(torch.equal(a, b) for a, b in zip(before, float_weights(model), strict=True))
