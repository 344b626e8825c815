"""A run that blows up ends with Diverged at the exact step, and reports no value afterwards."""

from __future__ import annotations

import math

import pytest
import torch

from optimand.core.recorder import Diverged, Recorder
from optimand.training import Objective, Settings, TensorData, TrainingProblem, classification

from .conftest import method, problem, run


def scripted(losses, **settings):
    """A problem whose training loss at step k is ``losses[k]`` (the last one from then on)."""
    state = {"calls": 0}

    def loss(model, batch):
        # the two steps of the rehearsal come first, at step 0's loss
        step = min(max(0, state["calls"] - 2), len(losses) - 1)
        state["calls"] += 1
        return model(batch[0]).sum() * 0 + losses[step]

    def metrics(model, batch):
        return {"loss": model(batch[0]).sum() * 0}

    part = (torch.ones(8, 1),)
    return TrainingProblem(
        name="scripted",
        data=lambda: TensorData(part, part, part),
        model=lambda: torch.nn.Linear(1, 1),
        objective=Objective(loss, metrics),
        settings=Settings(batch_size=8, **settings),
        budget=400,
    )


SGD = method(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize("at", [1, 2, 10, 11, 37])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_reported_at_its_step(at, value):
    recorder = Recorder(400)
    with pytest.raises(Diverged) as caught:
        run(scripted([1.0] * (at - 1) + [value]), SGD, recorder=recorder)
    assert caught.value.at == at
    assert f"training loss is {value}" in caught.value.reason
    assert all(r.at < at for r in recorder.records)
    assert not [r for r in recorder.records if r.split == "test"]


def test_loss_a_thousand_times_its_first_value_is_divergence():
    with pytest.raises(Diverged, match="1000 times its first value") as caught:
        run(scripted([2.0] * 24 + [2001.0]), SGD)
    assert caught.value.at == 25


def test_loss_that_stays_high_is_divergence_and_a_spike_is_not():
    with pytest.raises(Diverged, match="for 100 steps") as caught:
        run(scripted([2.0] * 50 + [21.0]), SGD)
    assert caught.value.at == 150
    run(scripted([2.0] * 50 + [21.0] * 99 + [2.0]), SGD)


def test_small_first_loss_is_no_reason_to_diverge():
    run(scripted([1e-6] * 5 + [0.5]), SGD)


def test_learning_rate_far_too_large_diverges_with_a_real_network():
    recorder = Recorder(60)
    with pytest.raises(Diverged) as caught:
        run(problem(), method(torch.optim.SGD, lr=1e6), recorder=recorder)
    assert 1 < caught.value.at < 60
    assert all(math.isfinite(r.value) for r in recorder.records)


def test_parameter_that_is_not_finite_is_noticed_even_where_the_loss_is():
    class Poison(torch.optim.SGD):
        """Writes NaN into a weight that no loss depends on."""

        def step(self, closure=None):
            self.param_groups[0]["params"][-1].data.fill_(math.nan)
            return super().step(closure)

    class Unused(torch.nn.Linear):
        def __init__(self):
            super().__init__(6, 3)
            self.unused = torch.nn.Parameter(torch.zeros(1))

    recorder = Recorder(60)
    with pytest.raises(Diverged, match="parameter unused is not finite") as caught:
        run(problem(model=Unused, settings={"evaluations": 4}), method(Poison, lr=0.1), recorder=recorder)
    assert caught.value.at == 15
    assert not [r for r in recorder.records if r.split != "train"]


def test_nan_in_the_last_step_is_noticed():
    class Late(torch.optim.SGD):
        count = 0

        def step(self, closure=None):
            super().step(closure)
            self.count += 1
            if self.count == 60:
                self.param_groups[0]["params"][0].data.fill_(math.nan)

    recorder = Recorder(60)
    with pytest.raises(Diverged) as caught:
        run(problem(), method(Late, lr=0.1), recorder=recorder)
    assert caught.value.at == 60
    assert not [r for r in recorder.records if r.split == "test"]


def test_factorization_that_breaks_down_is_divergence():
    class Factorizing(torch.optim.SGD):
        count = 0

        def step(self, closure=None):
            self.count += 1
            if self.count == 23:
                torch.linalg.cholesky(-torch.eye(2))
            return super().step(closure)

    with pytest.raises(Diverged, match="LinAlgError in the optimizer") as caught:
        run(problem(), method(Factorizing, lr=0.1))
    assert caught.value.at == 23


def test_error_of_the_optimizer_itself_is_no_divergence():
    class Broken(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run(problem(), method(Broken, lr=0.1))


def test_metric_that_is_not_finite_is_divergence():
    def metrics(model, batch):
        return {"loss": model(batch[0]).sum() / 0.0}

    bad = Objective(classification().loss, metrics)
    with pytest.raises(Diverged, match="loss on valid is"):
        run(problem(objective=bad), SGD)
