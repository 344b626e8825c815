"""A run that was killed and resumed ends bit for bit as one that never stopped."""

from __future__ import annotations

import pytest
import torch

from optimand.core.recorder import Diverged, Recorder
from optimand.core.seeds import SeedTree
from optimand.training import TensorData, WindowData, language_modeling, regression, train
from optimand.training.transformer import ByteTransformer

from .conftest import method, numbers, problem

METHODS = {
    "adamw": method(torch.optim.AdamW, lr=1e-2),
    "adamw-fused": method(torch.optim.AdamW, lr=1e-2, fused=True),
    "sgd": method(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": method(torch.optim.RMSprop, lr=1e-3, centered=True),
    "adafactor": method(torch.optim.Adafactor, lr=1e-2),
    "lbfgs": method(torch.optim.LBFGS, closure=True, lr=0.1, max_iter=2),
}


class KilledError(Exception):
    """Stands in for the end of the process."""


def killer(share):
    """A progress callback that ends the run once ``share`` of it is done."""

    def progress(done):
        if done >= share:
            raise KilledError

    return progress


def whole(problem, method, budget):
    recorder = Recorder(budget)
    return train(problem, method, {}, seed=SeedTree(0), budget=budget, recorder=recorder), recorder


def interrupted(problem, method, budget, path, kills):
    """Run, be killed at each share of ``kills`` right after a checkpoint, and run to the end."""
    for share in kills:
        recorder = Recorder(budget, checkpoint=path, checkpoint_every=0.0, progress=killer(share))
        with pytest.raises(KilledError):
            train(problem, method, {}, seed=SeedTree(0), budget=budget, recorder=recorder)
    torch.manual_seed(999)  # the new process's random state has nothing to do with the old one's
    recorder = Recorder(budget, checkpoint=path, checkpoint_every=1e9)
    return train(problem, method, {}, seed=SeedTree(0), budget=budget, recorder=recorder), recorder


def assert_same(one, two):
    for (name, p), q in zip(one[0].state_dict().items(), two[0].state_dict().values(), strict=True):
        assert torch.equal(p, q), name
    assert numbers(one[1]) == numbers(two[1])
    costs = [{k: v for k, v in r.costs.items() if "seconds" not in k} for r in (one[1], two[1])]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", METHODS)
def test_resumed_run_equals_an_unbroken_one(name, tmp_path):
    # evaluations every 25 steps, chunks of at most 10: the kills fall between evaluations, and the data
    # has 10 batches an epoch, so they also fall inside one; dropout needs the noise's random state
    own = problem(settings={"evaluations": 4})
    unbroken = whole(own, METHODS[name], 100)
    assert_same(unbroken, interrupted(own, METHODS[name], 100, tmp_path / "c", kills=(0.1, 0.37, 0.5, 0.93)))


def test_resumed_run_equals_an_unbroken_one_on_text(tmp_path):
    text = torch.randint(0, 256, (600,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    own = problem(
        data=lambda: WindowData(text[:400], text[400:500], text[500:], context=8, evaluate=64),
        model=lambda: ByteTransformer(1, 16, 2, context=8, dropout=0.1),
        objective=language_modeling(),
        settings={"batch_size": 4, "clip": 1.0},
    )
    unbroken = whole(own, METHODS["adamw"], 30)
    assert_same(unbroken, interrupted(own, METHODS["adamw"], 30, tmp_path / "c", kills=(0.3, 0.6)))


def test_buffers_are_resumed(tmp_path):
    def with_running_statistics():
        return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))

    own = problem(model=with_running_statistics)
    unbroken = whole(own, METHODS["sgd"], 40)
    assert_same(unbroken, interrupted(own, METHODS["sgd"], 40, tmp_path / "c", kills=(0.5,)))


def test_checkpoints_cost_the_method_no_time_and_change_no_number(tmp_path):
    own = problem()
    often = Recorder(60, checkpoint=tmp_path / "c", checkpoint_every=0.0)
    model = train(own, METHODS["adamw"], {}, seed=SeedTree(0), budget=60, recorder=often)
    assert_same(whole(own, METHODS["adamw"], 60), (model, often))


def test_damaged_checkpoint_starts_afresh(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"not a checkpoint")
    own, recorder = problem(), Recorder(60, checkpoint=path)
    model = train(own, METHODS["sgd"], {}, seed=SeedTree(0), budget=60, recorder=recorder)
    assert_same(whole(own, METHODS["sgd"], 60), (model, recorder))


def test_thinned_training_curve_is_resumed_between_two_of_its_points(tmp_path):
    # a point every 3 steps, checkpoints every 10
    own = problem()
    unbroken = whole(own, METHODS["sgd"], 600)
    assert_same(unbroken, interrupted(own, METHODS["sgd"], 600, tmp_path / "c", kills=(0.015, 0.6)))


class Rising(torch.optim.SGD):
    """Lifts the weights from 1 to 5 after 40 steps, so that their square stays 25 times its first value."""

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            state["step"] = state.get("step", 0) + 1
            p.data.fill_(1.0 if state["step"] <= 40 else 5.0)


def test_divergence_is_found_at_the_same_step_after_a_resume(tmp_path):
    def square():
        model = torch.nn.Linear(1, 1, bias=False)
        model.weight.data.fill_(1.0)
        return model

    part = (torch.ones(8, 1), torch.zeros(8, 1))
    own = problem(data=lambda: TensorData(part, part, part), model=square, objective=regression())
    rising = method(Rising, lr=0.1)
    # lifted by step 41, high from step 42 on, for 100 steps
    with pytest.raises(Diverged) as expected:
        whole(own, rising, 200)
    assert expected.value.at == 141
    with pytest.raises(Diverged) as caught:
        interrupted(own, rising, 200, tmp_path / "c", kills=(0.1, 0.3, 0.5))
    assert caught.value.at == 141
