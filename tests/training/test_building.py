"""How a method's options decide what its constructor is given; and that runs with groups resume and are described."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from optimand.core.catalog import Method
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.training import train
from optimand.training.building import build_optimizer
from optimand.training.family import describe

from .conftest import numbers, problem


def routed(build, routing, **defaults):
    return Method("mine", "training", build, defaults, {}, options={"routing": routing})


class Projecting(torch.optim.SGD):
    """Takes what it is given, and keeps the constructor's arguments."""

    def __init__(self, params, lr=0.1, momentum=0.9, weight_decay=0.0, **options):
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.options = options


def network():
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(mlp=nn.Linear(6, 16), act=nn.ReLU(), norm=nn.LayerNorm(16), head=nn.Linear(16, 3)))


def test_groups_are_those_of_the_routing_and_hyperparameters_go_where_they_belong():
    method = routed(Projecting, "apollo", lr=0.1, rank=2, scale=1.0, seed=5, weight_decay=0.1)
    optimizer = build_optimizer(method, network(), method.hyper({"rank": 3}))
    groups = {g["name"]: g for g in optimizer.param_groups}
    assert list(groups) == ["matrices", "head", "biases", "norms"]
    assert (groups["matrices"]["rank"], groups["matrices"]["scale"]) == (3, 1.0)
    assert optimizer.options == {"seed": 5}
    assert (groups["head"]["weight_decay"], groups["norms"]["weight_decay"]) == (0.1, 0.1)


def test_rank_of_none_is_a_quarter_of_the_width():
    method = routed(Projecting, "apollo", lr=0.1, rank=None)
    model = nn.ModuleDict({"attn": nn.Linear(16, 16), "mlp": nn.Linear(16, 40)})
    assert build_optimizer(method, model, method.defaults).param_groups[0]["rank"] == 4


def test_network_without_matrices_is_no_warning_in_a_study():
    method = routed(Projecting, "apollo", lr=0.1, rank=2)
    optimizer = build_optimizer(method, nn.Linear(4, 2), method.defaults)  # warnings are errors in the tests
    assert all(group.get("rank") is None for group in optimizer.param_groups)


def test_named_parameters_are_passed_with_their_names():
    method = routed(Projecting, "named", lr=0.1)
    optimizer = build_optimizer(method, network(), method.defaults)
    assert optimizer.param_groups[0]["param_names"][0] == "mlp.weight"


def test_without_routing_the_parameters_are_a_bare_list():
    seen = []

    def factory(params, lr=0.1):
        seen.append(params)
        return torch.optim.SGD(params, lr=lr)

    model = network()
    method = Method("mine", "training", factory, {"lr": 0.1}, {})
    build_optimizer(method, model, method.defaults)
    assert all(p is q for p, q in zip(seen[0], model.parameters(), strict=True))


def test_unknown_routing_is_named():
    with pytest.raises(ValueError, match=r"method must be one of.*got 'apolo'"):
        build_optimizer(routed(Projecting, "apolo", lr=0.1), network(), {"lr": 0.1})


def test_run_in_groups_equals_the_same_run_without_them():
    plain = Method("plain", "training", Projecting, {"lr": 0.1}, {})
    one, two = Recorder(40), Recorder(40)
    own = problem(model=network, budget=40)
    train(own, plain, {}, seed=SeedTree(0), budget=40, recorder=one)
    train(own, routed(Projecting, "sgd", lr=0.1), {}, seed=SeedTree(0), budget=40, recorder=two)
    assert numbers(one) == numbers(two)


def test_resumed_run_in_groups_ends_as_one_that_never_stopped(tmp_path):
    class KilledError(Exception):
        pass

    def kill(done):
        if done >= 0.5:
            raise KilledError

    method, own = routed(Projecting, "apollo", lr=0.1, rank=2), problem(model=network, budget=40)
    whole = Recorder(40)
    train(own, method, {}, seed=SeedTree(0), budget=40, recorder=whole)
    path = tmp_path / "checkpoint"
    recorder = Recorder(40, checkpoint=path, checkpoint_every=0.0, progress=kill)
    with pytest.raises(KilledError):
        train(own, method, {}, seed=SeedTree(0), budget=40, recorder=recorder)
    resumed = Recorder(40, checkpoint=path, checkpoint_every=1e9)
    train(own, method, {}, seed=SeedTree(0), budget=40, recorder=resumed)
    assert numbers(whole) == numbers(resumed)


def test_description_takes_the_matrix_for_one_inside_a_network():
    found = []

    def factory(params, lr=0.1):
        found.append([(group["name"], group.get("rank")) for group in params])
        return torch.optim.SGD(params, lr=lr)

    describe(routed(factory, "apollo", lr=0.1, rank=8))
    assert found[0] == [("matrices", 8), ("biases", None)]
