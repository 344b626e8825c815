"""Options: which parameters are quantized and how, bad gradients, rounding, errors."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.optim import low_bit
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.low_bit import (
    Adagrad8bit,
    Adam8bit,
    AdamW4bit,
    AdamW8bit,
    AdEMAMix8bit,
    LARS8bit,
    Lion8bit,
    RMSprop8bit,
    SGD8bit,
    StableEmbedding,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def params(count: int = 3, shape: tuple[int, ...] = (64, 64), dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [nn.Parameter(draw(*shape, seed=i).to(dtype)) for i in range(count)]


def step(optimizer: torch.optim.Optimizer, seed: int = 100) -> None:
    for group in optimizer.param_groups:
        for i, p in enumerate(group["params"]):
            p.grad = draw(*p.shape, seed=seed + i).to(p.dtype)
    optimizer.step()


def form(optimizer: torch.optim.Optimizer, p: Tensor, name: str = "exp_avg_sq") -> tuple[str, int] | None:
    state = optimizer.state[p][name]
    return (state.map, state.block_size) if isinstance(state, QuantizedTensor) else None


def test_states_have_the_maps_of_their_kind() -> None:
    cases: list[tuple[Any, dict[str, Any], dict[str, str]]] = [
        (AdamW8bit, {"amsgrad": True}, {"exp_avg": "dynamic", "exp_avg_sq": "dynamic_unsigned_sqrt",
                                        "max_exp_avg_sq": "dynamic_unsigned_sqrt"}),
        (AdamW8bit, {"second_moment": "plain"}, {"exp_avg_sq": "dynamic_unsigned"}),
        (AdamW4bit, {}, {"exp_avg": "dynamic4", "exp_avg_sq": "linear4_unsigned"}),
        (RMSprop8bit, {"momentum": 0.9}, {"momentum_buffer": "dynamic", "square_avg": "dynamic_unsigned_sqrt"}),
        (Adagrad8bit, {}, {"sum": "dynamic_unsigned_sqrt"}),
        (SGD8bit, {}, {"momentum_buffer": "dynamic"}),
        (AdEMAMix8bit, {}, {"exp_avg": "dynamic", "exp_avg_slow": "dynamic", "exp_avg_sq": "dynamic_unsigned_sqrt"}),
    ]  # fmt: skip
    for build, options, maps in cases:
        (p,) = params(1)
        optimizer = build([p], **options)
        step(optimizer)
        for name, expected in maps.items():
            assert optimizer.state[p][name].map == expected
            assert optimizer.state[p][name].block_size == (128 if build is AdamW4bit else 256)


def test_groups_and_overrides_choose_the_form() -> None:
    p = params(6)
    groups = [
        {"params": p[:3]},
        {"params": p[3:5], "block_size": 512, "second_moment": "plain"},
        {"params": p[5:], "optim_bits": 32},
    ]
    optimizer = AdamW8bit(groups, overrides={p[1]: {"optim_bits": 32}, p[4]: {"block_size": 64}})
    step(optimizer)
    assert [form(optimizer, x) for x in p] == [
        ("dynamic_unsigned_sqrt", 256),
        None,
        ("dynamic_unsigned_sqrt", 256),
        ("dynamic_unsigned", 512),
        ("dynamic_unsigned", 64),
        None,
    ]
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        step(twin, 200)
        assert twin.param_groups[0]["overrides"] == {1: {"optim_bits": 32}}


def test_overrides_by_name_and_in_later_groups() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    late = nn.Parameter(draw(64, 64))
    named = list(model.named_parameters())
    optimizer = AdamW8bit(named, overrides={"1.weight": {"optim_bits": 32}, "0.weight": {"min_8bit_size": 5000}})
    optimizer.add_param_group({"params": [("late", late)], "optim_bits": 32})
    step(optimizer)
    assert form(optimizer, model[0].weight) is None
    assert form(optimizer, model[1].weight) is None
    assert form(optimizer, late) is None


def test_minimum_size_and_float64() -> None:
    small, large = params(1, (10, 10))[0], params(1)[0]
    exact = params(1, dtype=torch.float64)[0]
    optimizer = AdamW8bit([small, large, exact], min_8bit_size=100)
    step(optimizer)
    assert form(optimizer, small) == ("dynamic_unsigned_sqrt", 256)
    assert form(optimizer, exact) is None
    assert optimizer.state[exact]["exp_avg"].dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_parameters_have_full_small_states(dtype: torch.dtype) -> None:
    small, large = params(1, (10, 10), dtype)[0], params(1, dtype=dtype)[0]
    optimizer = AdamW8bit([small, large])
    step(optimizer)
    assert optimizer.state[small]["exp_avg"].dtype == torch.float32
    assert optimizer.state[large]["exp_avg"].scale.dtype == torch.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_gradient_raises_after_everything_else_is_updated(bad: float) -> None:
    p, twins = params(3), params(3)
    optimizer, other = AdamW8bit(p), AdamW8bit(twins)
    for both in (optimizer, other):
        step(both)
    for x, y in zip(p, twins, strict=True):
        x.grad = draw(64, 64, seed=7)
        y.grad = draw(64, 64, seed=7)
    before = p[1].detach().clone().view(-1)
    p[1].grad.view(-1)[300] = bad
    with pytest.raises(RuntimeError, match=r"gradient of parameter 1 of its group \(shape \(64, 64\)\)"):
        optimizer.step()
    other.step()
    same = torch.ones(4096, dtype=torch.bool)
    same[256:512] = False
    assert torch.equal(p[0], twins[0])
    assert torch.equal(p[2], twins[2])
    assert torch.equal(p[1].detach().view(-1)[same], twins[1].detach().view(-1)[same])
    assert torch.equal(p[1].detach().view(-1)[~same], before[~same])
    step(optimizer, 300)  # nothing is left of it
    assert all(torch.isfinite(x).all() for x in p)


def test_a_bad_gradient_is_named_and_can_be_skipped() -> None:
    model = nn.Linear(64, 64)
    optimizer = AdamW8bit(model.named_parameters())
    model.weight.grad = torch.full((64, 64), math.nan)
    before = model.weight.detach().clone()
    with pytest.raises(RuntimeError, match="gradient of 'weight' has"):
        optimizer.step()
    optimizer.param_groups[0]["nonfinite"] = "skip"
    optimizer.step()
    assert torch.equal(model.weight, before)


def test_stochastic_rounding_is_unbiased_and_leaves_torchs_generator_alone() -> None:
    # lr is an eighth of the spacing of bfloat16 at 1: rounding to the nearest would never move a parameter
    p = nn.Parameter(torch.ones(256, 256, dtype=torch.bfloat16))
    q = nn.Parameter(torch.ones(256, 256, dtype=torch.bfloat16))
    low, nearest = (
        AdamW8bit([p], lr=2.0**-10, weight_decay=0.0, stochastic_rounding=True),
        AdamW8bit([q], lr=2.0**-10, weight_decay=0.0),
    )
    state = torch.get_rng_state()
    for _ in range(8):
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
        low.step()
        nearest.step()
    assert torch.equal(torch.get_rng_state(), state)
    assert (q == 1.0).all()
    assert p.float().mean().item() == pytest.approx(1.0 - 8 * 2.0**-10, abs=2e-4)


@pytest.mark.parametrize("lr", [1e-2, torch.tensor(1e-2)])
def test_noise_is_new_in_each_step_and_belongs_to_the_place_in_the_group(lr: Any) -> None:
    small, large = (nn.Parameter(torch.ones(n, n, dtype=torch.bfloat16)) for n in (8, 64))
    twin = nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16))
    both, one = [small, large], [nn.Parameter(torch.zeros(1)), twin]  # the first of these never has a gradient
    optimizers = [SGD8bit(p, lr=lr, momentum=1e-9, stochastic_rounding=True) for p in (both, one)]
    moved: list[list[Tensor]] = []
    for _ in range(2):
        for p in (small, large, twin):
            p.data.fill_(1.0)
            p.grad = torch.full_like(p, 0.1)
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(large, twin)
        moved.append([p.detach() != 1.0 for p in both])
        assert all(0.0 < m.float().mean() < 1.0 for m in moved[-1])
    assert not any(torch.equal(first, second) for first, second in zip(*moved, strict=True))


def test_two_parameters_are_rounded_with_different_noise() -> None:
    p = [nn.Parameter(torch.ones(4096, dtype=torch.bfloat16)) for _ in range(2)]
    small = nn.Parameter(torch.ones(4000, dtype=torch.bfloat16))
    optimizer = AdamW8bit([p[0], small, p[1]], lr=2.0**-9, stochastic_rounding=True)
    for x in (*p, small):
        x.grad = torch.ones_like(x)
    optimizer.step()
    results = [x.detach()[:4000] for x in (p[0], p[1], small)]
    for i in range(3):
        assert 0.3 < (results[i] == results[i - 1]).float().mean() < 0.7


def test_stable_embedding() -> None:
    torch.manual_seed(0)
    embedding = StableEmbedding(200, 64, padding_idx=3)
    bound = math.sqrt(6 / 264)
    assert 0.95 * bound < embedding.weight.abs().max() <= bound
    assert (embedding.weight[3] == 0).all()
    rows = embedding(torch.tensor([[0, 1], [2, 5]]))
    assert rows.shape == (2, 2, 64)
    assert rows.mean(-1).abs().max() < 1e-5
    assert (rows.std(-1, unbiased=False) - 1).abs().max() < 0.05
    for module in (embedding, copy.deepcopy(embedding), pickle.loads(pickle.dumps(embedding))):
        optimizer = AdamW8bit(module.parameters())
        step(optimizer)
        assert module.weight.numel() > 4096
        assert form(optimizer, module.weight) is None
    table = draw(100, 8)
    assert torch.equal(StableEmbedding.from_pretrained(table).weight, table)


def test_stable_embedding_keeps_its_mark_when_its_weight_is_replaced() -> None:
    with torch.device("meta"):
        empty = StableEmbedding(9, 4)
    source = StableEmbedding(9, 4)
    made = [empty.to_empty(device="cpu"), source.double(), copy.deepcopy(source), StableEmbedding(9, 4)]
    made[-1].load_state_dict(source.state_dict(), assign=True)
    assert all(module.weight.optim_bits == 32 for module in made)


def test_stable_embedding_normalises_in_the_default_dtype() -> None:
    embedding = StableEmbedding(50, 32, dtype=torch.bfloat16)
    assert embedding.norm.weight.dtype == torch.float32
    rows = embedding(torch.arange(5))
    assert rows.dtype == torch.bfloat16
    wanted = nn.functional.layer_norm(embedding.weight[:5].float(), (32,)).bfloat16()
    assert torch.equal(rows, wanted)


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (AdamW8bit, {"block_size": 100}, ValueError, "block_size must be a power of two"),
    (AdamW8bit, {"block_size": 8192}, ValueError, "block_size"),
    (AdamW8bit, {"block_size": "256"}, TypeError, "block_size must be an integer"),
    (AdamW8bit, {"optim_bits": 16}, ValueError, "optim_bits must be one of 8, 32, got 16"),
    (AdamW8bit, {"optim_bits": 4}, ValueError, "optim_bits"),
    (AdamW4bit, {"optim_bits": 8}, ValueError, "optim_bits must be one of 4, 32, got 8"),
    (AdamW4bit, {"second_moment": "sqrt"}, ValueError, "second_moment must be one of 'plain'"),
    (AdamW8bit, {"second_moment": "squareroot"}, ValueError, "second_moment must be one of"),
    (AdamW8bit, {"min_8bit_size": -1}, ValueError, "min_8bit_size must be at least 0, got -1"),
    (AdamW8bit, {"signed_scale": 2}, ValueError, "signed_scale"),
    (AdamW8bit, {"percentile_clipping": 101}, ValueError, r"percentile_clipping must be in \[0, 100\], got 101"),
    (AdamW8bit, {"percentile_clipping": 5.0}, TypeError, "percentile_clipping must be an integer"),
    (AdamW8bit, {"nonfinite": "ignore"}, ValueError, "nonfinite must be one of 'raise', 'skip'"),
    (AdamW8bit, {"amsgrad": 3}, ValueError, "amsgrad"),
    (AdamW8bit, {"maximize": "no"}, ValueError, "maximize must be one of True, False, got 'no'"),
    (AdamW8bit, {"stochastic_rounding": "no"}, ValueError, "stochastic_rounding must be one of True, False"),
    (AdamW8bit, {"blocksize": 256}, TypeError, "no option 'blocksize'; did you mean 'block_size'"),
    (AdamW8bit, {"foreach": True, "fused": True}, ValueError, "foreach and fused"),
    (AdamW8bit, {"overrides": {"nobody": {"optim_bits": 32}}}, ValueError, "got 'nobody'"),
    (AdamW8bit, {"overrides": {0: {}}}, TypeError, "overrides must map"),
    (AdamW8bit, {"overrides": {"w": {"lr": 0.1}}}, ValueError, "setting must be one of"),
    (AdamW8bit, {"overrides": {"w": {"block_size": 3}}}, ValueError, "block_size"),
    (SGD8bit, {"momentum": 0.0}, ValueError, r"momentum must be in \(0, 1\), got 0"),
    (SGD8bit, {"momentum": 1.0}, ValueError, "momentum"),
    (SGD8bit, {"dampening": 1.5}, ValueError, "dampening"),
    (SGD8bit, {"dampening": 0.5, "nesterov": True}, ValueError, "dampening must be 0 with nesterov"),
    (LARS8bit, {"trust_coefficient": 0.0}, ValueError, "trust_coefficient"),
    (RMSprop8bit, {"alpha": 1.0}, ValueError, "alpha"),
    (Adagrad8bit, {"initial_accumulator_value": -0.1}, ValueError, "initial_accumulator_value"),
    (Adagrad8bit, {"lr_decay": -0.1}, ValueError, "lr_decay"),
    (AdEMAMix8bit, {"betas": (0.9, 0.999)}, ValueError, "betas must be three numbers"),
    (AdEMAMix8bit, {"betas": (0.9, 0.999, 1.0)}, ValueError, r"betas\[2\]"),
    (AdEMAMix8bit, {"alpha": -1.0}, ValueError, "alpha"),
    (AdEMAMix8bit, {"t_alpha": 0}, ValueError, "t_alpha must be at least 1"),
    (AdEMAMix8bit, {"betas": (0.0, 0.9, 0.99), "t_beta3": 10}, ValueError, "betas must be above 0 for t_beta3"),
    (Lion8bit, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"),
    (Adam8bit, {"eps": -1.0}, ValueError, "eps"),
]


@pytest.mark.parametrize(("build", "options", "error", "message"), BAD)
def test_bad_options_are_refused(build: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(params(1), **options)


def test_an_error_in_a_step_does_not_come_back_in_the_next() -> None:
    p, q = params(2)
    optimizer = AdamW8bit([{"params": [p]}, {"params": [q]}])
    p.grad, q.grad = torch.full_like(p, math.nan), torch.eye(64).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    step(optimizer)


@pytest.mark.parametrize("name", [name for name in low_bit.__all__ if name.endswith("bit")])
def test_bad_groups_and_parameters_are_refused_and_leave_no_trace(name: str) -> None:
    optimizer = getattr(low_bit, name)(params(1))
    with pytest.raises(ValueError, match="differentiable must be False"):
        optimizer.add_param_group({"params": params(1), "differentiable": True})
    with pytest.raises(TypeError, match="got a complex one"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3, dtype=torch.complex64))]})
    with pytest.raises(TypeError, match="position in the group"):
        optimizer.add_param_group({"params": params(1), "overrides": {"weight": {}}})
    assert len(optimizer.param_groups) == 1
    step(optimizer)
