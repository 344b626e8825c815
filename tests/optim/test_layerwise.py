"""Updates in the backward pass: the same weights as ordinary steps, with one gradient alive at a time."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.badam import BAdam
from optimand.optim.exadam import EXAdam
from optimand.optim.fira import Fira
from optimand.optim.frugal import FRUGAL
from optimand.optim.galore import GaLore
from optimand.optim.layerwise_updates import LayerwiseOptimizer, layerwise
from optimand.optim.lion import Lion
from optimand.optim.lion_k import LionK
from optimand.optim.low_bit import AdamW8bit
from optimand.optim.projection import generator_of
from optimand.optim.single import SingleSteps

Factory = Callable[[Any], torch.optim.Optimizer]

FACTORIES: dict[str, Factory] = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "adamw-foreach": lambda ps: torch.optim.AdamW(ps, lr=0.01, foreach=True),
    "adamw-8bit": lambda ps: AdamW8bit(ps, lr=0.01, min_8bit_size=64),
    "lion": lambda ps: Lion(ps, lr=0.01, weight_decay=0.1),
    "lion-blocks": lambda ps: Lion(ps, lr=0.01, foreach=True),
    "lion-k": lambda ps: LionK(ps, lr=0.01, kappa="l2"),
    "exadam": lambda ps: EXAdam(ps, lr=0.003),
    "apollo": lambda ps: APOLLO(ps, lr=0.01, rank=3, update_proj_gap=2, oversize="clamp"),
    "apollo-mini": lambda ps: APOLLOMini(ps, lr=0.003, update_proj_gap=2),
    "frugal": lambda ps: FRUGAL(ps, lr=0.01, density=0.5, update_gap=2),
    "frugal-block": lambda ps: FRUGAL(ps, lr=0.01, density=0.5, update_gap=2, subspace="block"),
    "frugal-entries": lambda ps: FRUGAL(ps, lr=0.01, density=0.3, update_gap=2, subspace="randk", on_change="keep"),
    "galore": lambda ps: GaLore(ps, lr=0.01, rank=3, update_proj_gap=2, oversize="clamp"),
    "fira": lambda ps: Fira(ps, lr=0.01, rank=3, update_proj_gap=2, oversize="clamp"),
    "apollo-cached": lambda ps: APOLLO(ps, lr=0.01, rank=3, cache_projection=True, oversize="clamp"),
}


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))


def loss_of(model: nn.Module, step: int) -> Tensor:
    return model(torch.randn(8, 12, generator=generator_of(step))).square().mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, begin: int, end: int, scheduler: Any = None) -> None:
    for step in range(begin, end):
        loss_of(model, step).backward()
        optimizer.step()
        optimizer.zero_grad()
        if scheduler is not None:
            scheduler.step()


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("name", FACTORIES)
def test_weights_are_bitwise_those_of_ordinary_steps(name):
    plain, hooked = network(), network()
    train(plain, FACTORIES[name](plain.parameters()), 0, 6)
    train(hooked, layerwise(FACTORIES[name], hooked), 0, 6)
    assert_same(plain, hooked)


def test_groups_and_schedulers_work_as_in_ordinary_steps():
    def groups(model: nn.Sequential) -> list[dict[str, Any]]:
        return [
            {"params": [model[0].weight, model[2].weight], "rank": 3},
            {"params": [p for p in model.parameters() if p is not model[0].weight and p is not model[2].weight]},
        ]

    models = network(), network()
    plain = APOLLO(groups(models[0]), lr=0.02)
    hooked = layerwise(lambda params: APOLLO(params, lr=0.02), groups(models[1]))
    for model, optimizer in zip(models, (plain, hooked), strict=True):
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(model, optimizer, 0, 5, scheduler)
    assert_same(*models)
    assert hooked.param_groups[0]["lr"] == 0.02 * 0.5**5
    assert hooked.param_groups is hooked.optimizer.param_groups


def test_one_gradient_is_alive_at_a_time():
    model = network()
    largest = max(p.numel() for p in model.parameters())
    alive: list[int] = []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(
            lambda _: alive.append(sum(q.grad.numel() for q in model.parameters() if q.grad is not None))
        )
    optimizer = layerwise(FACTORIES["apollo"], model)
    train(model, optimizer, 0, 3)
    assert len(alive) == 3 * 6
    assert max(alive) <= 1.05 * largest
    assert all(p.grad is None for p in model.parameters())


def test_step_needs_no_call_and_evaluates_closures():
    plain, hooked = network(), network()
    optimizer = layerwise(FACTORIES["sgd"], hooked)
    assert optimizer.step() is None
    reference = FACTORIES["sgd"](plain.parameters())
    for step in range(3):

        def closure(step: int = step) -> Tensor:
            assert torch.is_grad_enabled()
            loss = loss_of(hooked, step)
            loss.backward()
            return loss

        with torch.no_grad():
            seen = optimizer.step(closure)
        reference.zero_grad()
        loss = loss_of(plain, step)
        loss.backward()
        reference.step()
        assert torch.equal(seen, loss)
    assert_same(plain, hooked)


@pytest.mark.parametrize("name", ["sgd", "apollo"])
def test_accumulation_updates_at_every_kth_backward_pass(name):
    plain, hooked = network(), network()
    reference = FACTORIES[name](plain.parameters())
    optimizer = layerwise(FACTORIES[name], hooked, accumulate=3)
    for step in range(9):
        (loss_of(hooked, step) / 3).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert all((p.grad is None) == (step % 3 == 2) for p in hooked.parameters())
        (loss_of(plain, step) / 3).backward()
        if step % 3 == 2:
            reference.step()
            reference.zero_grad()
    assert_same(plain, hooked)


@pytest.mark.parametrize("name", ["adamw", "apollo", "adamw-8bit"])
def test_states_move_between_layerwise_and_ordinary_steps(name):
    straight = network()
    train(straight, FACTORIES[name](straight.parameters()), 0, 6)
    first = network()
    optimizer = layerwise(FACTORIES[name], first)
    train(first, optimizer, 0, 2)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    optimizer.remove()
    optimizer.step()  # must not take them on again
    ordinary = FACTORIES[name](first.parameters())
    ordinary.load_state_dict(torch.load(buffer, weights_only=True))
    train(first, ordinary, 2, 4)
    again = layerwise(FACTORIES[name], first)
    again.load_state_dict(ordinary.state_dict())
    assert again.state is again.optimizer.state
    train(first, again, 4, 6)
    assert_same(straight, first)


def test_a_shared_weight_is_updated_once_with_its_whole_gradient():
    def tied() -> nn.Sequential:
        model = network()
        model[4] = nn.Linear(16, 16)
        model[4].weight = model[2].weight
        return model

    plain, hooked = tied(), tied()
    train(plain, FACTORIES["adamw"](plain.parameters()), 0, 3)
    train(hooked, layerwise(FACTORIES["adamw"], hooked), 0, 3)
    assert_same(plain, hooked)


def test_frozen_and_unused_parameters_are_left_alone():
    model = network()
    model[0].weight.requires_grad_(False)
    unused = nn.Parameter(torch.ones(2))
    frozen = model[0].weight.clone()
    optimizer = layerwise(FACTORIES["adamw"], [*model.parameters(), unused])
    train(model, optimizer, 0, 2)
    assert torch.equal(model[0].weight, frozen)
    assert torch.equal(unused.detach(), torch.ones(2))


def test_a_parameter_that_is_unfrozen_takes_part():
    models = network(), network()
    models[1][2].weight.requires_grad_(False)
    optimizers = FACTORIES["frugal"](models[0].parameters()), layerwise(FACTORIES["frugal"], models[1])
    for model, optimizer in zip(models, optimizers, strict=True):
        for begin, trained in ((0, False), (2, True)):
            model[2].weight.requires_grad_(trained)
            train(model, optimizer, begin, begin + 2)
    assert_same(*models)


def test_a_group_can_be_added():
    model = network()
    optimizer = layerwise(FACTORIES["sgd"], list(model[0].parameters()))
    before = model[4].weight.clone()
    optimizer.add_param_group({"params": list(model[4].parameters()), "lr": 0.1})
    train(model, optimizer, 0, 1)
    assert not torch.equal(model[4].weight, before)
    assert len(optimizer.param_groups) == 2
    assert model[2].weight.grad is not None
    with pytest.raises(ValueError, match="appear"):
        optimizer.add_param_group({"params": [model[0].weight]})


def test_hooks_of_the_optimizer_run_around_each_update():
    model = network()
    calls: list[int] = []

    def factory(params: Any) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(params, lr=0.1)
        optimizer.register_step_post_hook(lambda o, *_: calls.append(len(o.param_groups[0]["params"])))
        return optimizer

    train(model, layerwise(factory, model), 0, 1)
    assert calls == [1] * 6


def test_named_parameters_keep_their_names():
    model = network()
    optimizer = layerwise(lambda ps: torch.optim.AdamW(ps, lr=0.01), list(model.named_parameters()))
    train(model, optimizer, 0, 1)
    assert optimizer.param_groups[0]["param_names"][0] == "0.weight"


def eight_bits(params: Any, *, stochastic_rounding: bool, **options: Any) -> AdamW8bit:
    return AdamW8bit(params, min_8bit_size=100, stochastic_rounding=stochastic_rounding, **options)


@pytest.mark.parametrize("method", [Lion, EXAdam, eight_bits])
def test_noise_of_stochastic_rounding_is_that_of_ordinary_steps(method):
    def half(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for step in range(4):
            model(torch.randn(8, 12, generator=generator_of(step)).bfloat16()).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    plain, hooked = network().bfloat16(), network().bfloat16()
    reference = method(plain.parameters(), lr=0.01, stochastic_rounding=True)
    half(plain, reference)
    optimizer = layerwise(lambda ps: method(ps, lr=0.01, stochastic_rounding=True), hooked)
    half(hooked, optimizer)
    assert_same(plain, hooked)
    assert optimizer.param_groups[0]["rounding_key"] == reference.param_groups[0]["rounding_key"]


def test_options_that_steps_change_move_on_once_a_round():
    model = network()
    optimizer = layerwise(FACTORIES["frugal"], model)
    seen = []
    for step in range(5):  # without a call of step(): a round ends where a parameter comes again
        loss_of(model, step).backward()
        group = optimizer.param_groups[0]
        seen.append((group["refreshes"], group["since_refresh"]))
        assert len(group["params"]) == 6
    assert seen == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]


def test_a_parameter_that_missed_a_round_joins_the_next():
    models = network(), network()
    optimizers = FACTORIES["frugal"](models[0].parameters()), layerwise(FACTORIES["frugal"], models[1])
    for model, optimizer in zip(models, optimizers, strict=True):
        for step in range(4):
            hidden = model[1](model[0](torch.randn(8, 12, generator=generator_of(step))))
            (model(torch.randn(8, 12, generator=generator_of(step))) if step % 2 else hidden).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert_same(*models)


def test_an_error_in_a_step_leaves_the_groups_whole():
    embedding = nn.Embedding(4, 3, sparse=True)
    optimizer = layerwise(lambda ps: Lion(ps), embedding)
    with pytest.raises(RuntimeError, match="sparse"):
        embedding(torch.tensor([1])).sum().backward()
    assert optimizer.param_groups[0]["params"] == [embedding.weight]


def test_what_needs_all_gradients_is_refused():
    model = network()
    with pytest.raises(ValueError, match=r"LBFGS.*all gradients"):
        layerwise(torch.optim.LBFGS, model)
    with pytest.raises(ValueError, match=r"BAdam.*all gradients"):
        layerwise(BAdam, list(model.named_parameters()))


def test_distributed_data_parallel_is_refused():
    class Wrapped(nn.parallel.DistributedDataParallel):
        def __init__(self) -> None:
            nn.Module.__init__(self)

    with pytest.raises(ValueError, match="DistributedDataParallel"):
        layerwise(FACTORIES["sgd"], Wrapped())


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"accumulate.*0"):
        layerwise(FACTORIES["sgd"], network(), accumulate=0)
    with pytest.raises(TypeError, match=r"torch.optim.Optimizer.*list"):
        layerwise(lambda ps: list(ps), network())  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="empty"):
        layerwise(FACTORIES["sgd"], [])


def test_copies_are_refused_with_the_way_out():
    optimizer = layerwise(FACTORIES["sgd"], network())
    for copier in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="state_dict"):
            copier(optimizer)
    assert "SGD" in repr(optimizer)
    assert isinstance(optimizer, LayerwiseOptimizer)


def test_a_single_step_without_hooks():
    a = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([a], lr=1.0)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    a.grad = torch.ones(1)
    single = SingleSteps.of(optimizer)
    assert SingleSteps.of(optimizer) is single
    single.step(0, 0, hooks=False)
    assert (a.item(), calls) == (-1.0, [])
    single.step(0, 0)
    assert (a.item(), calls) == (-2.0, [1])


@pytest.mark.parametrize("factory", [None, torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)])
def test_an_optimizer_in_place_of_the_factory_is_named(factory):
    with pytest.raises(TypeError, match="optimizer_factory must be a function"):
        layerwise(factory, nn.Linear(2, 2))
