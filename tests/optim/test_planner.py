"""The memory plan: what the papers count, and what the optimizers allocate, to the byte."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.badam import BAdam
from optimand.optim.exadam import EXAdam
from optimand.optim.fira import Fira
from optimand.optim.frugal import FRUGAL
from optimand.optim.galore import GaLore
from optimand.optim.int8_weights import quantize_model_int8
from optimand.optim.lion import Lion
from optimand.optim.low_bit import (
    Adagrad8bit,
    Adam8bit,
    AdamW4bit,
    AdamW8bit,
    AdEMAMix8bit,
    LAMB8bit,
    LARS8bit,
    Lion8bit,
    RMSprop8bit,
    SGD8bit,
    StableEmbedding,
)
from optimand.optim.memory import state_bytes, tensor_bytes, tensors_in
from optimand.optim.planner import plan_memory
from optimand.optim.routing import param_groups_for
from optimand.training.llama import LLAMA, Llama, LlamaConfig

ADAMW_60M = 464_588_800


def small(dtype=torch.float32, **changes):
    shape = {"vocab": 100, "width": 48, "mlp": 128, "layers": 2, "heads": 2, "context": 8, **changes}
    return Llama(LlamaConfig(**shape)).to(dtype)


def meta(config):
    with torch.device("meta"):
        return Llama(config)


def step(model, optimizer):
    model(torch.zeros(1, 4, dtype=torch.long)).float().square().mean().backward()
    optimizer.step()
    return optimizer


def by_role(plan):
    return {c.name: c.state for c in plan.components}


METHODS = {
    "adamw": [(torch.optim.AdamW, {}), (torch.optim.AdamW, {"amsgrad": True}), (torch.optim.AdamW, {"fused": True})],
    "adam": [(torch.optim.Adam, {})],
    "sgd": [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.SGD, {})],
    "lion": [(Lion, {}), (Lion, {"momentum_dtype": torch.bfloat16})],
    "exadam": [(EXAdam, {})],
    "adam-8bit": [(Adam8bit, {})],
    "adamw-8bit": [
        (AdamW8bit, {}), (AdamW8bit, {"block_size": 64}), (AdamW8bit, {"min_8bit_size": 0}),
        (AdamW8bit, {"amsgrad": True}), (AdamW8bit, {"optim_bits": 32}), (AdamW8bit, {"percentile_clipping": 5}),
    ],
    "adamw-4bit": [(AdamW4bit, {})],
    "sgd-8bit": [(SGD8bit, {})],
    "lars-8bit": [(LARS8bit, {})],
    "lion-8bit": [(Lion8bit, {})],
    "adagrad-8bit": [(Adagrad8bit, {})],
    "rmsprop-8bit": [(RMSprop8bit, {}), (RMSprop8bit, {"momentum": 0.9})],
    "lamb-8bit": [(LAMB8bit, {})],
    "ademamix-8bit": [(AdEMAMix8bit, {})],
    "apollo": [
        (APOLLO, {}), (APOLLO, {"rank": 7}), (APOLLO, {"proj": "svd"}), (APOLLO, {"cache_projection": True}),
        (APOLLO, {"norm_growth": None}), (APOLLO, {"state_dtype": "8bit"}),
        (APOLLO, {"state_dtype": torch.bfloat16}), (APOLLO, {"proj_type": "reverse_std"}),
        (APOLLO, {"proj_type": "left", "cache_projection": True}),
        (APOLLO, {"rank": 1000, "oversize": "clamp"}),
    ],
    "apollo-mini": [(APOLLOMini, {})],
    "galore": [
        (GaLore, {}), (GaLore, {"rank": 5}), (GaLore, {"proj_type": "reverse_std"}),
        (GaLore, {"state_dtype": torch.uint8, "proj": "random"}),
    ],
    "fira": [(Fira, {}), (Fira, {"norm_growth": None, "proj": "random"})],
    "frugal": [
        (FRUGAL, {}), (FRUGAL, {"density": 0.0}), (FRUGAL, {"density": 1.0}), (FRUGAL, {"density": 0.3}),
        (FRUGAL, {"subspace": "rows"}), (FRUGAL, {"subspace": "randk"}),
        (FRUGAL, {"subspace": "svd"}), (FRUGAL, {"subspace": "svd", "proj_side": "left"}),
        (FRUGAL, {"subspace": "random", "proj_side": "reverse_std"}), (FRUGAL, {"state_full": "lion"}),
        (FRUGAL, {"state_full": "sgdm", "density": 0.5}), (FRUGAL, {"state_dtype": "8bit"}),
    ],
}  # fmt: skip
CASES = [(name, build, options) for name, cases in METHODS.items() for build, options in cases]
GROUP_KEYS = ("rank", "proj", "proj_type", "density", "subspace", "proj_side")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "build", "options"), CASES, ids=[f"{n}-{o}" for n, _, o in CASES])
def test_predicted_state_is_what_a_step_allocates(name, build, options, dtype):
    model = small(dtype)
    of_group = {k: v for k, v in options.items() if k in GROUP_KEYS}
    rest = {k: v for k, v in options.items() if k not in GROUP_KEYS}
    plan = plan_memory(model, name, hyper=rest, **of_group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        optimizer = step(model, build(param_groups_for(model, name, **of_group), lr=1e-3, **rest))
    assert plan.state == state_bytes(optimizer)
    for group, component in zip(optimizer.param_groups, plan.components, strict=True):
        assert group["name"] == component.name
        allocated = [tensor_bytes(tensors_in(dict(optimizer.state.get(p, {})))) for p in group["params"]]
        assert component.state == sum(allocated), component.name


def test_bare_parameters_and_full_groups_are_planned_too():
    model = small()
    optimizer = step(model, APOLLO(model.parameters(), rank=4))
    assert plan_memory(model, "apollo", groups=optimizer.param_groups).state == state_bytes(optimizer)
    assert plan_memory(model, "apollo", groups=list(model.parameters()), hyper={"rank": 4}).state == state_bytes(
        optimizer
    )
    names = step(model, torch.optim.AdamW(model.named_parameters()))
    assert plan_memory(model, "adamw", groups=list(model.named_parameters())).state == state_bytes(names)


def test_blocks_of_equal_size_are_predicted_exactly():
    model = nn.ModuleDict({"attn": nn.ModuleList(nn.Linear(16, 16, bias=False) for _ in range(8))})
    optimizer = FRUGAL(param_groups_for(model, "frugal", density=0.25, subspace="block"), lr=1e-3)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    plan = plan_memory(model, "frugal", density=0.25, subspace="block")
    assert plan.state == state_bytes(optimizer) == 2 * 8 * 256


def test_badam_holds_at_most_its_largest_block():
    model = small()
    optimizer = BAdam(param_groups_for(model, "badam"), lr=1e-3, switch_every=1)
    plan = plan_memory(model, "badam")
    held = {}
    for _ in range(2 * len(optimizer.blocks)):
        active = optimizer.active_block
        held[active] = state_bytes(step(model, optimizer))
    assert len(held) == 4
    assert plan.state == max(held.values()) == held["layers.0"]
    assert plan_memory(model, "badam", groups=optimizer.param_groups).state == plan.state


@pytest.mark.parametrize(
    ("method", "options", "expected", "tolerance"),
    [
        ("adamw", {}, ADAMW_60M, 1e-5),
        ("apollo", {"rank": 128}, 312_807_872, 1e-4),
        ("apollo-mini", {}, 262_609_344, 1e-4),
        ("frugal", {"density": 0.25}, 312_807_424, 1e-3),
        ("frugal", {"density": 0.0}, 262_213_632, 1e-3),
        # 2 n r for the moments, m r for the basis
        ("galore", {"rank": 128}, 262_213_632 + 8 * (4 * 512 + 3 * 1376) * 8 * 128 + 8 * 7 * 512 * 4 * 128, 1e-4),
    ],
)  # fmt: skip
def test_papers_numbers_on_llama_60m(method, options, expected, tolerance):
    plan = plan_memory(meta(LLAMA["60m"]), method, **options)
    assert plan.parameters == 58_073_600
    assert plan.state == pytest.approx(expected, rel=tolerance)
    assert plan.weights == plan.gradients == 4 * 58_073_600


def test_papers_memory_of_7b():
    """APOLLO's table 3: 8-bit Adam 13G, APOLLO of rank 256 1.6G, Mini 0.0G of states of the matrices, in bf16."""
    model = meta(LLAMA["7b"]).to(torch.bfloat16)
    eight = plan_memory(model, "adamw-8bit").state
    assert eight / 2**30 == pytest.approx(13, rel=0.03)
    half = {"hyper": {"state_dtype": torch.bfloat16}}
    assert by_role(plan_memory(model, "apollo", rank=256, **half))["matrices"] / 2**30 == pytest.approx(1.6, abs=0.4)
    assert by_role(plan_memory(model, "apollo-mini", **half))["matrices"] / 2**30 == pytest.approx(0.0, abs=0.05)


