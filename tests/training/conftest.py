"""One thread, a tiny problem of one's own, and methods over torch's optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optimand.core.catalog import Method
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.training import Settings, TensorData, TrainingProblem


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def method(build, *, closure=False, **defaults):
    return Method(
        name=getattr(build, "__name__", "method").lower(),
        family="training",
        build=build,
        defaults=defaults,
        space={},
        options={"closure": True} if closure else {},
    )


def blobs(n=240, features=6, classes=3, noise=1.0):
    """Points around one center a class."""
    generator = torch.Generator().manual_seed(0)
    centers = 2 * torch.randn(classes, features, generator=generator)
    y = torch.arange(n) % classes
    x = centers[y] + noise * torch.randn(n, features, generator=generator)
    cut = n // 3
    return TensorData(train=(x[:-cut], y[:-cut]), valid=(x[-cut:], y[-cut:]), test=(x[-cut:], y[-cut:]))


def network(dropout=0.1):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def problem(**changes):
    settings = Settings(**{"batch_size": 16, **changes.pop("settings", {})})
    return TrainingProblem(
        **{"name": "blobs", "data": blobs, "model": network, "budget": 60, "settings": settings, **changes}
    )


def run(problem, method, *, budget=None, seed=0, recorder=None, **hyper):
    budget = budget or problem.budget
    recorder = recorder or Recorder(budget)
    problem.run(method, hyper, seed=SeedTree(seed), budget=budget, recorder=recorder)
    return recorder


def numbers(recorder):
    """The stream without its times."""
    return [(r.at, r.split, r.metric, r.value) for r in recorder.records]


@pytest.fixture(autouse=True)
def _first_run_in_the_process(monkeypatch):
    """Each test rehearses its runs, whatever ran before it."""
    monkeypatch.setattr("optimand.training.loop._rehearsed", {})
