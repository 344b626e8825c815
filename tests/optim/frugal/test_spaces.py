"""FRUGAL's subspaces: which part of a matrix has states, for how long, and what memory that takes."""

from __future__ import annotations

import math

import pytest
import torch
from tests.optim.frugal.common import matrix, run, state_bytes_of
from torch import nn

from optimand.optim.frugal import FRUGAL
from optimand.optim.frugal.spaces import SUBSPACES

MOMENTS = ("exp_avg", "exp_avg_sq")


def test_states_take_the_memory_of_their_part() -> None:
    wide, tall = matrix(30, 50), matrix(50, 30)
    for subspace, expected in {
        "columns": 8 * (30 * 12 + 50 * 7),
        "rows": 8 * (7 * 50 + 12 * 30),
        "randk": 8 * 2 * 375,
        "svd": 2 * (8 * 50 * 8 + 4 * 30 * 8),
        "random": 2 * (8 * 50 * 8 + 4 * 30 * 8),
    }.items():
        optimizer = FRUGAL([wide, tall], density=0.25, subspace=subspace)
        run(optimizer, [wide, tall], 0, 2)
        assert state_bytes_of(optimizer, [wide, tall]) == expected, subspace
    optimizer = FRUGAL([wide, tall], density=0.25, state_dtype=torch.uint8)
    run(optimizer, [wide, tall], 0, 2)
    values = 30 * 12 + 50 * 7
    codes = [q for p in (wide, tall) for q in (optimizer.state[p][name] for name in MOMENTS)]
    assert sum(q.codes.nbytes for q in codes) == 2 * values
    assert sum(q.scale.nbytes for q in codes) == 2 * 4 * (math.ceil(360 / 256) + math.ceil(350 / 256))


def test_a_llama_of_60m_parameters_takes_the_papers_memory() -> None:
    layer = [(512, 512)] * 4 + [(1376, 512)] * 2 + [(512, 1376)]
    others = 2 * 32_000 * 512 + 17 * 512
    params = [nn.Parameter(torch.zeros(shape)) for shape in layer]
    for p in params:
        p.grad = torch.ones_like(p)
    total = {}
    for density in (0.25, 0.0):
        optimizer = FRUGAL(params, density=density)
        optimizer.step()
        total[density] = 8 * state_bytes_of(optimizer, params) + 8 * others
    assert abs(total[0.25] / 312_807_424 - 1) < 1e-3
    assert total[0.0] == 262_213_632


def holders(optimizer: FRUGAL, params: list[nn.Parameter]) -> set[int]:
    return {i for i, p in enumerate(params) if "exp_avg" in optimizer.state.get(p, {})}


def test_blocks_go_round_and_only_active_ones_hold_states() -> None:
    params = [matrix(4, 3, seed=i) for i in range(5)]
    optimizer = FRUGAL(params, density=0.4, update_gap=2, subspace="block", block_order="descending")
    seen = []
    for step in range(6):
        run(optimizer, params, step, step + 1)
        seen.append(holders(optimizer, params))
        assert state_bytes_of(optimizer, params) == 8 * 12 * 2
    assert seen == [{3, 4}, {3, 4}, {1, 2}, {1, 2}, {0, 4}, {0, 4}]


def test_an_inactive_tensor_without_gradient_gives_its_states_back() -> None:
    params = [matrix(4, 3, seed=i) for i in range(2)]
    optimizer = FRUGAL(params, density=0.5, update_gap=1, subspace="block", block_order="ascending")
    run(optimizer, params, 0, 1)
    assert holders(optimizer, params) == {0}
    params[0].grad = None
    params[1].grad = torch.ones(4, 3)
    optimizer.step()
    assert holders(optimizer, params) == {1}


@pytest.mark.parametrize("on_change", ["keep", "project"])
def test_a_block_that_stays_active_keeps_its_states(on_change) -> None:
    params, twin = [matrix(4, 3)], [matrix(4, 3)]
    run(FRUGAL(params, density=1.0, update_gap=2, subspace="block", on_change=on_change), params, 0, 6)
    run(FRUGAL(twin, density=1.0, update_gap=100), twin, 0, 6)
    assert torch.equal(params[0], twin[0])


