"""Saving and loading: bit for bit, from and to full precision, to another form, and as distributed checkpoints."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.optim.conformance import compare_states
from torch import Tensor, nn

from optimand.optim import low_bit
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.low_bit import Adam8bit, AdamW8bit, RMSprop8bit, SGD8bit

NAMES = [name for name in low_bit.__all__ if name.endswith("bit")]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def params(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    """A matrix with a short last block, a transposed one, and a small vector."""
    made = [draw(70, 90).to(dtype), draw(80, 64, seed=1).to(dtype).t(), draw(50, seed=2).to(dtype)]
    return [nn.Parameter(p) for p in made]


def run(optimizer: torch.optim.Optimizer, begin: int, end: int) -> None:
    (group,) = optimizer.param_groups
    for step in range(begin, end):
        for i, p in enumerate(group["params"]):
            p.grad = draw(*p.shape, seed=1000 * step + i).to(p.dtype)
        optimizer.step()


def through_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def copies(of: list[nn.Parameter]) -> list[nn.Parameter]:
    return [nn.Parameter(p.detach().clone(memory_format=torch.preserve_format)) for p in of]


def assert_equal(a: list[nn.Parameter], b: list[nn.Parameter]) -> None:
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"signed_scale": False, "percentile_clipping": 10}])
def test_resuming_is_exact(name: str, dtype: torch.dtype, options: dict[str, Any]) -> None:
    build = getattr(low_bit, name)
    options = {**options, "stochastic_rounding": dtype == torch.bfloat16}
    p = params(dtype)
    optimizer = build(p, **options)
    run(optimizer, 0, 7)
    saved, twins = through_file(optimizer.state_dict()), copies(p)
    run(optimizer, 7, 14)
    resumed = build(twins, **options)
    resumed.load_state_dict(saved)
    untouched = copy.deepcopy(saved)
    run(resumed, 7, 14)
    assert_equal(p, twins)
    compare_states(resumed.state_dict(), optimizer.state_dict())
    compare_states(saved, untouched)  # what was loaded is not written to


def test_saved_states_are_plain() -> None:
    optimizer = AdamW8bit(params())
    run(optimizer, 0, 1)
    state = optimizer.state_dict()["state"][0]
    assert set(state) == {"exp_avg", "exp_avg_sq", "step"}
    assert {name: type(value) for name, value in state["exp_avg"].items()} == {
        "codes": dict,
        "scale": Tensor,
        "shape": Tensor,
        "stride": Tensor,
        "block_size": int,
        "signed_scale": bool,
    }
    assert state["exp_avg"]["codes"]["dynamic"].dtype == torch.uint8


def test_full_precision_states_are_quantized() -> None:
    p = params()
    full = torch.optim.AdamW(p, lr=3e-4, weight_decay=0.2)
    run(full, 0, 5)
    twins = copies(p)
    low = AdamW8bit(twins)
    low.load_state_dict(through_file(full.state_dict()))
    assert low.param_groups[0]["lr"] == 3e-4
    assert low.param_groups[0]["weight_decay"] == 0.2
    assert low.param_groups[0]["block_size"] == 256
    state = low.state[twins[0]]
    assert state["step"] == 5.0
    assert isinstance(state["exp_avg"], QuantizedTensor)
    saved = full.state[p[0]]["exp_avg"]
    assert (state["exp_avg"].dequantize() - saved).abs().max() <= 0.0071 * saved.abs().max()
    assert torch.equal(low.state[twins[2]]["exp_avg"], full.state[p[2]]["exp_avg"])
    before = copies(p)
    run(full, 5, 8)
    run(low, 5, 8)
    for x, y, start in zip(p, twins, before, strict=True):
        assert (x - y).norm() <= 0.05 * (x - start).norm()


@pytest.mark.parametrize("build", [AdamW8bit, SGD8bit, RMSprop8bit])
def test_quantized_states_are_dequantized(build: Any) -> None:
    p = params()
    low = build(p)
    run(low, 0, 5)
    twins = copies(p)
    full = build(twins, optim_bits=32)
    full.load_state_dict(through_file(low.state_dict()))
    assert full.param_groups[0]["optim_bits"] == 32
    for x, y in zip(p[:2], twins[:2], strict=True):
        for name, state in low.state[x].items():
            if isinstance(state, QuantizedTensor):
                assert torch.equal(full.state[y][name], state.dequantize())
                assert full.state[y][name].stride() == y.stride()
    run(full, 5, 6)
    # and back: every value is one that the codes have
    again = build(copies(p))
    full.load_state_dict(low.state_dict())
    again.load_state_dict(full.state_dict())
    compare_states(again.state_dict(), low.state_dict())


def test_another_form_is_converted() -> None:
    p = params()
    low = AdamW8bit(p)
    run(low, 0, 5)
    changes: list[dict[str, Any]] = [
        {"block_size": 64},
        {"second_moment": "plain"},
        {"signed_scale": False},
        {"overrides": {0: {}}},
        {"min_8bit_size": 6000},
    ]
    for change in changes:
        twins = copies(p)
        options = change if "overrides" not in change else {"overrides": {twins[0]: {"block_size": 1024}}}
        other = AdamW8bit(twins, **options)
        other.load_state_dict(through_file(low.state_dict()))
        for x, y in zip(p[:2], twins[:2], strict=True):
            a, b = low.state[x]["exp_avg"].dequantize(), other.state[y]["exp_avg"]
            b = b if isinstance(b, Tensor) else b.dequantize()
            assert (a - b).abs().max() <= 0.0142 * a.abs().max()
        run(other, 5, 6)
        assert {name: other.param_groups[0][name] for name in options if name != "overrides"} == {
            name: value for name, value in options.items() if name != "overrides"
        }


def test_another_memory_order_is_converted() -> None:
    p = params()
    low = AdamW8bit(p)
    run(low, 0, 3)
    turned = [nn.Parameter(x.detach().contiguous()) for x in p]
    other = AdamW8bit(turned)
    other.load_state_dict(low.state_dict())
    a, b = low.state[p[1]]["exp_avg"].dequantize(), other.state[turned[1]]["exp_avg"].dequantize()
    assert b.is_contiguous()
    assert (a - b).abs().max() <= 0.0071 * a.abs().max()


def test_states_without_step_counts_or_with_missing_states() -> None:
    p = params()
    full = torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5)
    run(full, 0, 2)
    twins = copies(p)
    low = SGD8bit(twins, dampening=0.5)
    low.load_state_dict(full.state_dict())
    before = copies(p)
    run(full, 2, 3)
    run(low, 2, 3)  # the third step: dampening counts
    for x, y, start in zip(p, twins, before, strict=True):
        assert (x - y).norm() <= 0.01 * (x - start).norm()

    older = full.state_dict()
    older["state"][0]["momentum_buffer"] = None
    low.load_state_dict(older)
    assert torch.count_nonzero(low.state[twins[0]]["momentum_buffer"].dequantize()) == 0

    adam = torch.optim.AdamW(twins)
    run(adam, 0, 1)
    counted = adam.state_dict()
    counted["state"][0]["step"] = 1  # an int, as torch kept it once
    AdamW8bit(twins).load_state_dict(counted)
    mixed = low_bit.AdEMAMix8bit(copies(twins))
    saved = adam.state_dict()
    saved["param_groups"][0]["betas"] = (0.9, 0.999, 0.9999)
    mixed.load_state_dict(saved)
    run(mixed, 1, 2)


def test_hooks_see_states_as_they_are_saved() -> None:
    p = params()
    low = AdamW8bit(p)
    run(low, 0, 1)
    seen: list[Any] = []
    low.register_state_dict_post_hook(lambda _, saved: seen.append(saved["state"][0]["exp_avg"]["codes"]))
    low.register_load_state_dict_pre_hook(lambda _, saved: {**saved, "state": {}})
    low.register_load_state_dict_post_hook(lambda optimizer: seen.append(dict(optimizer.state)))
    low.load_state_dict(low.state_dict())
    assert list(seen[0]) == ["dynamic"]
    assert seen[1] == {}


def test_mismatches_are_refused() -> None:
    p = params()
    adam, low = torch.optim.Adam(p, weight_decay=0.1), AdamW8bit(copies(p))
    run(adam, 0, 1)
    with pytest.raises(ValueError, match="weight decay of AdamW8bit is decoupled, that of the state dict coupled"):
        low.load_state_dict(adam.state_dict())
    Adam8bit(copies(p)).load_state_dict(adam.state_dict())
    saved = adam.state_dict()
    saved["state"][0]["exp_avg"] = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"state 'exp_avg' must have the parameter's shape \(70, 90\), got \(3, 4\)"):
        Adam8bit(copies(p)).load_state_dict(saved)
    saved["state"][0]["exp_avg"] = torch.full((70, 90), float("nan"))
    with pytest.raises(ValueError, match="x must be finite"):
        Adam8bit(copies(p)).load_state_dict(saved)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        Adam8bit([{"params": [q]} for q in copies(p)]).load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match="betas must be three numbers"):
        low_bit.AdEMAMix8bit(copies(p)).load_state_dict(low.state_dict())
    with pytest.raises(ValueError, match=r"momentum must be in \(0, 1\), got 0"):
        SGD8bit(copies(p)).load_state_dict(torch.optim.SGD(p).state_dict())
    centered = torch.optim.RMSprop(p, centered=True)
    with pytest.raises(ValueError, match="centered must be False"):
        RMSprop8bit(copies(p)).load_state_dict(centered.state_dict())


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("torch without gloo")
    store = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def network(sharded: bool) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 64))
    return fully_shard(model, mesh=init_device_mesh("cpu", (1,))) if sharded else model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int) -> None:
    for step in range(begin, end):
        x = draw(8, 64, seed=step)
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()


def weights(model: nn.Module) -> Tensor:
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in whole])


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", ["AdamW8bit", "AdamW4bit", "AdEMAMix8bit", "LAMB8bit", "LARS8bit"])
def test_distributed_checkpoints_continue_exactly(
    process_group: None, tmp_path: Path, name: str, sharded: bool, flatten: bool
) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_optimizer_state_dict,
    )

    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
    build = getattr(low_bit, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        model = network(sharded)
        optimizer = build(model.parameters(), lr=0.01, percentile_clipping=20)
        train(model, optimizer, 0, 4)
        dcp.save({"o": get_optimizer_state_dict(model, optimizer, options=options)}, checkpoint_id=tmp_path)
        fresh = network(sharded)
        fresh.load_state_dict(model.state_dict())
        resumed = build(fresh.parameters(), lr=0.01, percentile_clipping=20)
        state = get_optimizer_state_dict(fresh, resumed, options=options)
        dcp.load({"o": state}, checkpoint_id=tmp_path)
        set_optimizer_state_dict(fresh, resumed, state, options=options)
    train(model, optimizer, 4, 8)
    train(fresh, resumed, 4, 8)
    assert torch.equal(weights(model), weights(fresh))
    alone = network(False)
    train(alone, build(alone.parameters(), lr=0.01, percentile_clipping=20), 0, 8)
    torch.testing.assert_close(weights(model), weights(alone), rtol=1e-4, atol=1e-5)


def test_a_full_state_goes_into_shards_and_back(process_group: None) -> None:
    model = network(True)
    whole = network(False)
    full = torch.optim.AdamW(whole.parameters())
    train(whole, full, 0, 3)
    low = AdamW8bit(model.parameters())
    low.load_state_dict(full.state_dict())  # ordinary tensors for DTensor parameters
    weight = next(iter(model.parameters()))
    assert isinstance(low.state[weight]["exp_avg"], QuantizedTensor)
    kept = low.state_dict()["state"][0]["exp_avg"]
    assert kept.placements == weight.placements
    assert kept.dtype == torch.float32
    back = AdamW8bit(whole.parameters(), optim_bits=32)
    back.load_state_dict(low.state_dict())
    assert torch.equal(back.state[next(iter(whole.parameters()))]["exp_avg"], kept.full_tensor())
    shards = AdamW8bit(network(True).parameters(), optim_bits=32)
    shards.load_state_dict(low.state_dict())
    assert torch.equal(next(iter(shards.state.values()))["exp_avg"].full_tensor(), kept.full_tensor())
