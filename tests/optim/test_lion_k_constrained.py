"""Lion-K solves the constrained problem of its kappa; the numbers come from closed forms or an independent run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from optimand.optim import LionK, minimize_lionk
from optimand.optim.kappa import get_kappa
from optimand.optim.lion_k import lion_k_update

B = np.array([2.0, 0.3, -5.0])
X0 = np.array([3.0, -2.0, 0.5])
B_MATRIX = np.array([[2.0, 1.0], [0.0, 0.5], [-1.0, 3.0]])
Q = np.array([[2.0, 0.8, 0.3], [0.8, 1.5, -0.4], [0.3, -0.4, 1.0]])
Q_B = np.array([3.0, -2.0, 0.4])


def solve(kappa, b=B, x0=X0, steps=8000, **options):
    return minimize_lionk(
        lambda x: 0.5 * ((x - b) ** 2).sum(), x0, jac=lambda x: x - b, kappa=kappa, maxiter=steps, tol=0.0, **options
    )


# Limits for min ½‖x-b‖² + K*(x), b = [2, 0.3, -5], 8000 steps of 0.01 falling to 0 (closed forms or SLSQP).
LIMITS = [
    ("l1", {}, [1, 0.3, -1]),
    ("l2", {}, [0.3708157184, 0.0556223578, -0.927039296]),
    ("lp", {"p": 1.5}, [0.5579394166, 0.1684901299, -0.9365727840]),
    ("huber", {"e": 0.5}, [1, 0.2, -1]),
    ("dead_zone", {"e": 0.5}, [1, 0, -1]),
    ("group_l2", {"index": [[0, 1], [2]]}, [0.9889363529, 0.1483404529, -1]),
    ("softmax", {}, [0.7626044916, 0.2359068796, 0.0014886288]),
    ("sum", {"kappas": ["l1", "quadratic"]}, [1.5, 0.3, -3]),
    ("relativistic", {"e": 0.5}, [0.9090681196, 0.1986534285, -0.9923071529]),
    ("log_cosh", {"a": 2.0}, [0.9682497951, 0.1991015686, -0.9999997749]),
]


@pytest.mark.parametrize(("name", "kwargs", "limit"), LIMITS, ids=[name for name, _, _ in LIMITS])
def test_separable_problem_ends_at_its_constrained_minimizer(name, kwargs, limit):
    found = solve(get_kappa(name, **kwargs))
    assert found.x == pytest.approx(limit, abs=1e-5)
    assert found.constraint_violation <= 1e-12
    if name == "dead_zone":
        assert abs(found.x[1]) < 1e-12
    if name == "lp":
        assert float(np.sum(np.abs(found.x) ** 3)) == pytest.approx(1, abs=1e-12)


def test_linf_ends_on_the_l1_ball():
    found = solve("linf", np.array([2.0, 1.5, -1.7]), np.zeros(3))
    assert found.x == pytest.approx([0.6, 0.1, -0.3], abs=1e-5)


def test_top_k_ends_near_the_projection_because_its_active_set_chatters():
    found = solve(get_kappa("top_k", k=2), np.array([2.0, 1.5, -1.7, 0.2]), np.zeros(4))
    assert found.x == pytest.approx([0.93333, 0.43333, -0.63333, 0], abs=2e-3)


def test_nuclear_ends_with_clipped_singular_values():
    expected = [[0.9277894781, 0.3663762547], [0.0130024646, 0.1571831982], [-0.372877487, 0.9170942602]]
    found = solve("nuclear", B_MATRIX, np.zeros((3, 2)))
    assert found.x == pytest.approx(np.array(expected), abs=1e-5)
    assert np.linalg.svd(found.x, compute_uv=False) == pytest.approx([1, 1], abs=1e-5)


def test_schatten_ends_in_the_dual_schatten_ball():
    expected = [[0.3829264244, 0.2277868794], [-0.0048431552, 0.123579751], [-0.2253653016, 0.751164817]]
    found = solve(get_kappa("schatten", p=3.0), B_MATRIX, np.zeros((3, 2)))
    assert found.x == pytest.approx(np.array(expected), abs=1e-5)
    assert np.linalg.svd(found.x, compute_uv=False) == pytest.approx([0.8041261377, 0.4268889505], abs=1e-5)


def test_constant_step_chatters_within_the_step():
    found = solve("l1", steps=3000, schedule="constant")
    assert found.x == pytest.approx([1, 0.3, -1], abs=0.01)


@pytest.mark.parametrize(("lam", "kappa"), [(0.5, "l1"), (2.0, "l2")])
def test_the_radius_is_one_over_the_weight_decay(lam, kappa):
    found = solve(kappa, b=np.array([2.0, 0.3, -5.0]), x0=np.zeros(3), lam=lam, steps=6000, lr=0.02)
    expected = get_kappa(kappa).project(torch.from_numpy(B), 1 / lam).numpy()
    assert found.x == pytest.approx(expected, abs=1e-3)


def test_coupled_box_problem_meets_the_kkt_conditions():
    """An independent run ends at [1, -1, -0.3] with KKT score 6.4e-7 after 40000 steps from 0."""
    found = minimize_lionk(
        lambda x: 0.5 * x @ Q @ x - Q_B @ x, np.zeros(3), jac=lambda x: Q @ x - Q_B, maxiter=10000, tol=0.0
    )
    assert found.x == pytest.approx([1, -1, -0.3], abs=1e-5)
    assert 0 <= found.kkt_score < 1e-5


@pytest.mark.parametrize(
    ("name", "norm", "x0"),
    [("l1", np.inf, [0.1] * 3), ("l2", 2, [0.1] * 3), ("linf", 1, [0.1] * 3)],
)
def test_coupled_problems_agree_with_slsqp(name, norm, x0):
    reference = minimize(
        lambda x: 0.5 * x @ Q @ x - Q_B @ x,
        x0,
        jac=lambda x: Q @ x - Q_B,
        constraints={"type": "ineq", "fun": lambda x: 1 - np.linalg.norm(x, norm)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found = minimize_lionk(
        lambda x: 0.5 * x @ Q @ x - Q_B @ x, np.zeros(3), jac=lambda x: Q @ x - Q_B, kappa=name, maxiter=4000, tol=1e-9
    )
    assert found.fun == pytest.approx(reference.fun, abs=1e-4)


BOUNDED = [
    ("l1", {}, (4,)),
    ("l2", {}, (4,)),
    ("lp", {"p": 1.5}, (4,)),
    ("lp", {"p": 4.0}, (4,)),
    ("linf", {}, (4,)),
    ("dead_zone", {"e": 0.5}, (4,)),
    ("top_k", {"k": 2}, (4,)),
    ("huber", {"e": 0.5}, (4,)),
    ("relativistic", {"e": 0.5}, (4,)),
    ("log_cosh", {"a": 2.0}, (4,)),
    ("softmax", {}, (4,)),
    ("group_l2", {"index": [[0, 1], [2, 3]]}, (4,)),
    ("nuclear", {}, (2, 2)),
    ("schatten", {"p": 3.0}, (2, 2)),
    ("scaled", {"kappa": "l1", "s": 3.0}, (4,)),
    ("sum", {"kappas": ["l1", "l2"]}, (4,)),
    ("separable", {"kappas": ["l2", "softmax"], "sizes": [2, 2]}, (4,)),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), BOUNDED, ids=[f"{n}{i}" for i, (n, _, _) in enumerate(BOUNDED)])
@pytest.mark.parametrize(("lam", "eta"), [(1.0, 0.05), (2.0, 0.1)])
@pytest.mark.parametrize("implicit", [False, True])
def test_distance_to_the_set_contracts_at_the_rate_of_the_decay(name, kwargs, shape, lam, eta, implicit):
    kappa = get_kappa(name, **kwargs)
    generator = torch.Generator().manual_seed(1)
    signs = torch.randn(shape, generator=generator, dtype=torch.float64).sign()
    x, m = signs * 10 / lam, torch.zeros(shape, dtype=torch.float64)
    first = float(kappa.dist_domain(lam * x))
    # The bound falls below rounding within a few hundred steps; the rest is sampled.
    checked = set(range(1, 300)) | set(range(300, 801, 25))
    factor = 1 / (1 + eta * lam) if implicit else 1 - eta * lam
    assert first > 1
    for t in range(1, 801 if not implicit else 300):
        grad = torch.randn(shape, generator=generator, dtype=torch.float64)
        x, m = lion_k_update(x, m, grad, kappa.grad, lr=eta, weight_decay=lam, implicit=implicit)
        if t in checked:
            assert float(kappa.dist_domain(lam * x)) <= factor**t * first * (1 + 1e-9) + 1e-13


@pytest.mark.parametrize(("name", "kwargs", "shape"), BOUNDED, ids=[f"{n}{i}" for i, (n, _, _) in enumerate(BOUNDED)])
def test_once_inside_the_iterates_stay_inside(name, kwargs, shape):
    kappa = get_kappa(name, **kwargs)
    generator = torch.Generator().manual_seed(2)
    x = kappa.grad(torch.randn(shape, generator=generator, dtype=torch.float64)) / 2.0
    m = torch.zeros(shape, dtype=torch.float64)
    for _ in range(200):
        grad = torch.randn(shape, generator=generator, dtype=torch.float64)
        x, m = lion_k_update(x, m, grad, kappa.grad, lr=0.1, weight_decay=2.0)
        assert float(kappa.dist_domain(2.0 * x)) <= 1e-13


def test_without_look_ahead_l2_is_frank_wolfe_on_the_ball():
    lam, eta = 2.0, 0.05
    p = torch.nn.Parameter(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    optimizer = LionK([p], lr=eta, betas=(0.0, 0.99), weight_decay=lam, kappa="l2")
    q, b = torch.from_numpy(Q), torch.from_numpy(Q_B)
    x = p.detach().clone()
    for _ in range(50):
        p.grad = q @ p.detach() - b
        optimizer.step()
        grad = q @ x - b
        vertex = -grad / grad.norm() / lam  # minimizer of the linear model over the ball of radius 1/lam
        x = x + eta * lam * (vertex - x)
        torch.testing.assert_close(p.detach(), x, rtol=0, atol=1e-12)


def test_explicit_and_implicit_decay_are_the_same_method_at_related_steps():
    x = torch.tensor([0.4, -0.3], dtype=torch.float64)
    m, grad = torch.tensor([0.2, 0.1], dtype=torch.float64), torch.tensor([-1.0, 2.0], dtype=torch.float64)
    kappa, lam, eta = get_kappa("huber", e=0.5), 2.0, 0.1
    implicit, _ = lion_k_update(x, m, grad, kappa.grad, lr=eta, weight_decay=lam, implicit=True)
    explicit, _ = lion_k_update(x, m, grad, kappa.grad, lr=eta / (1 + eta * lam), weight_decay=lam)
    torch.testing.assert_close(implicit, explicit, rtol=0, atol=1e-15)
    assert math.isclose(float(implicit[0]), float((x + eta * kappa.grad(0.9 * m - 0.1 * grad))[0] / (1 + eta * lam)))
