"""Memory plans by name: every registered method's plan against what a step allocates; models of all kinds of names."""

from __future__ import annotations

import warnings

import pytest
import torch

from optimand.core import catalog
from optimand.core.contracts import Method
from optimand.core.validation import OptimandError, UnknownNameError
from optimand.optim.memory import state_bytes
from optimand.training.building import build_optimizer
from optimand.training.llama import LLAMA, Llama, LlamaConfig
from optimand.training.planning import memory, model_of, plan_method

BLOCKWISE = ("badam", "frugal-block")
TRAINING = sorted(catalog.methods("training"))


def network():
    torch.manual_seed(0)
    return Llama(LlamaConfig(vocab=100, width=48, mlp=128, layers=2, heads=2, context=8))


@pytest.mark.parametrize("name", TRAINING)
def test_plan_of_every_method_is_what_a_step_allocates(name):
    model, method = network(), catalog.methods("training")[name]
    if method.options.get("closure"):
        pytest.skip("steps by a closure")
    plan = plan_method(method, model, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        optimizer = build_optimizer(method, model, method.defaults)
    if hasattr(optimizer, "train"):
        optimizer.train()
    held = []
    if name in BLOCKWISE:  # the largest blocks come in some turn
        for group in optimizer.param_groups:
            group["switch_every"] = group["update_gap"] = 1
    for _ in range(20 if name in BLOCKWISE else 1):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
        held.append(state_bytes(optimizer))
    assert plan.state == max(held)


def routed(build, routing, name="mine", origin="optimand.x:y", **defaults):
    return Method(name, "training", build, defaults, {}, options={"routing": routing}, origin=origin)


def test_routing_names_the_formula_and_fixed_hyperparameters_reach_it():
    import functools

    from optimand.optim.apollo import APOLLO

    model = network()
    preset = routed(functools.partial(APOLLO, rank=2), "apollo", lr=1e-2, seed=0)
    plan = plan_method(preset, model, {})
    assert plan.rule == "formula"
    optimizer = build_optimizer(preset, model, preset.defaults)
    assert optimizer.param_groups[0]["rank"] == 2
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert plan.state == state_bytes(optimizer)


def test_users_method_of_a_known_name_is_measured_and_not_taken_for_ours(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import torch\ndef adamw(params, lr=0.1):\n    return torch.optim.SGD(params, lr)\n")
    plan = memory("llama-60m", [f"{file}:adamw"])["plans"][0]
    assert (plan["rule"], plan["state"]) == ("trial step", 0)
    assert plan["method"] == "mine.py:adamw"


def test_models_by_name_problem_file_and_module(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\nfrom torch import nn\nprint('loud')\n"
        "def build(width=8):\n    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))\n"
        "net = build()\n"
        "def reads(): \n    layer = nn.Linear(4, 4)\n    print(layer.weight.sum().item())\n    return layer\n"
        "def broken():\n    raise RuntimeError('no data')\n"
        "number = 3\n"
    )
    counts = {
        "llama-60m": 58_073_600,
        "llama-lm": 469_632,
        "llama-lm:size=3m,tied=True": None,
        "digits-mlp:hidden=16": 64 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10,
        f"{file}:build": 4 * 8 + 8 + 8 * 2 + 2,
        f"{file}:build:width=16": 4 * 16 + 16 + 16 * 2 + 2,
        f"{file}:net": 4 * 8 + 8 + 8 * 2 + 2,
        f"{file}:reads": 20,
        "torch.nn:Identity": 0,
    }
    for text, count in counts.items():
        model = model_of(text, torch.bfloat16)
        on_meta = not text.endswith((":net", ":reads"))  # these are made, or need to be, with numbers
        assert all(p.is_meta == on_meta and p.dtype == torch.bfloat16 for p in model.parameters()), text
        if count is not None:
            assert sum(p.numel() for p in model.parameters()) == count, text
    with pytest.raises(OptimandError, match="could not be made: RuntimeError: no data"):
        model_of(f"{file}:broken")
    with pytest.raises(OptimandError, match=r"is a int, expected a torch.nn.Module"):
        model_of(f"{file}:number")


def test_a_module_as_it_is_keeps_shared_weights_and_marks(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\nfrom optimand.optim import StableEmbedding\n"
        "net = nn.ModuleDict({'embed': StableEmbedding(100, 64), 'lm_head': nn.Linear(64, 100, bias=False)})\n"
        "net['lm_head'].weight = net['embed'].weight\n"
    )
    found = memory(f"{file}:net", ["adamw-8bit"])
    assert found["model"]["parameters"] == 100 * 64 + 2 * 64
    assert found["plans"][0]["state"] == 2 * (4 * 100 * 64) + 4 + 2 * (2 * 4 * 64 + 4)  # the mark asks for 32 bits


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("apollo:rank=-3", "method 'apollo': rank must be at least 1, got -3"),
        ("apollo:rank=2.5", "rank must be an integer"),
        ("apollo:state_dtype=int8", "state_dtype must be a floating-point torch.dtype or '8bit'"),
        ("frugal:density=2", "density must be in"),
        ("frugal:subspace=diagonals", "subspace must be one of"),
        ("badam:switch_every=0", "switch_every must be at least 1"),
        ("sgd:momentum=-1", "(?i)momentum"),
    ],
)
def test_bad_hyperparameter_is_named(method, message):
    with pytest.raises(OptimandError, match=message):
        memory("llama-lm", [method])


