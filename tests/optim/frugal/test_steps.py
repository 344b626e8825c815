"""A step of FRUGAL, against the authors' numbers, closed forms, plain references and the theory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.optim.frugal.common import gradient, matrix, run
from torch import nn

import optimand.optim.frugal.spaces as spaces_module
from optimand.optim.formulas import ADAM
from optimand.optim.frugal import FRUGAL
from optimand.optim.memory import tensors_in

PATHS = ({}, {"fused": False})

# The worked example of the authors' code: T = 2, density 0.5, columns [1, 3] for two steps and [0, 2] for two.
GRADIENTS = (
    [[1, -2, 0.5, 0.25], [0.5, 1, -1.5, -0.75]],
    [[0.8, -1, 2, 0.1], [-0.4, 1.2, 0.6, 0.3]],
    [[3, 0.5, -1, -0.2], [1, -2, 0.25, 0.4]],
    [[-1, 0.4, 0.3, 0.7], [2, 0.1, -0.25, -1.4]],
)
WORKED: list[tuple[dict[str, Any], dict[int, list[list[float]]]]] = [
    (
        {},
        {
            1: [[0.99, 1.01, 0.99, 0.99], [0.99, 0.99, 1.01, 1.01]],
            2: [[0.98, 1.0193218, 0.98, 0.9810143], [1, 0.9799939, 1, 1.0134561]],
            3: [[0.97, 1.0093218, 0.99, 0.9910142], [0.99, 0.9899939, 0.99, 1.0034561]],
            4: [[0.9659978, 0.9993218, 0.9942785, 0.9810143], [0.9803482, 0.9799939, 0.9905263, 1.0134561]],
        },
    ),
    (
        {"state_free": "sgd"},
        {4: [[0.9679978, 1.0103219, 0.9892785, 0.9760142], [0.9793482, 0.9989939, 0.9995263, 1.0234562]]},
    ),
    (
        {"on_change": "keep"},
        {
            3: [[0.9791803, 1.0093218, 0.9843644, 0.9910142], [0.9900411, 0.9899939, 1.0006616, 1.0034561]],
            4: [[0.9800332, 0.9993218, 0.9861804, 0.9810143], [0.9802341, 0.9799939, 1.0028310, 1.0134561]],
        },
    ),
    (
        {"inactive_lr_scale": 0.1, "weight_decay": 0.1},
        {4: [[0.9800189, 1.0132802, 1.0082797, 0.9770673], [0.9763653, 0.9760489, 0.9865414, 1.0094262]]},
    ),
]


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize(("options", "expected"), WORKED, ids=[str(options) for options, _ in WORKED])
def test_worked_example_of_the_authors_code(options, expected, path, monkeypatch) -> None:
    def draw(total: int, size: int, key: tuple[int, ...]) -> torch.Tensor:
        assert (total, size) == (4, 2)
        return torch.tensor([1, 3] if key[2] == 0 else [0, 2])

    monkeypatch.setattr(spaces_module, "draw_subset", draw)
    p = nn.Parameter(torch.ones(2, 4))
    optimizer = FRUGAL([p], lr=0.01, density=0.5, update_gap=2, **options, **path)
    for step, grad in enumerate(GRADIENTS, 1):
        p.grad = torch.tensor(grad)
        optimizer.step()
        if step in expected:
            torch.testing.assert_close(p.detach(), torch.tensor(expected[step]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("subspace", ["columns", "rows", "randk", "block"])
@pytest.mark.parametrize("fused", [None, False])
def test_density_one_is_adamw_in_every_form(subspace, fused) -> None:
    ours, theirs = matrix(9, 14), matrix(9, 14)
    optimizer = FRUGAL([ours], lr=0.01, weight_decay=0.1, density=1.0, subspace=subspace, fused=fused)
    other = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    run(optimizer, [ours], 0, 20)
    run(other, [theirs], 0, 20)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_density_zero_is_sign_descent_bit_for_bit(path) -> None:
    ours, theirs = matrix(9, 14), matrix(9, 14).detach()
    optimizer = FRUGAL([ours], lr=0.01, weight_decay=0.1, density=0.0, **path)
    for step in range(5):
        run(optimizer, [ours], step, step + 1)
        theirs.mul_(1 - 0.01 * 0.1).add_(gradient((9, 14), step).sign(), alpha=-0.01)
        assert torch.equal(ours, theirs)
    assert not list(tensors_in(optimizer.state[ours]))


@pytest.mark.parametrize("subspace", ["columns", "rows", "randk", "block"])
def test_every_coordinate_moves_by_lr_right_after_a_reset(subspace) -> None:
    params = [matrix(8, 12, seed=i) for i in range(4)]
    optimizer = FRUGAL(params, lr=0.01, density=0.5, update_gap=3, subspace=subspace)
    for step in range(9):
        before = [p.detach().clone() for p in params]
        run(optimizer, params, step, step + 1)
        if step % 3 == 0:
            for p, old in zip(params, before, strict=True):
                large = p.grad.abs() > 1e-4
                moved = (p.detach() - old).abs()[large]
                assert (moved - 0.01).abs().max() <= 1e-3 * 0.01


@pytest.mark.parametrize(
    ("options", "free", "subspace", "dtype"),
    [
        ({}, "sign_sgd", "columns", torch.float32),
        ({}, "none", "rows", torch.float32),
        ({}, "sgd", "columns", torch.bfloat16),
        ({}, "sign_sgd", "rows", torch.float16),
        ({"state_dtype": torch.bfloat16}, "sign_sgd", "columns", torch.float32),
        ({"state_full": "lion"}, "sgd", "columns", torch.float32),
        ({"state_full": "lion"}, "sign_sgd", "rows", torch.float64),
        ({"state_full": "sgdm", "dampening": 0.5}, "none", "columns", torch.float64),
    ],
    ids=str,
)
def test_compiled_code_and_torch_operations_give_the_same_bits(options, free, subspace, dtype) -> None:
    results = []
    for fused in (None, False):
        params = [matrix(37, 53, dtype=dtype), matrix(16, 300, seed=1, dtype=dtype)]
        optimizer = FRUGAL(
            params, lr=0.01, weight_decay=0.1, density=0.4, update_gap=4, subspace=subspace, state_free=free,
            fused=fused, maximize=subspace == "rows", **options,
        )  # fmt: skip
        run(optimizer, params, 0, 9)
        results.append([*params, *tensors_in(dict(optimizer.state))])
    assert all(map(torch.equal, *results))


def test_stochastic_rounding_is_the_same_in_compiled_code() -> None:
    results = []
    for fused in (None, False):
        params = [matrix(37, 53, dtype=torch.bfloat16), matrix(7, 5, seed=1)]
        optimizer = FRUGAL(params, lr=1e-4, density=0.4, update_gap=4, fused=fused, stochastic_rounding=True)
        run(optimizer, params, 0, 9)
        results.append(params)
    assert all(map(torch.equal, *results))
    nearest = [matrix(37, 53, dtype=torch.bfloat16)]
    run(FRUGAL(nearest, lr=1e-4, density=0.4, update_gap=4), nearest, 0, 9)
    assert not torch.equal(nearest[0], results[0][0])


def test_a_broken_compiler_leaves_the_torch_path(monkeypatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("optimand.optim.kernels.compiler.load", broken)
    monkeypatch.setattr("optimand.optim.frugal.steps._SUBSETS", {})
    monkeypatch.setattr(ADAM, "failure", None)
    p, twin = matrix(6, 8), matrix(6, 8)
    with pytest.warns(RuntimeWarning, match="no compiled kernel for 'adam'"):
        run(FRUGAL([p], density=0.5), [p], 0, 1)
    run(FRUGAL([twin], density=0.5, fused=False), [twin], 0, 1)
    assert torch.equal(p, twin)


def reference_step(p, g, q, m, v, k, lr, free) -> torch.Tensor:
    """A projected step in float64: ``q`` has orthonormal columns that span the subspace of the columns' side."""
    down = g @ q
    m.mul_(0.9).add_(0.1 * down)
    v.mul_(0.999).add_(0.001 * down**2)
    u = -lr * (m / (1 - 0.9**k)) / ((v / (1 - 0.999**k)).sqrt() + 1e-8)
    rest = g - down @ q.T
    return p + u @ q.T - (lr * rest.sign() if free else 0)


