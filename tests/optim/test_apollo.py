"""APOLLO and APOLLO-Mini: the worked example, closed forms, the limiter, projections."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optimand.optim.apollo import APOLLO, APOLLOMini
from optimand.optim.projection import gaussian_projection, generator_of
from optimand.optim.projection.selection import kept_dim

# Weights after each step; from apollo-torch 1.0.3, which an independent float64 version agrees with to 6e-8.
GRADS = (
    [[1, -2, 0.5], [0.5, 1, -1.5]],
    [[0.8, -1, 2], [-0.4, 1.2, 0.6]],
    [[3, 0.5, -1], [1, -2, 0.25]],
)
CHANNEL = (
    [[-0.499921, 0.099998, -0.033333], [-0.249960, -0.049999, 0.099998]],
    [[-0.588355, 0.163206, -0.290594], [-0.205743, -0.125848, 0.022819]],
    [[-0.833362, 0.157955, -0.250091], [-0.287412, -0.104843, 0.012694]],
)
CHANNEL_FREE = [[-0.866674, 0.157241, -0.244584], [-0.298516, -0.101987, 0.011317]]
TENSOR = (
    [[-0.781290, 1.562579, -0.390645], [-0.390645, -0.781290, 1.171934]],
    [[-1.285339, 2.192641, -1.650769], [-0.138620, -1.537364, 0.793897]],
    [[-2.439939, 2.000208, -1.265903], [-0.523486, -0.767632, 0.697681]],
)


class Fixed(APOLLO):
    """APOLLO with a projection that the test gives."""

    P = torch.tensor([[0.6, -0.8]])

    def projection(self, group, grad, state, shard, kept) -> Tensor:
        return self.P.to(grad.dtype)


class Norms(APOLLO):
    """APOLLO that writes down the norm of each limited update."""

    def update_matrix(self, group, matrix, grad, state, shard) -> None:
        super().update_matrix(group, matrix, grad, state, shard)
        self.__dict__.setdefault("norms", []).append(state["norm"].item())


def weights(optimizer_class: Any, dtype: torch.dtype = torch.float32, grads: Any = GRADS, **options: Any) -> list[Any]:
    w = nn.Parameter(torch.zeros(2, 3, dtype=dtype))
    optimizer = optimizer_class([w], lr=0.1, rank=1, **options)
    found = []
    for grad in grads:
        w.grad = torch.tensor(grad, dtype=dtype)
        optimizer.step()
        found.append(w.detach().clone())
    return found


def train(optimizer: Any, params: list[Any], begin: int, end: int) -> None:
    for step in range(begin, end):
        for i, p in enumerate(params):
            p.grad = torch.randn(p.shape, generator=generator_of(step, i)).to(p.dtype)
        optimizer.step()


def close(found: Tensor, expected: Any, tolerance: float = 2e-6) -> None:
    torch.testing.assert_close(found.double(), torch.as_tensor(expected).double(), rtol=0, atol=tolerance)


# The worked example


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example_with_a_factor_for_each_channel(dtype):
    for found, expected in zip(weights(Fixed, dtype), CHANNEL, strict=True):
        close(found, expected)
    close(weights(Fixed, dtype, norm_growth=None)[2], CHANNEL_FREE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example_with_one_factor(dtype):
    for found, expected in zip(weights(Fixed, dtype, scale=128.0, scale_type="tensor"), TENSOR, strict=True):
        close(found, expected)


def test_weight_decay_acts_on_the_updated_weights():
    after = weights(Fixed, weight_decay=0.5)
    first, second = (torch.tensor(CHANNEL[i]) for i in range(2))
    close(after[0], first * 0.95)
    close(after[1], (first * 0.95 + second - first) * 0.95)


@pytest.mark.parametrize("options", [{}, {"scale_type": "tensor", "scale": 9.0}], ids=str)
def test_maximizing_follows_the_negative_gradient(options):
    negative = [(-torch.tensor(g)).tolist() for g in GRADS]
    up, down = weights(Fixed, maximize=True, **options), weights(Fixed, grads=negative, **options)
    assert all(torch.equal(a, b) for a, b in zip(up, down, strict=True))


# Closed forms


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from((0.25, 1.0, 4.0)), st.integers(0, 99))
def test_first_step_in_closed_form(rank, rows, columns, scale, seed):
    rank = min(rank, rows, columns)
    w = nn.Parameter(torch.zeros(rows, columns, dtype=torch.float64))
    w.grad = torch.randn(rows, columns, generator=generator_of(seed), dtype=torch.float64)
    APOLLO([w], lr=0.1, rank=rank, eps=0.0, scale=scale, seed=seed).step()
    wide = rows < columns
    p = gaussian_projection(rank, min(rows, columns), (seed, 0, 0), dtype=torch.float64)
    low = p @ w.grad if wide else w.grad @ p.T
    norms = low.norm(dim=0 if wide else 1, keepdim=True)
    expected = -0.1 * math.sqrt(scale * rank) * w.grad / norms
    torch.testing.assert_close(w.detach(), expected, rtol=1e-4, atol=0)  # the floor of 1e-8 in the ratio


def test_first_step_of_mini_in_closed_form():
    w = nn.Parameter(torch.zeros(6, 10, dtype=torch.float64))
    w.grad = torch.randn(6, 10, generator=generator_of(1), dtype=torch.float64)
    APOLLOMini([w], lr=0.1, eps=0.0).step()
    low = gaussian_projection(1, 6, (0, 0, 0), dtype=torch.float64) @ w.grad
    expected = -0.1 * math.sqrt(128.0) * math.sqrt(10) / low.norm() * w.grad
    torch.testing.assert_close(w.detach(), expected, rtol=1e-6, atol=0)


def test_full_rank_gives_adams_own_norm_ratios():
    class Identity(Fixed):
        P = torch.eye(4)

    w = nn.Parameter(torch.zeros(4, 7, dtype=torch.float64))
    optimizer = Identity([w], lr=1.0, rank=4, eps=1e-3, norm_growth=None, correct_bias=False)
    m, v = torch.zeros(4, 7, dtype=torch.float64), torch.zeros(4, 7, dtype=torch.float64)
    for step in range(6):
        before = w.detach().clone()
        w.grad = torch.randn(4, 7, generator=generator_of(step), dtype=torch.float64)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * w.grad, 0.999 * v + 0.001 * w.grad**2
        adam = m / (v.sqrt() + 1e-3)
        found = (w.detach() - before).norm(dim=0) / w.grad.norm(dim=0)
        torch.testing.assert_close(found, adam.norm(dim=0) / w.grad.norm(dim=0), rtol=1e-7, atol=1e-9)


def channel_scales(grads: list[Tensor], p: Tensor | None) -> Tensor:
    """Column norm ratios of Adam without bias correction after these gradients, projected by ``p``."""
    m = v = torch.zeros(())
    for grad in grads:
        r = grad if p is None else p @ grad
        m, v = 0.9 * m + 0.1 * r, 0.999 * v + 0.001 * r * r
    return (m / (v.sqrt() + 1e-8)).norm(dim=0) / r.norm(dim=0)


@pytest.mark.parametrize("rank", [16, 32, 64, 128])
def test_scales_grow_with_the_root_of_rank_over_the_projected_dimension(rank):
    m, n = 256, 512
    medians = []
    for seed in range(4):
        start = torch.randn(m, n, generator=generator_of(seed, 0))
        grads = [0.3 * start + torch.randn(m, n, generator=generator_of(seed, 1 + t)) for t in range(50)]
        ratio = channel_scales(grads, gaussian_projection(rank, m, (seed, rank))) / channel_scales(grads, None)
        medians.append(ratio.median().item())
    mean = sum(medians) / len(medians)
    assert math.sqrt(m / rank) * mean == pytest.approx(1.0, abs=0.05)
    assert math.sqrt(n / rank) * mean == pytest.approx(math.sqrt(2), abs=0.08)


# The limiter


@pytest.mark.parametrize("scale_type", ["channel", "tensor"])
def test_updates_grow_by_a_percent_a_step_at_most(scale_type):
    w = nn.Parameter(torch.zeros(8, 12))
    optimizer = Norms([w], rank=4, scale_type=scale_type)
    for step in range(12):
        w.grad = torch.randn(8, 12, generator=generator_of(step)) * (100.0 if step == 4 else 1.0)
        optimizer.step()
    norms = optimizer.norms
    assert max(b / a for a, b in itertools.pairwise(norms)) <= 1.01 * (1 + 1e-5)
    assert any(b / a > 1.0099 for a, b in itertools.pairwise(norms))


def test_a_zero_gradient_leaves_the_next_step_unlimited():
    grads = [[[0.0] * 3] * 2, GRADS[0], GRADS[1]]
    limited, free = weights(Fixed, grads=grads), weights(Fixed, grads=grads, norm_growth=None)
    assert torch.equal(limited[0], torch.zeros(2, 3))
    assert torch.equal(limited[1], free[1])
    assert limited[1].abs().min() > 1e-3
    later = weights(Fixed, grads=[GRADS[0], [[0.0] * 3] * 2, GRADS[1]])
    assert (later[2] - later[1]).abs().max() > 1e-2


def test_a_channel_without_gradient_stays_where_it_is():
    w = nn.Parameter(torch.ones(3, 5))
    w.grad = torch.ones(3, 5)
    w.grad[:, 2] = 0.0
    APOLLO([w], rank=2).step()
    assert torch.equal(w[:, 2].detach(), torch.ones(3))
    assert torch.isfinite(w).all()


# Projections


@pytest.mark.parametrize(
    ("proj_type", "shape", "kept"),
    [("std", (4, 2), 0), ("std", (3, 3), 0), ("std", (2, 4), 1), ("reverse_std", (4, 2), 1), ("reverse_std", (3, 3), 1),
     ("reverse_std", (2, 4), 0), ("left", (4, 2), 1), ("right", (2, 4), 0)],
)  # fmt: skip
def test_the_side_that_is_projected(proj_type, shape, kept):
    assert kept_dim(shape, proj_type) == kept
    w = nn.Parameter(torch.zeros(shape))
    w.grad = torch.ones(shape)
    optimizer = APOLLO([w], rank=1, proj_type=proj_type)
    optimizer.step()
    assert optimizer.state[w]["exp_avg"].numel() == shape[kept]
    assert (w < 0).all()


def test_projections_change_every_gap_and_moments_stay():
    seen = []

    class Watch(APOLLO):
        def projection(self, group, grad, state, shard, kept) -> Tensor:
            found = super().projection(group, grad, state, shard, kept)
            seen.append((found.clone(), state["exp_avg"].clone()))
            return found

    w = nn.Parameter(torch.zeros(4, 6))
    train(Watch([w], rank=2, update_proj_gap=3), [w], 0, 7)
    same = [torch.equal(a[0], b[0]) for a, b in itertools.pairwise(seen)]
    assert same == [True, True, False, True, True, False]
    assert all(moment.abs().sum() > 0 for _, moment in seen[1:])


def test_matrices_of_the_same_shape_have_projections_of_their_own():
    a, b = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(4, 6))
    optimizer = APOLLO([a, b], rank=2)
    a.grad = b.grad = torch.randn(4, 6, generator=generator_of(0))
    optimizer.step()
    assert not torch.equal(a, b)


@pytest.mark.parametrize("options", [{"proj": "random"}, {"scale_type": "tensor"}, {"state_dtype": "8bit"}], ids=str)
def test_keeping_the_projection_changes_nothing(options):
    results = []
    for cached in (False, True):
        params = [nn.Parameter(torch.zeros(s)) for s in ((8, 12), (12, 8))]
        train(APOLLO(params, rank=3, update_proj_gap=2, cache_projection=cached, **options), params, 0, 5)
        results.append(params)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_singular_vectors_project_onto_the_leading_directions(shape):
    low = torch.randn(shape[0], 2, generator=generator_of(1)) @ torch.randn(2, shape[1], generator=generator_of(2))
    w = nn.Parameter(torch.zeros(shape))
    w.grad = low
    optimizer = APOLLO([w], rank=2, proj="svd", betas=(0.0, 0.0), correct_bias=False)
    optimizer.step()
    kept = kept_dim(shape, "std")
    # a gradient of rank 2 keeps its channels' norms in its two leading directions
    first = optimizer.state[w]["exp_avg"].norm(dim=1 - kept)
    torch.testing.assert_close(first, low.norm(dim=1 - kept))
    p = optimizer.state[w]["projection"]
    torch.testing.assert_close(p @ p.T, torch.eye(2), rtol=0, atol=1e-5)
    assert p.untyped_storage().nbytes() == 4 * 2 * min(shape)
