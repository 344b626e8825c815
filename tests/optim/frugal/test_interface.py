"""FRUGAL as an optimizer of torch: groups, checkpoints, bad values, and the checks that all optimizers pass."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from tests.optim.conformance import Subject
from tests.optim.frugal.common import gradient, matrix, run
from tests.optim.matrix_subjects import CHECKS, exception, frugal_subjects
from torch import nn

from optimand.optim.frugal import FRUGAL
from optimand.optim.frugal.spaces import SUBSPACES

MOMENTS = ("exp_avg", "exp_avg_sq")


@pytest.mark.parametrize("subspace", SUBSPACES)
@pytest.mark.parametrize(
    "options",
    [{}, {"on_change": "project"}, {"state_dtype": torch.uint8}, {"stochastic_rounding": True}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_resuming_across_a_refresh_is_exact(subspace, options) -> None:
    def new() -> tuple[list[nn.Parameter], FRUGAL]:
        dtype = torch.bfloat16 if "stochastic_rounding" in options else torch.float32
        params = [matrix(9, 14, dtype=dtype), matrix(14, 9, seed=1, dtype=dtype), matrix(5, seed=2, dtype=dtype)]
        return params, FRUGAL(params, lr=0.01, density=0.5, update_gap=5, subspace=subspace, **options)

    params, optimizer = new()
    run(optimizer, params, 0, 7)
    buffer = io.BytesIO()
    torch.save({"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, buffer)
    run(optimizer, params, 7, 14)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    fresh, resumed = new()
    for p, value in zip(fresh, saved["params"], strict=True):
        p.data.copy_(value)
    resumed.load_state_dict(saved["optimizer"])
    torch.manual_seed(99)
    run(resumed, fresh, 7, 14)
    assert all(map(torch.equal, params, fresh))


def test_bf16_weights_keep_float32_moments() -> None:
    p = matrix(6, 8, dtype=torch.bfloat16)
    optimizer = FRUGAL([p], density=0.5)
    run(optimizer, [p], 0, 2)
    resumed = FRUGAL([q := matrix(6, 8, dtype=torch.bfloat16)], density=0.5)
    resumed.load_state_dict(optimizer.state_dict())
    for o, param in ((optimizer, p), (resumed, q)):
        assert all(o.state[param][name].dtype == torch.float32 for name in MOMENTS)
    assert all(torch.equal(optimizer.state[p][name], resumed.state[q][name]) for name in MOMENTS)


def test_a_parameter_without_gradient_at_a_refresh_joins_with_its_first() -> None:
    params = [matrix(6, 8), matrix(6, 8, seed=1)]
    optimizer = FRUGAL(params, density=0.5, update_gap=3)
    for step in range(7):
        params[0].grad = gradient((6, 8), step)
        params[1].grad = gradient((6, 8), 50 + step) if step in (1, 2, 4, 5) else None
        optimizer.step()
        if step == 1:
            assert optimizer.state[params[1]]["step"] == 1
    assert [optimizer.state[p]["step"] for p in params] == [1, 2]
    assert [optimizer.state[p]["refresh"] for p in params] == [2, 1]


def test_groups_say_what_is_projectable() -> None:
    def states(groups: list[dict[str, Any]], **options: Any) -> list[int]:
        optimizer = FRUGAL(groups, density=0.5, **options)
        params = [p for group in groups for p in group["params"]]
        run(optimizer, params, 0, 1)
        return [optimizer.state[p]["exp_avg"].shape[1] for p in params]

    def group(**keys: Any) -> dict[str, Any]:
        return {"params": [matrix(4, 8)], **keys}

    assert states([group(), group()]) == [4, 4]
    assert states([group(is_proj_params=True), group()]) == [4, 8]
    assert states([group(is_proj_params=True), group(is_proj_params=False)]) == [4, 8]
    assert states([group(density=0.25), group()]) == [2, 8]
    assert states([group(density=0.25, is_proj_params=True), group(density=0.75)]) == [2, 6]
    optimizer = FRUGAL([group(is_proj_params=True)], density=0.5)
    optimizer.add_param_group({"params": [p := matrix(4, 8)], "is_proj_params": True})
    optimizer.add_param_group({"params": [q := matrix(4, 8)]})
    run(optimizer, [p, q], 0, 1)
    assert [optimizer.state[x]["exp_avg"].shape[1] for x in (p, q)] == [4, 8]


def test_vectors_in_a_projectable_group_are_named() -> None:
    with pytest.warns(UserWarning, match=r"subspace='columns' divides matrices only: 1 .* shape \(3,\)"):
        FRUGAL([{"params": [matrix(4, 8), nn.Parameter(torch.ones(3))], "is_proj_params": True}])
    FRUGAL([matrix(4, 8), nn.Parameter(torch.ones(3))])


@pytest.mark.parametrize("rule", ["adamw", "lion", "sgdm"])
def test_other_groups_take_the_rule_with_states(rule) -> None:
    p, q = matrix(4, 8), matrix(4, 8)
    options = {"lr": 0.01, "state_full": rule}
    run(FRUGAL([{"params": [p], "density": None}], proj_params_lr_scale=9.0, **options), [p], 0, 5)
    run(FRUGAL([q], density=1.0, update_gap=100, **options), [q], 0, 5)
    torch.testing.assert_close(p, q, rtol=0, atol=1e-7)


def test_learning_rates_of_the_two_rules() -> None:
    p = matrix(2, 4)
    p.grad = torch.ones(2, 4)
    before = p.detach().clone()
    FRUGAL([p], lr=0.1, density=0.5, proj_params_lr_scale=0.5, inactive_lr_scale=0.2).step()
    moved = sorted(x.item() for x in (before - p.detach())[0])
    assert moved == pytest.approx([0.01, 0.01, 0.05, 0.05], abs=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgdm_is_torchs_at_density_one(nesterov) -> None:
    p, q = matrix(4, 8), matrix(4, 8)
    run(FRUGAL([p], lr=0.01, density=1.0, state_full="sgdm", nesterov=nesterov), [p], 0, 8)
    run(torch.optim.SGD([q], lr=0.01, momentum=0.9, nesterov=nesterov), [q], 0, 8)
    torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": 1.5}, r"density must be in \[0, 1\], got 1.5"),
        ({"density": -0.5}, r"density must be in \[0, 1\], got -0.5"),
        ({"density": math.nan}, "density must be in .*, got nan"),
        ({"update_gap": 0}, "update_gap must be at least 1, got 0"),
        ({"subspace": "colums"}, "subspace must be one of .* did you mean 'columns'"),
        ({"proj_side": "up"}, "proj_side must be one of"),
        ({"block_order": "up"}, "block_order must be one of"),
        ({"state_full": "adam"}, "state_full must be one of 'adamw', .* got 'adam'"),
        ({"state_free": "no"}, "state_free must be one of"),
        ({"on_change": "zero"}, "on_change must be one of"),
        ({"inactive_lr_scale": -1.0}, "inactive_lr_scale must be in .* got -1.0"),
        ({"proj_params_lr_scale": -1.0}, "proj_params_lr_scale must be in .* got -1.0"),
        ({"momentum": 1.0}, "momentum must be in .* got 1.0"),
        ({"dampening": 2.0}, "dampening must be in .* got 2.0"),
        ({"state_dtype": torch.int32}, "state_dtype must be"),
    ],
)
def test_bad_values_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        FRUGAL([matrix(4, 8)], **options)


def test_bad_types_are_named() -> None:
    for options, message in (
        ({"density": "much"}, "density must be a number"),
        ({"update_gap": 2.5}, "update_gap must be an integer"),
    ):
        with pytest.raises(TypeError, match=message):
            FRUGAL([matrix(4, 8)], **options)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("subject", frugal_subjects(), ids=lambda subject: subject.name)
def test_conforms(subject: Subject, check) -> None:
    if reason := exception(subject, check.__name__):
        pytest.skip(reason)
    check(subject)