def test_vectors_and_scalars_in_every_subspace() -> None:
    params = [matrix(6, 4), nn.Parameter(torch.ones(7)), nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.ones(0))]
    for subspace in SUBSPACES:
        optimizer = FRUGAL(params, density=0.5, subspace=subspace)
        before = [p.detach().clone() for p in params[:3]]
        run(optimizer, params, 0, 2)
        assert all(not torch.equal(p, old) for p, old in zip(params, before, strict=False))
        whole = [p for p in params[1:3] if optimizer.state[p].get("exp_avg", torch.ones(0)).shape == p.shape]
        assert params[2] in set(whole)


def active_columns(optimizer: FRUGAL, p: nn.Parameter) -> torch.Tensor:
    """The columns with states, from their first moments' effect: a state-free rule of nothing leaves the others."""
    before = p.detach().clone()
    optimizer.step()
    return (p.detach() != before).any(0)


def test_each_column_is_active_as_often_as_the_density_says() -> None:
    p = matrix(2, 64)
    p.grad = torch.ones(2, 64)
    optimizer = FRUGAL([p], density=0.25, update_gap=1, state_free="none")
    torch.manual_seed(0)
    state = torch.get_rng_state()
    active = torch.stack([active_columns(optimizer, p) for _ in range(400)])
    assert torch.equal(torch.get_rng_state(), state)
    assert (active.sum(1) == 16).all()
    sigma = math.sqrt(0.25 * 0.75 / 400)
    assert (active.float().mean(0) - 0.25).abs().max() <= 4 * sigma
    torch.manual_seed(7)
    again = FRUGAL([q := matrix(2, 64)], density=0.25, update_gap=1, state_free="none")
    q.grad = p.grad
    assert torch.equal(active[:20], torch.stack([active_columns(again, q) for _ in range(20)]))
    other = FRUGAL([q], density=0.25, update_gap=1, state_free="none", seed=1)
    assert not torch.equal(active[0], active_columns(other, q))


def test_density_may_change_between_refreshes() -> None:
    p = matrix(6, 20)
    optimizer = FRUGAL([p], density=0.5, update_gap=2)
    sizes = []
    for step in range(8):
        if step == 3:
            optimizer.param_groups[0]["density"] = 0.2
        if step == 5:
            optimizer.param_groups[0]["density"] = 0.0
        run(optimizer, [p], step, step + 1)
        state = optimizer.state[p]
        sizes.append(state["exp_avg"].shape[1] if "exp_avg" in state else 0)
    assert sizes == [10, 10, 10, 10, 4, 4, 0, 0]


@pytest.mark.parametrize("on_change", ["keep", "project"])
@pytest.mark.parametrize("subspace", ["columns", "rows", "randk", "svd", "random"])
def test_states_that_go_on_survive_a_change_of_density(subspace, on_change) -> None:
    p = matrix(10, 20)
    optimizer = FRUGAL([p], density=0.5, update_gap=1, subspace=subspace, on_change=on_change)
    for step, density in enumerate((0.5, 0.5, 0.9, 0.0, 0.3)):
        optimizer.param_groups[0]["density"] = density
        run(optimizer, [p], step, step + 1)
    assert torch.isfinite(p).all()
    assert optimizer.state[p]["step"] == 1  # after none at all, states begin anew


def test_columns_that_stay_keep_their_states_when_projected() -> None:
    p = matrix(3, 8)
    optimizer = FRUGAL([p], density=0.75, update_gap=1, on_change="project", betas=(0.5, 0.5))
    before: dict[int, torch.Tensor] = {}
    for step in range(6):
        run(optimizer, [p], step, step + 1)
        space = optimizer._caches[p].space
        m = optimizer.state[p]["exp_avg"]
        for at, column in enumerate(space.index.tolist()):
            old = before.get(column, torch.zeros(3))
            torch.testing.assert_close(m[:, at], 0.5 * old + 0.5 * p.grad[:, column])
        before = {column: m[:, at].clone() for at, column in enumerate(space.index.tolist())}
    assert optimizer.state[p]["step"] == 6
