"""The wrapper around torch optimizers: the same steps as by hand, groups, schedules, states, closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.offline.ignite import IGNITE, make_regularizer
from optimand.offline.surrogates import GaussianMLP, gaussian_nll

X = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
Y = X.sum(dim=1).sin()


def network() -> GaussianMLP:
    return GaussianMLP(3, 8, generator=torch.Generator().manual_seed(0))


def closure_of(model: nn.Module, optimizer: Any, calls: list[int] | None = None) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = gaussian_nll(*model(X), Y)
        loss.backward()
        if calls is not None:
            calls.append(1)
        return loss

    return closure


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["adaptive", "fixed", "sam", "gradient-norm", "sensitivity", "weight-decay"])
def test_steps_are_those_made_by_hand(kind: str) -> None:
    wrapped, plain = network(), network()
    optimizer = IGNITE(torch.optim.Adam(wrapped.parameters(), lr=1e-2), wrapped, kind=kind)
    adam, penalty = torch.optim.Adam(plain.parameters(), lr=1e-2), make_regularizer(kind, plain)
    for _ in range(4):
        loss = optimizer.step(closure_of(wrapped, optimizer), X)
        by_hand = closure_of(plain, adam)()
        penalty.add_grad_(X, lambda: gaussian_nll(*plain(X), Y))
        adam.step()
        assert torch.equal(loss, by_hand)
    assert equal(wrapped, plain)
    assert optimizer.lam == penalty.lam
    assert optimizer.norm == penalty.norm
    assert penalty.steps == optimizer.regularizer.steps == 4


def test_without_a_closure_the_gradients_at_hand_count() -> None:
    one, two = network(), network()
    a = IGNITE(torch.optim.SGD(one.parameters(), lr=0.1), one)
    b = IGNITE(torch.optim.SGD(two.parameters(), lr=0.1), two)
    a.step(closure_of(one, a), X)
    closure_of(two, b)()
    assert b.step(x=X) is None
    assert equal(one, two)


def test_groups_can_stay_out_of_the_penalty() -> None:
    model = network()
    groups = [{"params": model.body.parameters(), "penalize": False}, {"params": model.head.parameters(), "lr": 0.0}]
    optimizer = IGNITE(torch.optim.SGD(groups, lr=0.1), model, lam=1.0, rho=1.0)
    closure_of(model, optimizer)()
    before = [p.grad.clone() for p in model.body.parameters()]
    optimizer.step(x=X)
    assert all(torch.equal(p.grad, b) for p, b in zip(model.body.parameters(), before, strict=True))
    head = [model.head.weight, model.head.bias]
    expected = torch.autograd.grad(model.mean(X).mean(), head)  # the head did not move, its lr is 0
    assert optimizer.norm < torch.cat([g.flatten() for g in expected]).norm() * 1.5


def test_the_norm_goes_over_all_groups_together() -> None:
    one, two = network(), network()
    whole = IGNITE(torch.optim.SGD(one.parameters(), lr=0.1), one)
    parted = IGNITE(torch.optim.SGD([{"params": [p]} for p in two.parameters()], lr=0.1), two)
    whole.step(closure_of(one, whole), X)
    parted.step(closure_of(two, parted), X)
    assert whole.norm == parted.norm
    assert equal(one, two)


def test_a_group_that_is_added_later_takes_part() -> None:
    model = network()
    optimizer = IGNITE(torch.optim.SGD(model.head.parameters(), lr=0.1), model)
    optimizer.step(closure_of(model, optimizer), X)
    before = optimizer.norm
    optimizer.add_param_group({"params": model.body.parameters()})
    assert len(optimizer.param_groups) == len(optimizer.optimizer.param_groups) == 2
    optimizer.step(closure_of(model, optimizer), X)
    assert optimizer.norm > before


def test_schedules_move_the_inner_learning_rate() -> None:
    model = network()
    optimizer = IGNITE(torch.optim.Adam(model.parameters(), lr=1.0), model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    optimizer.step(closure_of(model, optimizer), X)
    schedule.step()
    assert optimizer.optimizer.param_groups[0]["lr"] == 0.5


def test_a_state_continues_bit_for_bit() -> None:
    straight = network()
    optimizer = IGNITE(torch.optim.Adam(straight.parameters(), lr=1e-2), straight)
    for step in range(6):
        optimizer.step(closure_of(straight, optimizer), X)
        if step == 2:
            model_state = {k: v.clone() for k, v in straight.state_dict().items()}
            state = torch.utils._pytree.tree_map(
                lambda v: v.clone() if isinstance(v, Tensor) else v, optimizer.state_dict()
            )
    resumed = network()
    again = IGNITE(torch.optim.Adam(resumed.parameters(), lr=1e-2), resumed)
    resumed.load_state_dict(model_state)
    again.load_state_dict(state)
    for _ in range(3):
        again.step(closure_of(resumed, again), X)
    assert equal(straight, resumed)
    assert again.lam == optimizer.lam


def test_a_closure_that_is_evaluated_often_moves_the_multiplier_once_a_step() -> None:
    model = network()
    calls: list[int] = []
    optimizer = IGNITE(torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4), model)
    before = optimizer.lam
    optimizer.step(closure_of(model, optimizer, calls), X)
    assert len(calls) > 1
    assert optimizer.regularizer.steps == 1
    first = make_regularizer("adaptive", network())
    first.add_grad_(X)
    assert optimizer.lam == first.lam != before


def test_regularizers_of_the_loss_call_the_closure_twice_with_the_same_masks() -> None:
    model = GaussianMLP(3, 8, dropout=0.5, generator=torch.Generator().manual_seed(0))
    calls: list[int] = []
    masks: list[Tensor] = []
    model.body[2].register_forward_hook(lambda _, given, out: masks.append(out == 0))
    optimizer = IGNITE(torch.optim.SGD(model.parameters(), lr=0.1), model, kind="sam")
    optimizer.step(closure_of(model, optimizer, calls), X)
    assert len(calls) == len(masks) == 2
    assert torch.equal(*masks)


def test_bad_arguments_are_named() -> None:
    model = network()
    with pytest.raises(TypeError, match="optimizer must be a torch optimizer, got str"):
        IGNITE("adam", model)  # type: ignore[arg-type]
    optimizer = IGNITE(torch.optim.SGD(model.parameters(), lr=0.1), model)
    with pytest.raises(TypeError, match="step needs x"):
        optimizer.step(closure_of(model, optimizer))
    with pytest.raises(ValueError, match="r must be in"):
        IGNITE(torch.optim.SGD(model.parameters(), lr=0.1), model, r=0.0)
    with pytest.raises(ValueError, match="kind must be one of"):
        IGNITE(torch.optim.SGD(model.parameters(), lr=0.1), model, kind="ignite")
    sam = IGNITE(torch.optim.SGD(model.parameters(), lr=0.1), model, kind="sam")
    with pytest.raises(TypeError, match="SharpnessAware needs loss"):
        sam.step(x=X)
