"""What every optimizer must offer: groups, closures, state dicts, schedulers, hooks, errors."""

from __future__ import annotations

import copy
import io
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from tests.optim.conformance import (
    PATHS,
    Subject,
    assert_equal,
    assert_moved,
    check,
    compare_states,
    make_params,
    params_of,
    run,
    set_grads,
    values,
)
from torch import nn


@check
def parameters_without_gradient_stay_untouched(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    before = values(params)
    optimizer.step()
    assert_equal(values(params), before)
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    assert_equal(values(params[1:]), before[1:])
    assert params[1] not in optimizer.state or not optimizer.state[params[1]]
    assert not torch.equal(params[0], before[0])


@check
def gradients_are_not_modified(subject: Subject) -> None:
    for options in [{}, {"maximize": True}]:
        if options and not subject.supports("maximize"):
            continue
        for path in [{}, *PATHS] if subject.supports("foreach", "fused") else [{}]:
            params = make_params()
            optimizer = subject(params, **options, **path)
            for step in range(2):
                set_grads(params, step)
                before = [p.grad.clone() for p in params]
                versions = [p.grad._version for p in params]
                optimizer.step()
                assert_equal([p.grad for p in params], before)
                assert [p.grad._version for p in params] == versions


@check
def autograd_notices_that_parameters_changed(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    set_grads(params, 0)
    loss = (params[0] ** 2).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@check
def closure_is_called_with_gradients_on_and_its_loss_returned(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    before = values(params)

    @torch.no_grad()
    def step() -> Any:
        def closure() -> torch.Tensor:
            assert torch.is_grad_enabled()
            optimizer.zero_grad()
            loss = sum((p**2).sum() for p in params)
            loss.backward()
            return loss

        return optimizer.step(closure)

    loss = step()
    assert loss.item() == pytest.approx(sum((x**2).sum().item() for x in before), rel=1e-5)
    assert_moved(before, values(params))
    assert optimizer.step() is None


@check
def groups_have_their_own_hyperparameters(subject: Subject) -> None:
    params = make_params()
    optimizer = subject([{"params": params[:2], "lr": 0.0}, {"params": params[2:]}])
    before = values(params)
    run(optimizer, params, 0, 2)
    assert_equal(values(params[:2]), before[:2])
    assert_moved(before[2:], values(params[2:]))


@check
def a_group_can_be_added_between_steps(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params[:2])
    run(optimizer, params, 0, 2)
    optimizer.add_param_group({"params": params[2:], "lr": 0.05})
    before = values(params)
    run(optimizer, params, 2, 4)
    assert_moved(before, values(params))
    assert optimizer.param_groups[-1]["lr"] == 0.05


@check
def scalars_of_numpy_do_not_get_into_checkpoints(subject: Subject) -> None:
    if not subject.ours:
        return  # torch keeps what it is given
    params = make_params()
    optimizer = subject(params, lr=np.float64(0.01))
    run(optimizer, params, 0, 1)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)["param_groups"][0]["lr"] == 0.01


@check
def a_bad_group_is_refused_and_leaves_no_trace(subject: Subject) -> None:
    if not subject.ours:
        return  # torch checks only the constructor's arguments
    params = make_params()
    optimizer = subject(params[:2])
    groups = len(optimizer.param_groups)
    with pytest.raises(ValueError, match="-3"):
        optimizer.add_param_group({"params": params[2:], "lr": -3.0})
    assert len(optimizer.param_groups) == groups


@check
def state_dict_round_trip_continues_bit_for_bit(subject: Subject) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        params = make_params(dtype)
        optimizer = subject(params, lr=subject.lrs[1])
        run(optimizer, params, 0, 4)
        buffer = io.BytesIO()
        torch.save({"params": values(params), "optimizer": optimizer.state_dict()}, buffer)
        run(optimizer, params, 4, 8)
        buffer.seek(0)
        saved = torch.load(buffer, weights_only=True)
        fresh = [nn.Parameter(p) for p in saved["params"]]
        resumed = subject(fresh)
        resumed.load_state_dict(saved["optimizer"])
        run(resumed, fresh, 4, 8)
        assert_equal(values(fresh), values(params))
        compare_states(resumed.state_dict(), optimizer.state_dict())


@check
def deep_copies_and_pickles_continue_bit_for_bit(subject: Subject) -> None:
    optimizer = subject(make_params())
    params = params_of(optimizer)
    run(optimizer, params, 0, 2)
    copies = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    run(optimizer, params, 2, 4)
    for twin in copies:
        twins = params_of(twin)
        run(twin, twins, 2, 4)
        assert_equal(values(twins), values(params))


@check
def learning_rate_schedulers_take_effect(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 2 else 0.0)
    for step in range(2):
        before = values(params)
        run(optimizer, params, step, step + 1)
        scheduler.step()
        assert_moved(before, values(params))
    if getattr(optimizer, "plays_ahead", False):  # goes back from the point it played to the one it steps from
        run(optimizer, params, 2, 3)
    before = values(params)
    run(optimizer, params, 3, 4)
    assert_equal(values(params), before)


@check
def learning_rate_may_be_a_tensor(subject: Subject) -> None:
    lr = 2.0**-8
    plain, other = make_params(), make_params()
    run(subject(plain, lr=lr), plain, 0, 3)
    rate = torch.tensor(lr)
    run(subject(other, lr=rate), other, 0, 3)
    for p, q in zip(plain, other, strict=True):
        torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-6, atol=1e-7)
    assert rate.item() == lr


@check
def bad_hyperparameters_are_refused_by_name_and_value(subject: Subject) -> None:
    bad: list[tuple[str, Any, str]] = [("lr", -1.5, "-1.5"), ("weight_decay", -2.5, "-2.5")]
    if subject.ours:
        bad += [("lr", math.nan, "nan"), ("weight_decay", math.nan, "nan"), ("lr", torch.tensor([1.0, 2.0]), "2")]
    for value in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1), (math.nan, 0.9)):
        bad += [("betas", value, "beta")] if subject.supports("betas") and "betas" in subject.known else []
    if "eps" in subject.known:
        bad += [("eps", -1e-3, "0.001")]
    if "momentum" in subject.known:
        bad += [("momentum", -0.3, "-0.3")]
    for name, value, shown in bad:
        if name in subject.known:
            with pytest.raises(ValueError, match=re.escape(shown)):
                subject(make_params(), **{name: value})


@check
def no_parameters_is_an_error(subject: Subject) -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        subject([])


@check
def sparse_gradients_are_refused(subject: Subject) -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = subject(embedding.parameters())
    embedding(torch.tensor([1, 2])).sum().backward()
    if subject.ours:
        with pytest.raises(RuntimeError, match="sparse"):
            optimizer.step()


@check
def gradient_scaler_skips_steps_with_infinite_gradients(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for finite in (True, False, True):
        before = values(params)
        optimizer.zero_grad()
        loss = sum((p**2).sum() for p in params)
        scaler.scale(loss).backward()
        if not finite:
            params[1].grad[0] = math.inf
        scaler.step(optimizer)
        scaler.update()
        if finite:
            assert_moved(before, values(params))
        else:
            assert_equal(values(params), before)


@check
def hooks_run_around_a_step(subject: Subject) -> None:
    params = make_params()
    optimizer = subject(params)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    run(optimizer, params, 0, 1)
    assert calls == ["before", "after"]
