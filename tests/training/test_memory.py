"""Bytes: counted exactly, and the same however often they are counted."""

from __future__ import annotations

import os

import torch

from optimand.optim.memory import state_bytes, tensor_bytes
from optimand.training.memory import peak_allocation

from .conftest import method, problem, run


def test_tied_parameters_count_once():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    assert tensor_bytes(model.parameters()) == 64


def test_views_of_one_storage_count_once():
    base = torch.zeros(100)
    assert tensor_bytes([base, base[:10], base.view(10, 10)]) == 400


def test_state_in_nested_containers_is_counted():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
    optimizer.state["x"] = {"history": [torch.zeros(5), (torch.zeros(2, dtype=torch.int8),)], "count": 3}
    assert state_bytes(optimizer) == 22


def test_peak_is_of_what_lives_at_one_time():
    def run():
        for _ in range(5):
            torch.zeros(250)  # gone before the next one comes
        return [torch.zeros(250) for _ in range(3)]

    assert peak_allocation(run) == 3000


def test_results_in_place_and_what_was_there_before_do_not_count():
    x = torch.zeros(1000)
    assert peak_allocation(lambda: x.add_(1).mul_(2)) < 100  # scalars at most


def test_peak_holds_the_backward_pass():
    w = torch.nn.Parameter(torch.ones(1000))
    # the exponential, which the backward pass needs, and the gradient
    assert 8000 <= peak_allocation(lambda: w.exp().sum().backward()) < 8100
    assert w.grad is not None


def test_measuring_prints_nothing_and_leaves_the_environment_alone(capfd):
    before = dict(os.environ)
    peak_allocation(lambda: torch.zeros(10))
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before


def test_fused_step_allocates_nothing_and_foreach_does():
    def step(**path):
        p = torch.nn.Parameter(torch.ones(1000))
        optimizer = torch.optim.AdamW([p], **path)
        p.grad = torch.ones(1000)
        optimizer.step()
        return peak_allocation(optimizer.step)

    assert step(fused=True) < 100
    assert step(foreach=True) >= 4000


def test_peak_memory_of_a_run_tells_methods_apart_and_repeats():
    own = problem(
        model=lambda: torch.nn.Sequential(torch.nn.Linear(6, 2000), torch.nn.ReLU(), torch.nn.Linear(2000, 3))
    )
    peaks = {}
    for name, chosen in {
        "sgd": method(torch.optim.SGD, lr=0.1),
        "momentum": method(torch.optim.SGD, lr=0.1, momentum=0.9),
        "adamw": method(torch.optim.AdamW, lr=1e-3, fused=True),
    }.items():
        first, second = (run(own, chosen, budget=5).costs["peak_memory_bytes"] for _ in range(2))
        assert first == second
        peaks[name] = first
    size = 4 * (6 * 2000 + 2000 + 3 * 2000 + 3)
    assert peaks["momentum"] - peaks["sgd"] == size
    assert 2 * size <= peaks["adamw"] - peaks["sgd"] <= 2 * size + 64