def test_layerwise_updates_keep_one_gradient():
    model = small()
    plan = plan_memory(model, "apollo", layerwise=True)
    assert plan.gradients == 4 * 128 * 48
    assert plan.total == plan.weights + plan.gradients + plan.state
    assert plan.state == plan_memory(model, "apollo").state


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_int8_weights_are_what_the_layers_hold(dtype):
    model = small(dtype)
    plan = plan_memory(model, "apollo", int8_weights=True)
    quantized = quantize_model_int8(model)
    assert plan.weights == tensor_bytes([*quantized.parameters(), *quantized.buffers()])
    optimizer = step(quantized, APOLLO(param_groups_for(quantized, "apollo"), lr=1e-3))
    assert plan.state == state_bytes(optimizer)
    gradients = [p.grad for p in quantized.parameters()]
    assert plan.gradients == sum(g.numel() * g.element_size() for g in gradients)


def test_stable_embedding_keeps_32_bits():
    model = nn.Sequential(StableEmbedding(200, 64), nn.Linear(64, 64, bias=False))
    plan = plan_memory(model, "adamw-8bit")
    assert by_role(plan)["embeddings"] == 8 * 200 * 64 + 4


def test_frozen_parameters_and_buffers_are_weights_alone():
    model = nn.ModuleDict({"mlp": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8)})
    model["mlp"].weight.requires_grad_(False)
    with pytest.warns(UserWarning, match="no matrix"):
        plan = plan_memory(model, "apollo")
    parts = {c.name: (c.parameters, c.weights, c.gradients, c.state) for c in plan.components}
    assert parts["frozen"] == (64, 256, 0, 0)
    assert parts["buffers"] == (17, 72, 0, 0)
    assert plan.parameters == 64 + 8 + 16
    assert plan.weights == tensor_bytes([*model.parameters(), *model.buffers()])


