"""The example files run as their first lines say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from optimand.core.catalog import Problem
from optimand.core.userfiles import load_file
from optimand.training.family import adopt

from .conftest import run

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_users_own_problem_and_optimizer_run():
    problem = load_file(EXAMPLES / "my_problem.py").problem
    assert Problem.__annotations__.keys() <= set(dir(problem))
    method = adopt("MyOpt", load_file(EXAMPLES / "my_opt.py").MyOpt)
    assert set(method.space) == {"lr", "weight_decay"}
    recorder = run(problem, method)
    # predicting the mean scores 1; ordinary least squares about 0.5
    assert recorder.last("test", "loss") < 0.75
    assert recorder.last("valid", "loss") <= problem.target + 0.1


def test_users_own_optimizer_equals_torchs_rmsprop_where_they_coincide():
    cls = load_file(EXAMPLES / "my_opt.py").MyOpt
    torch.manual_seed(0)
    one = torch.nn.Parameter(torch.randn(5))
    two = torch.nn.Parameter(one.detach().clone())
    mine = cls([one], lr=0.01, momentum=0.5, rho=0.9, weight_decay=0.0)
    torchs = torch.optim.RMSprop([two], lr=0.01, momentum=0.5, alpha=0.9)
    for _ in range(10):
        for p, optimizer in ((one, mine), (two, torchs)):
            optimizer.zero_grad()
            (p**4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("name", ["my_problem", "my_opt", "train_your_own"])
def test_examples_say_what_they_are(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    compile(text, name, "exec")
    assert text.startswith('"""')
