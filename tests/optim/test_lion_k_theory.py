"""The Lyapunov functions of Lion-K: the flow, its dissipation, and the discrete inequality."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optimand.optim import lion_k_flow
from optimand.optim.kappa import get_kappa
from optimand.optim.lion_k import (
    fenchel_young_gap,
    kkt_score,
    lion_k_update,
    lyapunov_weight,
    regularizer,
)

Q = np.array([[2.0, 0.8, 0.3], [0.8, 1.5, -0.4], [0.3, -0.4, 1.0]])
B = np.array([3.0, -2.0, 0.4])


def f(x):
    return 0.5 * x @ Q @ x - B @ x


def grad(x):
    return Q @ x - B


@pytest.fixture(scope="module")
def flow():
    return lion_k_flow(
        f, grad, [-0.8, 0.5, 0.9], [2, -3, 1], kappa="relativistic", kappa_kwargs={"e": 0.5}, eps=0.5,
        t_span=(0, 60), t_eval=np.linspace(0, 60, 2001), rtol=1e-10, atol=1e-12,
    )  # fmt: skip


def test_flow_reaches_the_known_values(flow):
    """Numbers of an independent integration of the same run."""
    assert flow.H[0] == pytest.approx(5.0955458235, abs=1e-7)
    assert flow.H[-1] == pytest.approx(-4.7320310696, abs=1e-7)
    assert flow.x[-1] == pytest.approx([0.96626027, -0.94383089, -0.17732186], abs=1e-7)


def test_lyapunov_value_never_rises_while_the_loss_does(flow):
    assert np.diff(flow.H).max() <= 1e-9 * np.abs(flow.H).max()
    assert (np.diff(flow.f) > 1e-12).sum() > 100


def test_lyapunov_value_never_rises_while_the_composite_objective_does():
    flow = lion_k_flow(
        f, grad, [-0.8, 0.5, 0.9], [-20, 20, 10], kappa="relativistic", kappa_kwargs={"e": 0.5}, t_span=(0, 20),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    assert np.diff(flow.H).max() <= 1e-9 * np.abs(flow.H).max()
    rises = np.diff(flow.F)
    assert rises[rises > 1e-9].sum() > 1e-1


def test_flow_ends_at_a_stationary_point_of_the_composite_objective(flow):
    kappa = get_kappa("relativistic", e=0.5)
    residual = grad(flow.x[-1]) + kappa.conj_grad(torch.from_numpy(flow.x[-1])).numpy()
    assert np.abs(residual).max() < 1e-8


def test_lyapunov_value_is_at_least_the_objective(flow):
    assert (flow.H >= flow.F - 1e-12).all()
    assert (flow.dist == 0).all()


@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_flow_approaches_the_set_exponentially(lam):
    flow = lion_k_flow(f, grad, [4.0, -3.0, 5.0], kappa="relativistic", kappa_kwargs={"e": 0.5}, lam=lam, t_span=(0, 5))
    assert (flow.dist <= flow.dist[0] * np.exp(-lam * flow.t) * (1 + 1e-6) + 1e-9).all()
    assert np.isinf(flow.H[0])


def test_flow_without_decay_has_no_constraint():
    flow = lion_k_flow(f, grad, np.zeros(3), kappa="quadratic", lam=0.0, t_span=(0, 60))
    assert flow.x[-1] == pytest.approx(np.linalg.solve(Q, B), abs=1e-5)
    assert pytest.approx(flow.f) == flow.F
    assert np.diff(flow.H).max() <= 1e-9


def test_flow_of_a_matrix_is_the_flow_of_its_entries_for_an_elementwise_kappa():
    target = np.array([[2.0, 0.0], [0.0, 0.3]])
    options = {"kappa": "relativistic", "kappa_kwargs": {"e": 0.5}, "t_span": (0, 5)}
    matrix = lion_k_flow(lambda x: 0.5 * ((x - target) ** 2).sum(), lambda x: x - target, np.ones((2, 2)), **options)
    flat = target.ravel()
    vector = lion_k_flow(lambda x: 0.5 * ((x - flat) ** 2).sum(), lambda x: x - flat, np.ones(4), **options)
    assert matrix.x.shape == (201, 2, 2)
    assert matrix.x.reshape(201, 4) == pytest.approx(vector.x, abs=1e-9)
    assert pytest.approx(vector.H, abs=1e-9) == matrix.H


@pytest.mark.parametrize(
    ("options", "message"),
    [({"eps": -1}, "eps"), ({"eps": 3.0}, "eps"), ({"gamma": 0}, "gamma"), ({"m0": [1.0]}, "m0"), ({"lam": -1}, "lam")],
)
def test_flow_refuses_bad_coefficients(options, message):
    with pytest.raises(ValueError, match=message):
        lion_k_flow(f, grad, np.zeros(3), **options)


def discrete_run(kappa, lam, eta, x0, steps, beta1=0.9, beta2=0.99, q=Q, b=B):
    """H_t, x_t and the slack of the discrete inequality in every step of the implicit form."""
    q, b = torch.from_numpy(q), torch.from_numpy(b)
    den = eta * lam * (1 - beta1) + (1 - beta2)
    c = lyapunov_weight(eta, beta1, beta2, lam)
    a, weight2 = 1 + c * lam, beta1 * (1 - beta2) / ((beta2 - beta1) * den)
    smooth = float(torch.linalg.eigvalsh(q).max())
    x, m = torch.tensor(x0, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)

    def lyapunov(x, m):
        loss = float(0.5 * x @ q @ x - b @ x)
        return loss + float(regularizer(kappa, x, lam)) + c * float(fenchel_young_gap(kappa, x, m, lam))

    values, points, slacks, parts = [lyapunov(x, m)], [x], [], []
    for _ in range(steps):
        g = q @ x - b
        ahead = beta1 * m - (1 - beta1) * g
        x, m = lion_k_update(x, m, g, kappa.grad, lr=eta, beta1=beta1, beta2=beta2, weight_decay=lam, implicit=True)
        direction = kappa.grad(ahead)
        gap = direction - lam * x
        first = float(gap @ (ahead - kappa.conj_grad(lam * x)))
        second = float((direction - kappa.grad(m)) @ (ahead - m))
        values.append(lyapunov(x, m))
        points.append(x)
        parts.append((first, second))
        bound = -eta * (a * first + weight2 * second) + smooth * eta**2 / 2 * float(gap @ gap)
        slacks.append(bound - (values[-1] - values[-2]))
    return (c, a, weight2), values, points, slacks, parts


@pytest.mark.parametrize("name", ["relativistic", "huber"])
@pytest.mark.parametrize(("lam", "eta"), [(1.0, 0.05), (0.5, 0.01), (2.0, 0.1)])
def test_discrete_inequality_holds_in_every_step(name, lam, eta):
    x0 = [v / max(lam, 1) for v in (0.2, -0.3, 0.5)]
    _, _, _, slacks, parts = discrete_run(get_kappa(name, e=0.5), lam, eta, x0, steps=300)
    assert min(slacks) >= -1e-12
    assert min(min(pair) for pair in parts) >= -1e-13


def test_discrete_inequality_holds_on_random_quadratics():
    rng = np.random.default_rng(3)
    for _ in range(4):
        root = rng.normal(size=(3, 3))
        _, _, _, slacks, _ = discrete_run(
            get_kappa("relativistic", e=0.5), 1.0, 0.02, [0.1, 0.2, -0.3], 100, q=root @ root.T, b=rng.normal(size=3)
        )
        assert min(slacks) >= -1e-12


def test_discrete_run_has_the_known_values():
    """Numbers of an independent run: relativistic e=0.5, lambda=1, lr=0.05, betas (0.9, 0.99)."""
    constants, values, points, _, _ = discrete_run(get_kappa("relativistic", e=0.5), 1.0, 0.05, [0.2, -0.3, 0.5], 3)
    assert constants == pytest.approx((3, 4, 20 / 3))
    assert values == pytest.approx([-2.2250210046, -2.3145256920, -2.3994181850, -2.4801262085], abs=1e-9)
    assert points[1].tolist() == pytest.approx([0.2130373667, -0.2994811387, 0.4735279810], abs=1e-9)


@pytest.mark.parametrize("name", ["l1", "l2", "linf", "nuclear", "huber", "softmax"])
def test_kkt_score_is_positive_inside_the_set_and_zero_at_the_solution(name):
    kappa = get_kappa(name)
    b = torch.tensor([[2.0, 0.3], [-5.0, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x = kappa.grad(torch.randn(2, 2, generator=generator, dtype=torch.float64)) * 0.4 / 2
        if name == "softmax":
            x = x / 0.4
        assert float(kkt_score(kappa, x, x - b, 2.0)) > 0
    if kappa.is_norm:
        solution = kappa.project(b, 0.5)  # the minimizer of ½‖x - b‖² over the set
        assert float(kkt_score(kappa, solution, solution - b, 2.0)) == pytest.approx(0, abs=1e-12)
