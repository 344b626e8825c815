"""The learners to compare with: each is the plain loop over its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from optimand.core.validation import OptimandError
from optimand.online.convex import (
    OGD,
    ONS,
    AdaGradNorm,
    Ball,
    Box,
    OptimisticFTRL,
    Simplex,
    StronglyConvexOGD,
    Unconstrained,
)

BALL = Ball(1.0, dim=3)
T = 40


def gradients(seed=0):
    g = np.random.default_rng(seed).normal(size=(T, 3))
    return g / np.maximum(1.0, np.linalg.norm(g, axis=1, keepdims=True))


def played(learner, g):
    points = []
    for row in g:
        points.append(learner.predict())
        learner.update(row)
    return np.array(points)


def descent(g, step, project=BALL.project):
    x, points = np.zeros(3), []
    for t in range(T):
        points.append(x)
        x = project(x - step(t + 1) * g[t])
    return np.array(points)


def test_ogd():
    g = gradients()
    np.testing.assert_allclose(played(OGD(BALL, G=1.5), g), descent(g, lambda t: 2 / (1.5 * math.sqrt(t))), atol=1e-14)
    np.testing.assert_allclose(
        played(OGD(BALL, G=1.5, D=3.0, step=0.1), g), descent(g, lambda t: 0.1 * 3 / (1.5 * math.sqrt(t))), atol=1e-14
    )


def test_strongly_convex_ogd():
    g = gradients(1)
    np.testing.assert_allclose(
        played(StronglyConvexOGD(BALL, lam=0.3), g), descent(g, lambda t: 1 / (0.3 * t)), atol=1e-14
    )


def test_adagrad_norm_counts_the_gradient_at_hand():
    g = gradients(2)
    total = (g**2).sum(1).cumsum()
    np.testing.assert_allclose(
        played(AdaGradNorm(BALL), g), descent(g, lambda t: 2 / math.sqrt(2 * total[t - 1])), atol=1e-14
    )


@pytest.mark.parametrize("domain", [BALL, Box(-0.4, 0.9, dim=3), Simplex(3)], ids=repr)
def test_ons(domain):
    g = gradients(3)
    D = domain.diameter
    found = played(ONS(domain, G=1.0, alpha=0.5), g)
    gamma = 0.5 * min(1 / (4 * D), 0.5)
    A, x = np.eye(3) / (gamma * D) ** 2, domain.start(3)
    for t in range(T):
        np.testing.assert_allclose(found[t], x, atol=1e-10)
        A = A + np.outer(g[t], g[t])
        x = domain.project_metric(x - np.linalg.solve(A, g[t]) / gamma, A)


def test_ons_refreshes_its_inverse():
    learner = ONS(BALL, gamma=0.5, eps=0.01)
    rng = np.random.default_rng(0)
    for _ in range(1005):
        learner.predict()
        learner.update(rng.normal(size=3) * 0.3)
    np.testing.assert_allclose(learner._inverse[0] @ learner._A[0], np.eye(3), atol=1e-10)


@pytest.mark.parametrize("domain", [BALL, Box(-0.4, 0.9, dim=3)], ids=repr)
@pytest.mark.parametrize("curvature", ["convex", "strongly_convex"])
def test_optimistic_ftrl_plays_the_minimisers_that_define_it(domain, curvature):
    g, D = gradients(4), domain.diameter
    options = {"G": 1.0, "L": 0.5} if curvature == "convex" else {"lam": 0.7}
    found = played(OptimisticFTRL(domain, curvature, **options), g)
    denominator, last = 0.5 * D**2 + D, np.zeros(3)
    for t in range(T):
        eta = D**2 / denominator
        slope = g[:t].sum(0) + last

        def objective(x, slope=slope, eta=eta, t=t):
            if curvature == "convex":
                return slope @ x + x @ x / eta
            return slope @ x + 0.35 * ((x - found[:t]) ** 2).sum()

        if isinstance(domain, Ball):
            limits = {"constraints": [{"type": "ineq", "fun": lambda x: 1 - x @ x}]}
        else:
            limits = {"bounds": [(-0.4, 0.9)] * 3}
        if t or curvature == "convex":
            best = minimize(objective, found[t] * 0.9 + 0.01, method="SLSQP", options={"ftol": 1e-15}, **limits)
            np.testing.assert_allclose(found[t], best.x, atol=1e-5)
            assert objective(found[t]) <= best.fun + 1e-9
        denominator += eta * ((g[t] - last) ** 2).sum()
        last = g[t]


def test_optimistic_ftrl_without_smoothness_takes_the_worst_case():
    learner = OptimisticFTRL(BALL, G=1.5)
    learner.predict()
    np.testing.assert_allclose(learner.eta, 4 / (2 * 2 * 1.5))
    learner = OptimisticFTRL(BALL, nu=5.0)
    learner.predict()
    np.testing.assert_allclose(learner.eta, 4 / 5)


def test_the_last_gradient_counts_twice():
    learner = OptimisticFTRL(Ball(10.0, dim=1), nu=1e9, D=20.0)
    for g in (0.1, 0.2):
        learner.predict()
        learner.update([g])
    np.testing.assert_allclose(learner.predict(), -0.5 * learner.eta * (0.1 + 0.2 + 0.2))


@pytest.mark.parametrize("make", [OGD, AdaGradNorm, OptimisticFTRL])
def test_an_unbounded_domain_needs_a_diameter(make):
    with pytest.raises(OptimandError, match="D must be given: Unconstrained"):
        make(Unconstrained(dim=1), G=1.0).predict()
    assert make(Unconstrained(diameter=1.0, dim=1), G=1.0).predict().tolist() == [0.0]
    assert make(Unconstrained(dim=1), G=1.0, D=2.0).predict().tolist() == [0.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: OGD(BALL, G=0), ValueError, "G must be in"),
        (lambda: OGD(BALL, G="adaptive"), ValueError, "G must be a number"),
        (lambda: OGD(BALL, G=1, step=0), ValueError, "step must be in"),
        (lambda: OGD(BALL).predict(), OptimandError, "G, the bound"),
        (lambda: StronglyConvexOGD(BALL).predict(), OptimandError, "lam must be given"),
        (lambda: StronglyConvexOGD(BALL, lam=-1), ValueError, "lam must be in"),
        (lambda: ONS(Unconstrained(), alpha=1), ValueError, "ONS needs a bounded domain"),
        (lambda: ONS(BALL, G=1).predict(), OptimandError, "alpha must be given"),
        (lambda: ONS(BALL, gamma=0.0), ValueError, "gamma must be in"),
        (lambda: OptimisticFTRL(BALL, "exp_concave"), ValueError, "curvature must be one of"),
        (lambda: OptimisticFTRL(BALL, "strongly_convex").predict(), OptimandError, "lam must be given"),
        (lambda: AdaGradNorm(Simplex(3, entropy=True)).predict(), OptimandError, "Euclidean norm"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
