"""Estimators, limits, counters and measures that the numerical solvers share."""

import numpy as np
import pytest
import torch

from optimand.core.compiled import compiled
from optimand.core.recorder import log_positions
from optimand.numerical.estimators import Page, storm
from optimand.numerical.limits import Limits, Status, message
from optimand.numerical.stationarity import (
    kkt_residual,
    least_squares_multipliers,
    natural_residual,
)


class Sum:
    """F_i(u) = (i + 1) u + i², counting what is evaluated."""

    def __init__(self, n):
        self.n, self.calls = n, 0

    def full(self, u):
        self.calls += self.n
        return self.batch_of(u, np.arange(self.n))

    def batch(self, u, idx):
        self.calls += len(idx)
        return self.batch_of(u, idx)

    def batch_of(self, u, idx):
        return (idx + 1).mean() * u + (idx**2).mean()


def test_page_follows_its_expected_recursion():
    op, draws = Sum(9), []
    u, v = np.array([1.0, -2.0]), np.array([1.5, 0.5])
    for seed in range(4000):
        page = Page(9, rng=seed)
        page.step(op, u)
        page.estimate = np.array([7.0, 7.0])  # any past: corrections are unbiased given it
        draws.append(page.step(op, v))
    p = 4 / 6
    expected = p * op.full(v) + (1 - p) * (7.0 + op.full(v) - op.full(u))
    error = np.std(draws, axis=0) / len(draws) ** 0.5
    assert (np.abs(np.mean(draws, axis=0) - expected) <= 3 * error).all()


def test_page_with_whole_batches_is_exact():
    class Whole:
        def random(self):
            return 1.0  # never afresh

        def integers(self, n, size):
            return np.arange(n)

    op, page = Sum(6), Page(6, batch=6)
    page.rng = Whole()
    for k in range(5):
        u = np.array([k * 0.7])
        np.testing.assert_allclose(page.step(op, u), op.full(u), atol=1e-12)


def test_costs_are_what_is_expected():
    totals = []
    for seed in range(200):
        op, page = Sum(64), Page(64, rng=seed)
        for k in range(30):
            page.step(op, np.array([float(k)]))
        totals.append(op.calls)
    chances = [4 / (min(k, 8) + 5) for k in range(1, 30)]
    assert np.mean(totals) == pytest.approx(64 + sum(64 * p + 16 * (1 - p) for p in chances), rel=0.02)


def test_page_resumes_exactly():
    points = np.random.default_rng(0).normal(size=(12, 3))
    op, whole, first, second = Sum(20), *(Page(20, rng=3) for _ in range(3))
    expected = [whole.step(op, u) for u in points]
    for u in points[:5]:
        first.step(op, u)
    second.load_state_dict(first.state_dict())
    for u, value in zip(points[5:], expected[5:], strict=True):
        np.testing.assert_array_equal(second.step(op, u), value)


def test_storm_forgets_at_its_rate():
    assert storm(10.0, 3.0, 2.0, eta=1.0) == 3.0
    assert storm(10.0, 3.0, 2.0, eta=0.0) == 11.0
    assert torch.equal(storm(torch.ones(2), torch.zeros(2), torch.ones(2), 0.0), torch.zeros(2))


def test_bad_estimators():
    with pytest.raises(ValueError, match="batch"):
        Page(4, batch=0)
    with pytest.raises(ValueError, match="n must be"):
        Page(0)


def test_limits():
    assert Limits().reached(10**9, 1e300) is None
    assert Limits(maxiter=3).reached(3) is Status.ITERATIONS
    assert Limits(max_calls=5).reached(0, 5) is Status.ORACLE_CALLS
    assert Limits(max_seconds=0).reached(0) is Status.TIME
    with pytest.raises(ValueError, match="maxiter"):
        Limits(maxiter=-1)
    with pytest.raises(TypeError, match="max_seconds"):
        Limits(max_seconds="soon")
    for status in Status:
        assert message(status, "here").endswith("(here)")


def test_measures_of_stationarity():
    x, g = np.array([0.2, 0.0]), np.array([-1.0, 2.0])
    box = lambda v: np.clip(v, 0, 1)  # noqa: E731
    assert natural_residual(x, g, box, 0.5) == pytest.approx(1.0)
    assert natural_residual(x, g, box) == pytest.approx(0.8)
    assert natural_residual(torch.from_numpy(x), torch.from_numpy(g), lambda v: v.clamp(0, 1)) == pytest.approx(0.8)
    assert kkt_residual(np.array([3.0, 0.0]), np.array([4.0])) == 5.0
    rng = np.random.default_rng(0)
    jac, grad = rng.normal(size=(3, 5)), rng.normal(size=5)
    expected = np.linalg.lstsq(jac.T, -grad, rcond=None)[0]
    np.testing.assert_allclose(least_squares_multipliers(grad, jac), expected)
    from scipy.sparse import csr_array

    np.testing.assert_allclose(least_squares_multipliers(grad, csr_array(jac)), expected, atol=1e-10)


def test_compiled_functions_take_options():
    @compiled(fastmath=True)
    def twice(x):
        return 2 * x

    assert twice(1.5) == 3.0
    assert twice.py_func(2) == 4


def test_positions_end_at_the_budget():
    assert log_positions(1, 40) == [1]
    assert log_positions(7, 40) == [1, 2, 3, 4, 5, 6, 7]
    assert log_positions(1000, 40)[-1] == 1000
    assert len(log_positions(1000, 40)) <= 41
