"""Data hyper-cleaning on the digits: numbers of the reference table, derivatives, and memory."""

import tracemalloc

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.bilevel import DoubleLoop, PairedBatch, SingleLoop, index_sampler
from optimand.numerical.bilevel.cleaning import HyperCleaning, accuracy, area_under_curve, digits_data
from optimand.numerical.bilevel.implicit import implicit_hypergradient

X0, Y0, WEIGHTS = np.full(800, 0.5), np.zeros((10, 65)), Box(0.0, 1.0)


@pytest.fixture(scope="module")
def data():
    return digits_data()


def solve(solver, steps):
    for _ in range(steps):
        solver.step()
    return solver


@pytest.mark.parametrize(
    ("kind", "steps", "options"),
    [
        ("double", 300, {"inner_steps": 20, "alpha": 20, "sigma": 0.1, "gamma": 0.5}),
        ("double", 300, {"inner_steps": 20, "alpha": "auto", "sigma": 0.1, "gamma": "auto"}),
        ("double", 3000, {"inner_steps": 1, "alpha": 5, "sigma": 0.1, "gamma": 0.5}),
        ("double", 3000, {"inner_steps": 1, "alpha": 5, "sigma": 0.5, "gamma": 0.5}),
        ("storm", 6000, {"eta": 0.2, "alpha": 5, "sigma": 0.3, "gamma": 0.5}),
        ("storm", 6000, {"eta": 1.0, "alpha": 5, "sigma": 0.3, "gamma": 0.5}),
    ],
)
def test_the_reference_table(data, kind, steps, options):
    oracle = HyperCleaning(data)
    if kind == "double":
        solver = DoubleLoop(oracle, X0, Y0, WEIGHTS, **options)
    else:
        solver = SingleLoop(oracle, X0, Y0, WEIGHTS, sample=index_sampler(200, 800, 64), rng=0, **options)
    solve(solver, steps)
    assert accuracy(solver.z, data.test_x, data.test_t) >= 0.930
    assert area_under_curve(solver.x, ~data.corrupt) >= (0.94 if options["alpha"] != "auto" else 0.935)
    assert solver.x.min() >= 0
    assert solver.x.max() <= 1


def test_references_without_learned_weights(data):
    oracle = HyperCleaning(data)
    plain = oracle.newton(np.ones(800), Y0, 0.0)
    assert accuracy(plain, data.test_x, data.test_t) == pytest.approx(0.856, abs=0.01)
    weights = (~data.corrupt).astype(float)
    clean = oracle.newton(weights * 800 / weights.sum(), Y0, 0.0)
    assert accuracy(clean, data.test_x, data.test_t) == pytest.approx(0.961, abs=0.01)


def test_hypergradient_error_falls_linearly_with_the_penalty(data):
    oracle = HyperCleaning(data)
    z = oracle.newton(X0, Y0, 0.0)
    hessian, mixed = oracle.second_order(X0, z)
    exact, _ = implicit_hypergradient(*oracle.upper_gradients(X0, z), hessian, mixed, tol=1e-12, maxiter=2000)
    expected = {1.0: 0.6527, 0.1: 0.2162, 0.01: 0.02916, 0.001: 0.00302}
    errors = {}
    for sigma in expected:
        y = oracle.newton(X0, z, sigma)
        errors[sigma] = np.linalg.norm(oracle.upper(X0, y, z, sigma) - exact) / np.linalg.norm(exact)
    for sigma, value in expected.items():
        assert errors[sigma] == pytest.approx(value, rel=0.01)
    sigmas = [1e-3, 1e-2, 1e-1]
    slope = np.polyfit(np.log(sigmas), np.log([errors[s] for s in sigmas]), 1)[0]
    assert 0.85 <= slope <= 1.1


def test_gradients_are_those_of_the_values(data):
    oracle, rng = HyperCleaning(data), np.random.default_rng(0)
    u, y, z = rng.random(800), 0.3 * rng.normal(size=(10, 65)), 0.3 * rng.normal(size=(10, 65))
    sigma, t = 0.3, 1e-5
    h, g = oracle.lower(u, y, z, sigma)
    upper = oracle.upper(u, y, z, sigma)
    v, w = rng.normal(size=(10, 65)), rng.normal(size=800)

    def penalized(u, y, z):
        f_y, g_y, g_z = oracle.values(u, y, z)
        return sigma * f_y + g_y, g_z, f_y + (g_y - g_z) / sigma

    def difference(part, du=0.0, dy=0.0, dz=0.0):
        top, bottom = (penalized(u + s * t * du, y + s * t * dy, z + s * t * dz)[part] for s in (1, -1))
        return (top - bottom) / (2 * t)

    assert np.vdot(h, v) == pytest.approx(difference(0, dy=v), rel=1e-6)
    assert np.vdot(g, v) == pytest.approx(difference(1, dz=v), rel=1e-6)
    assert upper @ w == pytest.approx(difference(2, du=w), rel=1e-6)
    for mine, theirs in zip(oracle.joint(u, y, z, sigma), (h, g, upper), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)
    hessian, mixed = oracle.second_order(u, y)
    step = (oracle.lower_gradient(u, y + t * v) - oracle.lower_gradient(u, y - t * v)) / (2 * t)
    np.testing.assert_allclose(hessian(v), step, atol=1e-8)
    turned = (oracle.lower_gradient(u + t * w, y) - oracle.lower_gradient(u - t * w, y)) / (2 * t)
    assert mixed(v) @ w == pytest.approx(np.vdot(turned, v), rel=1e-6)


def test_batches_are_unbiased_and_counted_by_their_share(data):
    oracle, rng = HyperCleaning(data), np.random.default_rng(1)
    u, y, z = rng.random(800), 0.3 * rng.normal(size=(10, 65)), 0.3 * rng.normal(size=(10, 65))
    parts = [PairedBatch(np.arange(i, 200, 4), np.arange(i, 800, 4)) for i in range(4)]
    means = [np.mean(m, axis=0) for m in zip(*(oracle.joint(u, y, z, 0.2, b) for b in parts), strict=True)]
    assert oracle.counter.total == pytest.approx(5.0)
    for mean, whole in zip(means, oracle.joint(u, y, z, 0.2), strict=True):
        np.testing.assert_allclose(mean, whole, atol=1e-13)
    twice = PairedBatch(np.array([3, 3]), np.array([5, 5]))
    assert np.count_nonzero(oracle.upper(u, y, z, 0.2, twice)) == 1


def test_memory_does_not_depend_on_the_inner_steps(data):
    def peak(steps):
        solver = DoubleLoop(HyperCleaning(data), X0, Y0, WEIGHTS, gamma=0.5, alpha=20, inner_steps=steps)
        solver.step()
        tracemalloc.start()
        solver.step()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1000) == pytest.approx(peak(10), rel=0.05)


def test_area_under_curve_with_ties():
    assert area_under_curve(np.array([1.0, 1.0]), np.array([True, False])) == 0.5
    assert area_under_curve(np.arange(4.0), np.arange(4) > 1) == 1.0