@pytest.mark.parametrize(
    "build",
    [
        torch.optim.RMSprop,
        torch.optim.Adafactor,
        torch.optim.NAdam,
        EXAdam,
        Lion,
        lambda p: torch.optim.SGD(p, momentum=0.5),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_method_without_a_formula_takes_a_trial_step(build, dtype):
    model = small(dtype)
    plan = plan_memory(model, "mine", groups=list(model.parameters()), build=build)
    assert plan.rule == "trial step"
    assert plan.state == state_bytes(step(model, build(model.parameters())))


def test_trial_step_leaves_the_model_alone():
    model = small()
    before = [p.detach().clone() for p in model.parameters()]
    plan_memory(model, "mine", groups=param_groups_for(model, "adamw"), build=torch.optim.AdamW)
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(model.parameters(), before, strict=True))


def test_what_cannot_be_predicted_says_why():
    model = small()
    with pytest.raises(ValueError, match=r"method must be one of .*got 'apolo'; did you mean 'apollo'"):
        plan_memory(model, "apolo", groups=list(model.parameters()))
    with pytest.raises(ValueError, match="'lbfgs' cannot be predicted, for it takes no trial step"):
        plan_memory(model, "lbfgs", groups=list(model.parameters()), build=torch.optim.LBFGS)
    with pytest.raises(TypeError, match="groups are given, so there is no place for rank"):
        plan_memory(model, "apollo", groups=list(model.parameters()), rank=3)
