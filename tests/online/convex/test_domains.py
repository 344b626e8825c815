"""Convex sets: projections in both norms against scipy and optimality conditions, diameters, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from optimand.online.convex import Ball, Box, Simplex, Unconstrained
from optimand.online.convex.metric import ball_by_eigenvalues, nearest_in_ball

SETS = [Ball(1.0), Ball(0.7, [0.5, -1.0, 2.0]), Box(-0.5, 0.7), Box([0.0, -2.0, -np.inf], [0.0, 1.0, 0.2]), Simplex()]


def matrices(rng: np.random.Generator, count: int, d: int, floor: float = 0.1) -> np.ndarray:
    A = rng.normal(size=(count, d, d))
    return A @ A.transpose(0, 2, 1) + floor * np.eye(d)


def by_slsqp(domain, x, H):
    d = len(x)
    bounds, constraints = None, []
    if isinstance(domain, Ball):
        constraints = [{"type": "ineq", "fun": lambda z: domain.radius**2 - ((z - domain.center) ** 2).sum()}]
    elif isinstance(domain, Box):
        bounds = list(zip(np.broadcast_to(domain.lo, d), np.broadcast_to(domain.hi, d), strict=True))
    else:
        bounds, constraints = [(0, None)] * d, [{"type": "eq", "fun": lambda z: z.sum() - 1}]
    return minimize(
        lambda z: (z - x) @ H @ (z - x), domain.project(x), jac=lambda z: 2 * H @ (z - x), bounds=bounds,
        constraints=constraints, method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
    ).x  # fmt: skip


@pytest.mark.parametrize("domain", SETS, ids=repr)
def test_projections_in_the_norm_of_a_matrix_are_those_of_slsqp(domain):
    rng = np.random.default_rng(1)
    x, H = 2 * rng.normal(size=(12, 3)), matrices(rng, 12, 3)
    found = domain.project_metric(x, H)
    assert domain.contains(found, 1e-12)
    for r in range(12):
        np.testing.assert_allclose(found[r], by_slsqp(domain, x[r], H[r]), atol=2e-6)


@pytest.mark.parametrize("domain", SETS, ids=repr)
def test_the_identity_as_matrix_gives_the_euclidean_projection(domain):
    x = 3 * np.random.default_rng(2).normal(size=(50, 3))
    np.testing.assert_allclose(domain.project_metric(x, np.eye(3)), domain.project(x), atol=1e-12)
    np.testing.assert_allclose(domain.project_metric(x, 1e-9 * np.eye(3)), domain.project(x), atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 7, 40])
@pytest.mark.parametrize("floor", [1e-4, 1.0])
def test_projections_in_the_norm_of_a_matrix_meet_the_optimality_conditions(d, floor):
    rng = np.random.default_rng(d)
    x, H = 3 * rng.normal(size=(60, d)), matrices(rng, 60, d, floor)

    def slope(domain):
        z = domain.project_metric(x, H)
        g = np.einsum("rij,rj->ri", H, z - x)
        return z, g, 1e-9 * (1 + np.abs(g).max(1, keepdims=True))

    z, g, tol = slope(Box(-0.5, 0.7))
    assert ((np.abs(g) <= tol) | ((z == -0.5) & (g > 0)) | ((z == 0.7) & (g < 0))).all()
    z, g, tol = slope(Simplex())
    least = g.min(1, keepdims=True)
    assert ((g - least <= tol) | (z == 0)).all()
    z, g, tol = slope(Ball(1.0))
    outside = np.linalg.norm(x, axis=1) > 1
    along = (g * z).sum(1, keepdims=True) * z
    assert (np.abs(g - along) <= tol)[outside].all()
    assert ((g * z).sum(1) <= 0)[outside].all()
    np.testing.assert_array_equal(z[~outside], x[~outside])


@pytest.mark.parametrize(("d", "spread"), [(1, 1.0), (4, 1e3), (10, 1e8), (10, 1e12), (10, 1e30)])
def test_cholesky_factors_and_eigenvalues_give_the_same_points(d, spread):
    rng = np.random.default_rng(5)
    Q = np.linalg.qr(rng.normal(size=(30, d, d)))[0]
    H = np.einsum("rij,j,rkj->rik", Q, np.geomspace(1.0, 1 / spread, d), Q) * 1e3
    H = 0.5 * (H + H.transpose(0, 2, 1)) + 1e-13 * np.eye(d)
    x = rng.normal(size=(30, d))
    x *= rng.uniform(1.01, 50, size=(30, 1)) / np.linalg.norm(x, axis=1, keepdims=True)
    found, plain = nearest_in_ball(x, H, 1.0), ball_by_eigenvalues(x, H, 1.0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-12)
    excess = [np.einsum("ri,rij,rj->r", z - x, H, z - x) for z in (found, plain)]
    np.testing.assert_allclose(*excess, rtol=1e-8)


def test_points_whose_squares_overflow_have_a_nearest_one_too():
    H = np.diag([4.0, 1.0])
    for far in (1e150, 1e200, 1e300):
        np.testing.assert_allclose(Ball(2.0).project_metric([far, far], H), 2 * np.array([4, 1]) / 17**0.5, rtol=1e-12)


def test_a_ball_leaves_inner_points_bit_for_bit_and_survives_huge_ones():
    x = np.array([[0.1, 0.2], [0.0, 0.0], [3e200, 4e200], [3.0, 4.0]])
    found = Ball(1.0).project(x)
    np.testing.assert_array_equal(found[:2], x[:2])
    np.testing.assert_allclose(found[2:], [[0.6, 0.8], [0.6, 0.8]], rtol=1e-15)
    assert found is not x


def test_projecting_gives_another_array_even_where_nothing_moves():
    x = np.zeros((2, 3))
    for domain in (*SETS[:1], Unconstrained()):
        assert not np.shares_memory(domain.project(x), x)


def test_diameters_are_those_of_the_sets():
    assert Ball(2.0).diameter == 4
    assert Box([0.0, 0.0], [3.0, 4.0]).diameter == 5
    assert Box(0.0, 1.0).diameter == math.inf  # not known without a dimension
    assert Box(0.0, 1.0).diameter_in(9) == 3
    assert Simplex().diameter == math.sqrt(2)
    assert Simplex(4, entropy=True).diameter == math.sqrt(2 * math.log(4))
    assert Unconstrained().diameter == math.inf
    assert Unconstrained(diameter=3.0).diameter == 3
    assert not Unconstrained(diameter=3.0).bounded
    assert not Box(0.0, np.inf, dim=2).bounded


def test_the_start_is_the_point_nearest_to_zero_and_the_center_of_a_simplex():
    assert Ball(1.0, [3.0, 4.0]).start(2).round(12).tolist() == [2.4, 3.2]
    assert Box(1.0, 2.0).start(2).tolist() == [1, 1]
    assert Simplex().start(4).tolist() == [0.25] * 4


def test_softmin_works_on_logarithms():
    np.testing.assert_allclose(Simplex(entropy=True).softmin(np.array([[1e5, 1e5 + 1, 2e5]])).sum(), 1)
    np.testing.assert_allclose(Simplex().softmin(np.array([0.0, math.log(3)])), [0.75, 0.25])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ball(0.0), r"radius must be in \(0, inf\)"),
        (lambda: Ball(math.inf), "radius must be in"),
        (lambda: Ball(1.0, [math.nan]), "center must be finite"),
        (lambda: Ball(1.0, [0.0, 0.0], dim=3), "dim must be 2"),
        (lambda: Box(1.0, 0.0), "lo must not exceed hi, got lo=1.0, hi=0.0"),
        (lambda: Box(math.nan, 0.0), "lo must not be NaN"),
        (lambda: Box([0, 0], [1, 1, 1]), "lo and hi must have the same length, got 2 and 3"),
        (lambda: Box(np.zeros((2, 2)), 1.0), r"lo must be a number or a vector, got shape \(2, 2\)"),
        (lambda: Simplex(0), "dim must be at least 1"),
        (lambda: Unconstrained(diameter=-1.0), "diameter must be in"),
        (lambda: Ball(1.0, dim=2).project([1.0, 2.0, 3.0]), "points must have 2 entries"),
        (lambda: Ball(1.0).project(3.0), "points must have shape"),
        (lambda: Ball(1.0).project_metric([1.0, 2.0], np.eye(3)), r"H must have shape \(\.\.\., 2, 2\)"),
    ],
)
def test_bad_sets_and_points_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bounds_that_are_no_numbers_are_named():
    with pytest.raises(TypeError, match=r"hi must be numbers of shape \(\) or \(d,\), got 'wide'"):
        Box(0.0, "wide")
