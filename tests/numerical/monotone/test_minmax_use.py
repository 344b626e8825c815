"""MinMax as it is used: groups added late, copies, schedules, errors in the middle of a step, modules."""

import copy
import math
import pickle

import pytest
import torch

from optimand.core.projections import Box, L2Ball
from optimand.numerical.monotone.minmax import MinMax

SUM = {"vr-halpern", "vr-halpern-inexact"}


def parameter(*values):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_of_the_closure_leaves_the_parameters_where_the_step_began(error):
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1)
    calls = []

    def closure():
        calls.append(1)
        if len(calls) == 2:  # at the half step
            raise error
        return (x * y).sum()

    with pytest.raises(error):
        optimizer.step(closure)
    assert (x.item(), y.item()) == (1.0, 1.0)


@pytest.mark.parametrize("method", ["eg", "eag", "halpern", "vr-halpern", "vr-halpern-inexact"])
def test_a_group_added_in_the_middle_of_a_run_is_trained_from_there(method):
    x, y, late = parameter(1.0), parameter(1.0), parameter(0.5)
    options = {"n": 400, "seed": 1, "inner": 0.001} if method in SUM else {}
    optimizer = MinMax([x], [y], lr=0.1, method=method, **options)
    loss = lambda *index: (0.5 * x**2 + x * y - 0.5 * y**2).sum()  # noqa: E731
    for _ in range(3):
        optimizer.step(loss)
    optimizer.add_param_group({"params": [late], "maximize": True, "project": Box(-0.2, 0.2)})
    for _ in range(3):
        optimizer.step(lambda *index: loss() - late.square().sum())
    assert abs(late.item()) <= 0.2
    assert float(optimizer.state[late]["anchor"]) == 0.5


def test_a_bad_group_leaves_the_optimizer_as_it_was():
    x, y, other = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1)
    for group in ({"params": [other], "lr": -1.0}, {"params": [x]}):
        with pytest.raises(ValueError, match=r"lr must be|more than one"):
            optimizer.add_param_group(group)
    optimizer.step(lambda: (x * y).sum())
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_copy_goes_on_as_the_original_would(clone):
    x, y = parameter(1.0), parameter(-1.0)
    optimizer = MinMax([x], [y], lr=0.1, method="vr-halpern", n=9, seed=2, project=Box(-2.0, 2.0))

    def walk(optimizer, steps):
        (x,), (y,) = (group["params"] for group in optimizer.param_groups)
        for _ in range(steps):
            optimizer.step(lambda index: ((1 + index.double().mean()) * x**2 + x * y - y**2).sum())
        return x.item(), y.item()

    walk(optimizer, 5)
    twin = clone(optimizer)
    assert walk(twin, 20) == walk(optimizer, 20)


def test_a_schedule_may_bring_the_step_size_to_zero():
    x, y = parameter(1.0), parameter(1.0)
    optimizer = MinMax([x], [y], lr=0.1, method="vr-halpern-inexact", n=4, inner=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=2)
    for _ in range(4):
        optimizer.step(lambda index: (0.5 * x**2 + x * y - 0.5 * y**2).sum())
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.0
    assert math.isfinite(x.item())


@pytest.mark.parametrize("options", [{"method": "eag"}, {"method": "vr-halpern", "n": 7}])
def test_a_state_of_another_method_or_size_is_refused(options):
    x, y = parameter(1.0), parameter(1.0)
    state = MinMax([x], [y], lr=0.1, **options).state_dict()
    with pytest.raises(ValueError, match=r"state_dict must be of (method='vr-halpern'|n=5), got one of"):
        MinMax([x], [y], lr=0.1, method="vr-halpern", n=5).load_state_dict(state)


@pytest.mark.parametrize("inner", ["vr-halpern", "vr-halpern-inexact"])
def test_a_change_is_that_of_the_same_summands_at_two_points(inner):
    seen = []
    x, y = parameter(1.0, 2.0), parameter(1.0, -1.0)
    optimizer = MinMax([x], [y], lr=0.1, method=inner, n=60, batch=3, seed=1, inner=0.01)

    def closure(index):
        if len(index) < 60:
            seen.append((index.clone(), x.detach().clone()))
        return (0.5 * x @ x + 0.1 * index.double().mean() * x @ y - 0.5 * y @ y) / 3

    for _ in range(20):
        optimizer.step(closure)
    assert len(seen) >= 10
    assert len(seen) % 2 == 0
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(seen[::2], seen[1::2], strict=True))
    assert any(not torch.equal(u, v) for (_, u), (_, v) in zip(seen[::2], seen[1::2], strict=True))


def test_a_module_against_bounded_shifts_of_its_data():
    torch.manual_seed(0)
    data = torch.randn(60, 4)
    labels = (data @ torch.tensor([1.0, -1.0, 0.5, 0.0]) > 0).float()
    model, shift = torch.nn.Linear(4, 1), torch.nn.Parameter(torch.zeros(60, 4))
    optimizer = MinMax(model.parameters(), [{"params": [shift], "lr": 5.0}], lr=0.3, project=(None, L2Ball(0.3)))

    def loss():
        return torch.nn.functional.binary_cross_entropy_with_logits(model(data + shift).squeeze(1), labels)

    for _ in range(150):
        optimizer.step(loss)
    # against a linear model the worst shift of each example is known in closed form
    weight = model.weight.detach()[0]
    worst = -0.3 * (2 * labels - 1)[:, None] * weight / weight.norm()
    found = loss().item()
    with torch.no_grad():
        shift.copy_(worst)
    assert found == pytest.approx(loss().item(), abs=2e-3)
