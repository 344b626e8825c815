"""ChebCB against a plain form of it that keeps every row, and its small least-squares solvers against SciPy's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from optimand.numerical.linear_systems.tuners import ChebCB
from optimand.numerical.linear_systems.tuners.chebcb import square_cb
from optimand.numerical.linear_systems.tuners.regression import in_box, minimum_norm, squared_residual


class FromAllRows:
    """The quantities of a round of ChebCB from all rows so far, in the order of the paper's code."""

    def __init__(self, arms, m, low, high):
        self.arms, self.m, self.width = arms, m, high - low
        self.rows = [[] for _ in range(arms)]
        self.losses, self.predicted = [], []
        self.scale, self.resnorm = 0.0, 0.0
        self.low = low

    def features(self, context):
        position = 2 * (context - self.low) / self.width - 1
        return np.polynomial.chebyshev.chebvander([position], self.m - 1)[0]

    def update(self, arm, context, loss, predicted):
        """Returns scale, bounds, the arms to fit again with X, y and the free solution, and how eta follows."""
        m, b_a = self.m, self.width
        self.rows[arm].append((self.features(context), loss))
        self.losses.append(loss)
        self.predicted.append(predicted)
        K = max(self.losses)
        L = (K - min(self.losses)) / b_a
        N = 2 + 4 * b_a * (L / K) * (1 + math.log(m))
        scale = K * N
        bounds = np.array([1 / N] + [2 * b_a * L / (scale * j) for j in range(1, m)])
        again = range(self.arms) if scale != self.scale else [arm]
        self.scale = scale
        fits = {}
        for i in again:
            if self.rows[i]:
                X = np.array([row for row, _ in self.rows[i]])
                y = np.array([(value - 1) / scale for _, value in self.rows[i]])
                fits[i] = X, y, np.linalg.lstsq(X, y, rcond=math.sqrt(1e-11))[0]
        return scale, bounds, fits

    def eta(self, resnorm):
        t, d, m = len(self.losses), self.arms, self.m
        L = (max(self.losses) - min(self.losses)) / self.width
        alpha = (math.pi + 2 / math.pi * math.log(2 * m + 1)) / (2 * self.scale * (m + 1)) * self.width * L
        R = sum((p - loss / self.scale) ** 2 for p, loss in zip(self.predicted, self.losses, strict=True))
        return 2 * t * math.sqrt(d * t / (R - resnorm + 2 * alpha**2 * t))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sums_of_products_give_what_all_rows_give(seed):
    rng = np.random.default_rng(seed)
    low, high, m = -0.15, 0.65, 6
    tuner = ChebCB(np.linspace(1, 1.95, 7), context_bounds=(low, high), coefficients=m, rng=seed)
    plain = FromAllRows(7, m, low, high)
    free_fits = boxed_fits = 0
    resnorm = 0.0
    for _ in range(250):
        context = rng.uniform(low, high)
        theta = tuner._theta.copy()
        omega = tuner.ask(context)
        arm = tuner.arms.tolist().index(omega)
        predicted = float(theta[arm] @ plain.features(context))
        loss = float(round(20 + 300 * (omega - 1.9 + context) ** 2 + 150 * rng.random() ** 3))
        tuner.tell(loss)
        scale, bounds, fits = plain.update(arm, context, loss, predicted)
        for i, (X, y, free) in fits.items():
            ours = tuner._theta[i]
            singular = np.linalg.svd(X, compute_uv=False)
            ratios = singular / singular[0]
            if ((ratios > 3e-8) & (ratios < 3e-4)).any():
                resnorm = float(tuner._numbers[5])
                continue  # near the threshold below which a direction counts as unseen
            if (np.abs(free) <= bounds).all():
                np.testing.assert_allclose(ours, free, rtol=1e-5, atol=1e-8)
                free_fits += 1
                continue
            if bounds[1] == 0:
                assert (ours[1:] == 0).all()
                continue
            reference = lsq_linear(X, y, (-bounds, bounds), method="bvls", tol=1e-14, max_iter=1000)
            residual = ((X @ ours - y) ** 2).sum()
            assert (np.abs(ours) <= bounds * (1 + 1e-12)).all()
            assert residual == pytest.approx(2 * reference.cost, rel=1e-6, abs=1e-12)
            if ratios[-1] > 1e-3 and len(y) > m:
                np.testing.assert_allclose(ours, reference.x, rtol=1e-4, atol=1e-7)
            resnorm = residual
            boxed_fits += 1
        assert tuner._numbers[3] == pytest.approx(scale)
        assert tuner._numbers[5] == pytest.approx(resnorm, rel=1e-5, abs=1e-9)
        assert tuner.eta == pytest.approx(plain.eta(float(tuner._numbers[5])), rel=1e-8)
    assert free_fits > 20
    assert boxed_fits > 30


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_the_box_problem_against_scipy(seed):
    rng = np.random.default_rng(seed)
    m, rows = int(rng.integers(1, 7)), int(rng.integers(1, 20))
    X, y = rng.standard_normal((rows, m)), 3 * rng.standard_normal(rows)
    bound = 10 ** rng.uniform(-2, 1, m)
    v = in_box(X.T @ X, X.T @ y, bound, rng.standard_normal(m))
    reference = lsq_linear(X, y, (-bound, bound), method="bvls", tol=1e-14, max_iter=1000)
    assert (np.abs(v) <= bound).all()
    assert ((X @ v - y) ** 2).sum() == pytest.approx(2 * reference.cost, rel=1e-9, abs=1e-10)
    if rows >= m + 3:
        np.testing.assert_allclose(v, reference.x, rtol=1e-6, atol=1e-8)
    assert squared_residual(X.T @ X, X.T @ y, y @ y, v) == pytest.approx(((X @ v - y) ** 2).sum(), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_the_free_problem_against_numpy(seed):
    rng = np.random.default_rng(seed)
    m, rows = int(rng.integers(1, 7)), int(rng.integers(1, 12))
    X, y = rng.standard_normal((rows, m)), rng.standard_normal(rows)
    if rng.random() < 0.3:
        X[:, -1] = X[:, 0]
    v = minimum_norm(X.T @ X, X.T @ y)
    ratios = np.linalg.svd(X, compute_uv=False)
    if not ((ratios / ratios[0] > 1e-12) & (ratios / ratios[0] < 1e-4)).any():
        np.testing.assert_allclose(v, np.linalg.lstsq(X, y, rcond=1e-9)[0], rtol=1e-4, atol=1e-6)


def test_a_side_of_width_zero_holds_its_variable_at_zero():
    X = np.random.default_rng(0).standard_normal((10, 3))
    y = X @ np.array([1.0, 2.0, 3.0])
    v = in_box(X.T @ X, X.T @ y, np.array([10.0, 0.0, 10.0]), np.ones(3))
    assert v[1] == 0
    np.testing.assert_allclose(v[[0, 2]], np.linalg.lstsq(X[:, [0, 2]], y, rcond=None)[0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0, 1e8))
def test_the_probabilities_of_square_cb(predicted, eta):
    values, weights = np.array(predicted), np.empty(len(predicted))
    square_cb(values, eta, weights)
    d, best = len(predicted), int(values.argmin())
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    for i in range(d):
        if i != best:
            assert weights[i] == pytest.approx(1 / (d + eta * (values[i] - values[best])), rel=1e-12)
            assert weights[i] <= 1 / d
    assert weights[best] >= 1 / d - 1e-12


def test_the_first_round_is_uniform():
    tuner = ChebCB(context_bounds=(0, 1), rng=0)
    np.testing.assert_allclose(tuner.probabilities(0.3), 1 / 20)


@pytest.mark.parametrize(("cost", "least"), [(7.0, 1.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (1e-5, 0.0)])
def test_equal_costs_teach_nothing_and_break_nothing(cost, least):
    tuner = ChebCB(context_bounds=(0, 1), least_cost=least, rng=0)
    for context in np.random.default_rng(0).random(100):
        tuner.ask(context)
        tuner.tell(cost)
        weights = tuner.probabilities(0.5)
        assert np.isfinite(weights).all()
        assert weights.sum() == pytest.approx(1)
    for context in np.random.default_rng(1).random(1500):
        omega = tuner.ask(context)
        tuner.tell(cost + 10 * abs(omega - 1.5))
    assert tuner.policy(0.5) == pytest.approx(1.5)


def test_a_perfect_fit_leaves_something_to_divide_by():
    # costs that the series predicts exactly make R - resnorm vanish
    tuner = ChebCB([1.0, 1.5], context_bounds=(0, 1), least_cost=0.0, rng=0)
    for context in np.random.default_rng(0).random(300):
        tuner.ask(context)
        tuner.tell(1.0 + context)
    assert np.isfinite(tuner.eta)
    assert np.isfinite(tuner.probabilities(0.2)).all()


def test_the_predicted_cost_is_that_of_the_problem():
    tuner = ChebCB([1.0, 1.5, 1.9], context_bounds=(-1, 3), rng=0)
    for context in np.random.default_rng(0).uniform(-1, 3, 2000):
        omega = tuner.ask(context)
        tuner.tell(50 + 5 * omega * context)
    assert tuner.predicted_cost(2.0) == pytest.approx([60, 65, 69], rel=0.05)


def test_one_context_again_and_again():
    # each Gram matrix has rank 1
    tuner = ChebCB([1.0, 1.5, 1.9], context_bounds=(0, 1), rng=0)
    for _ in range(500):
        omega = tuner.ask(0.3)
        tuner.tell(30 if omega == 1.5 else 60)
    assert tuner.policy(0.3) == 1.5


def test_huge_costs_do_not_overflow():
    tuner = ChebCB([1.0, 1.5], context_bounds=(0, 1), rng=0)
    for context in np.random.default_rng(0).random(50):
        tuner.ask(context)
        tuner.tell(1e9 * (1 + context))
    assert np.isfinite(tuner.probabilities(0.1)).all()