@pytest.mark.parametrize("subspace", ["svd", "random"])
@pytest.mark.parametrize("free", [True, False])
def test_projected_steps_follow_the_page(subspace, free) -> None:
    p = nn.Parameter(matrix(12, 8).double())
    optimizer = FRUGAL(
        [p], lr=0.01, density=0.4, subspace=subspace, update_gap=3, state_free="sign_sgd" if free else "none"
    )
    expected = p.detach().clone()
    for step in range(6):
        g = gradient((12, 8), step).double()
        if step % 3 == 0:
            m, v = torch.zeros(12, 3, dtype=torch.float64), torch.zeros(12, 3, dtype=torch.float64)
        p.grad = g.clone()
        optimizer.step()
        q = optimizer.state[p]["right"].T
        if subspace == "svd" and step % 3 == 0:
            exact = torch.linalg.svd(g).Vh[:3].T
            torch.testing.assert_close((exact.T @ q).abs(), torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-10)
        expected = reference_step(expected, g, q, m, v, step % 3 + 1, 0.01, free)
        torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(4, 6), (64, 64), (512, 1376)])
def test_rounding_noise_of_a_projection_has_no_sign(shape) -> None:
    grad = gradient((shape[0], 2), 1) @ gradient((2, shape[1]), 2)
    density = 2 / min(shape)
    results = []
    for free in ("sign_sgd", "none"):
        p = matrix(*shape)
        p.grad = grad.clone()
        FRUGAL([p], lr=0.01, density=density, subspace="svd", state_free=free).step()
        results.append(p)
    assert torch.equal(*results)


def squares(alpha: float, steps: int, noise: float, start: float, runs: int = 5) -> list[float]:
    """Running sums of the squared gradient's norm: FRUGAL(SGDM, SGD) on a quadratic, half of it drawn each step.

    Mean of the runs, the rows of one matrix.
    """
    spectrum = torch.logspace(-2, 0, 50, dtype=torch.float64)
    p = nn.Parameter(torch.full((runs, 50), start, dtype=torch.float64))
    optimizer = FRUGAL(
        [p], lr=alpha, density=0.5, update_gap=1, subspace="randk", state_full="sgdm", state_free="sgd",
        momentum=0.9, dampening=0.9, on_change="project", fused=False,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    total, sums = 0.0, []
    for _ in range(steps):
        grad = spectrum * p.detach()
        total += grad.square().sum().item() / runs
        sums.append(total)
        p.grad = grad + noise * torch.randn(runs, 50, generator=generator, dtype=torch.float64)
        optimizer.step()
    return sums


def test_gradients_are_summable_without_noise() -> None:
    sums = squares(0.05, 2000, 0.0, 1.0)
    assert 165 < sums[999] < 190
    assert sums[-1] <= 1.1 * sums[999]


def test_the_plateau_under_noise_is_proportional_to_the_step() -> None:
    # From the minimum, so that no transient is left to wait for.
    high, low = (sums[-1] - sums[499] for sums in (squares(alpha, 1200, 0.1, 0.0, 20) for alpha in (0.05, 0.025)))
    assert 1.5 <= high / low <= 2.2