def test_planning_freezes_nothing():
    model = network()
    first, again = (plan_method(catalog.methods("training")["badam"], model, {"freeze": True}) for _ in range(2))
    assert first == again
    assert all(p.requires_grad for p in model.parameters())


def test_eight_bit_states_of_projected_matrices_are_planned():
    full, eight = (plan["state"] for plan in memory("llama-lm", ["apollo", "apollo:state_dtype=8bit"])["plans"])
    assert eight < full


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("llama-lm:3m", OptimandError, "'3m' is not of the form key=value"),
        ("", UnknownNameError, "unknown model ''"),
        (":build", UnknownNameError, "unknown model ':build'"),
        ("lama-7b", UnknownNameError, "unknown model 'lama-7b'; did you mean 'llama-7b'"),
        ("llama-7b:layers=2", OptimandError, "takes no parameters"),
        ("llama-lm:sise=3m", UnknownNameError, "has no parameter 'sise'"),
        ("no_such_module:build", OptimandError, "could not be imported"),
        ("torch.nn:NoSuchThing", OptimandError, "could not be imported"),
        ("nowhere.py:build", OptimandError, "does not exist"),
    ],
)
def test_unknown_model_is_named(text, error, message):
    with pytest.raises(error, match=message):
        model_of(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int4"}, "dtype must be one of 'fp32'"),
        ({"rank": 0}, "rank must be at least 1"),
        ({"density": 2.0}, r"density must be in \[0, 1\]"),
        ({"rank": 3}, "none of the methods has a rank: adamw"),
    ],
)
def test_bad_option_is_named(options, message):
    with pytest.raises(OptimandError, match=message):
        memory("llama-60m", ["adamw"], **options)


def test_report_is_plain_and_adds_up():
    found = memory("llama-60m", ["adamw", "lion"], dtype="bf16", layerwise=True)
    assert found["model"] == {
        "name": "llama-60m", "parameters": LLAMA["60m"].parameters, "dtype": "bf16", "layerwise": True,
        "int8_weights": False,
    }  # fmt: skip
    adamw, lion = found["plans"]
    assert adamw["gradients"] == 2 * 32_000 * 512
    for plan in (adamw, lion):
        assert plan["total"] == plan["weights"] + plan["gradients"] + plan["state"]
        assert plan["state"] == sum(part["state"] for part in plan["components"])
    assert lion["state"] == 2 * LLAMA["60m"].parameters


def test_methods_that_save_memory_are_planned_where_none_is_named():
    names = [plan["method"] for plan in memory("llama-lm")["plans"]]
    assert names[:2] == ["adamw", "lion"]
    assert set(names) <= set(TRAINING)


def test_a_model_of_an_importable_module_is_found(tmp_path, monkeypatch):
    (tmp_path / "networks_of_mine.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.ModuleDict({'mlp': nn.Linear(8, 8)})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = memory("networks_of_mine:net", ["adamw"])
    assert (found["model"]["name"], found["model"]["parameters"]) == ("networks_of_mine:net", 72)
