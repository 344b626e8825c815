"""Sparse regression against scikit-learn, brute force and the numbers of the paper's regime of good features."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.linear_model import orthogonal_mp

from optimand.core.validation import OptimandError
from optimand.online.linear_bandits.design import g_optimal_design, gdesign_search
from optimand.online.linear_bandits.regression import default_queries, fit_sparse, lasso, omp, sparse_regression_search
from optimand.online.linear_bandits.subsets import (
    best_subset,
    chebyshev_fit,
    restricted_eigenvalue,
    subset_bounds,
    supports,
)


def test_pursuit_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, d = int(rng.integers(5, 60)), int(rng.integers(3, 80))
        s = int(rng.integers(1, min(n, d, 6)))
        A, y = rng.standard_normal((n, d)), rng.standard_normal(n)
        np.testing.assert_allclose(omp(A, y, s), orthogonal_mp(A, y, n_nonzero_coefs=s), atol=1e-8)


def test_pursuit_takes_several_targets_at_once():
    rng = np.random.default_rng(1)
    A, Y = rng.standard_normal((30, 50)), rng.standard_normal((30, 7))
    Y[:, 3] = A[:, 5]
    Y[:, 4] = 0.0
    together = omp(A, Y, 4)
    for t in range(7):
        np.testing.assert_allclose(together[:, t], omp(A, Y[:, t], 4), atol=1e-12)
    np.testing.assert_allclose(together[:, 3], np.eye(50)[5], atol=1e-12)
    assert not together[:, 4].any()


def test_pursuit_survives_columns_that_depend_on_each_other():
    rng = np.random.default_rng(2)
    base = rng.standard_normal((20, 3))
    A = np.hstack([base, base, base @ rng.standard_normal((3, 3))])
    y = base @ [1.0, -2.0, 0.5]
    theta = omp(A, y, 6)
    assert np.isfinite(theta).all()
    np.testing.assert_allclose(A @ theta, y, atol=1e-9)
    assert np.abs(theta).max() < 100


def test_lasso_minimises_its_objective():
    rng = np.random.default_rng(3)
    A, y, penalty = rng.standard_normal((25, 6)), rng.standard_normal(25), 0.1
    theta = lasso(A, y, penalty)
    gradient = A.T @ (A @ theta - y) / 25
    on = theta != 0
    np.testing.assert_allclose(gradient[on], -penalty * np.sign(theta[on]), atol=1e-5 * 25)
    assert (np.abs(gradient[~on]) <= penalty + 1e-5).all()
    assert on.any()


def test_best_fit_in_the_sup_norm_is_no_worse_than_any():
    rng = np.random.default_rng(4)
    A, y = rng.standard_normal((40, 4)), rng.standard_normal(40)
    theta, level = chebyshev_fit(A, y)
    assert level == pytest.approx(np.abs(y - A @ theta).max(), abs=1e-9)
    # d + 1 residuals attain the level, as the theory of Chebyshev approximation says.
    assert (np.abs(y - A @ theta) >= level - 1e-7).sum() == 5
    for _ in range(200):
        assert np.abs(y - A @ (theta + 0.1 * rng.standard_normal(4))).max() >= level - 1e-9


def test_widths_free_residuals():
    A, y = np.ones((3, 1)), np.array([0.0, 1.0, 5.0])
    assert chebyshev_fit(A, y, [0.0, 0.0, 10.0])[1] == pytest.approx(0.5)
    assert chebyshev_fit(A, y, 3.0)[1] == 0.0


@pytest.mark.parametrize("s", [1, 2, 3])
def test_best_subset_is_that_of_all_programs(s):
    rng = np.random.default_rng(5)
    for _ in range(4):
        A, y = rng.standard_normal((15, 6)), rng.standard_normal(15)
        levels = {}
        for chosen in itertools.combinations(range(6), s):
            columns = np.hstack([A[:, chosen], np.ones((15, 1))])
            mirrored = np.hstack([-A[:, chosen], np.ones((15, 1))])
            found = linprog(
                np.eye(s + 1)[s], A_ub=-np.vstack([columns, mirrored]), b_ub=-np.concatenate([y, -y]),
                bounds=[(None, None)] * s + [(0, None)],
            )  # fmt: skip
            levels[chosen] = found.fun
        theta, level = best_subset(A, y, s)
        assert level == pytest.approx(min(levels.values()), abs=1e-8)
        assert np.count_nonzero(theta) <= s
        every = np.concatenate(list(supports(6, s)))
        assert [tuple(row) for row in every] == list(levels)
        assert (subset_bounds(A, y, every) <= np.array(list(levels.values())) + 1e-9).all()


def test_restricted_eigenvalue_is_a_lower_bound_and_exact_for_few_supports():
    rng = np.random.default_rng(6)
    A = rng.standard_normal((30, 8))
    exact = min(
        np.linalg.eigvalsh(A[:, chosen].T @ A[:, chosen] / 30)[0] for chosen in itertools.combinations(range(8), 3)
    )
    assert restricted_eigenvalue(A, 3) == pytest.approx(exact, abs=1e-9)
    assert 0 <= restricted_eigenvalue(A, 3, max_subsets=1) <= exact
    wide = rng.choice([-1.0, 1.0], (2000, 12))
    assert 0.5 < restricted_eigenvalue(wide, 3, max_subsets=1) <= restricted_eigenvalue(wide, 3)
    assert restricted_eigenvalue(rng.standard_normal((3, 8)), 5) == 0.0


@pytest.mark.parametrize("estimator", ["omp", "lasso", "subset"])
@pytest.mark.parametrize("rows", ["random", "design"])
def test_search_keeps_its_bound(estimator, rows):
    eps, finite = 0.05, 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        d, s = int(rng.integers(3, 9)), int(rng.integers(1, 3))
        Phi = rng.uniform(-1, 1, (150, d))
        theta = np.zeros(d)
        theta[rng.choice(d, s, replace=False)] = rng.uniform(0.3, 1, s)
        means = Phi @ theta + rng.uniform(-eps, eps, 150)
        found = sparse_regression_search(
            lambda i, m=means: m[i], Phi, s, eps, estimator=estimator, rows=rows, seed=seed, n_queries=60
        )
        assert means.max() - means[found.x] <= found.bound * eps + 1e-12
        finite += np.isfinite(found.bound)
    assert finite == 10


@pytest.mark.parametrize("estimator", ["omp", "lasso"])
@pytest.mark.parametrize(("d", "s", "n"), [(200, 3, 60), (500, 3, 80), (1000, 5, 160)])
def test_good_features_give_the_support_and_two_eps(d, s, n, estimator):
    # The rows of the paper's page in a smaller form: 10 draws of each.
    recovered, losses = 0, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Phi = rng.choice([-1.0, 1.0], (1500, d))
        theta = np.zeros(d)
        support = np.sort(rng.choice(d, s, replace=False))
        theta[support] = rng.uniform(0.3, 1, s) * rng.choice([-1, 1], s)
        means = Phi @ theta + rng.uniform(-0.05, 0.05, 1500)
        found = sparse_regression_search(
            lambda i, m=means: m[i], Phi, s, 0.05, n_queries=n, estimator=estimator, seed=seed
        )
        recovered += np.array_equal(found.support, support)
        losses.append((means.max() - means[found.x]) / 0.05)
        assert found.nfev == n
    assert recovered >= 9
    assert max(losses) <= 2.1


def test_aimed_errors_fool_least_squares_but_not_sparse_regression():
    # The page's instance with 60 features, on 10 parameters.
    d, eps = 60, 0.1
    rng = np.random.default_rng(0)
    Phi = rng.standard_normal((4000, d))
    Phi /= np.linalg.norm(Phi, axis=1, keepdims=True)
    design = g_optimal_design(Phi)
    rows = Phi[design.support]
    inverse = np.linalg.inv((rows.T * design.weights) @ rows)
    dense, sparse = [], []
    for seed in range(10):
        rng = np.random.default_rng(100 + seed)
        theta = np.zeros(d)
        angle = rng.uniform(0, 2 * np.pi)
        theta[rng.choice(d, 2, replace=False)] = 0.9 * np.cos(angle), 0.9 * np.sin(angle)
        linear = Phi @ theta
        a0 = np.abs(linear).argmin()
        errors = eps * np.sign(Phi @ inverse @ Phi[a0])
        errors[a0] = -eps
        means = linear + errors
        found = sparse_regression_search(lambda i, m=means: m[i], Phi, 2, eps, rows=design.support)
        sparse.append((means.max() - means[found.x]) / eps)
        if seed < 4:
            dense.append((means.max() - means[gdesign_search(lambda i, m=means: m[i], Phi, eps).x]) / eps)
    assert np.mean(dense) >= 4.5
    assert np.mean(sparse) <= 1.2


def test_noise_is_averaged_by_repeats():
    rng = np.random.default_rng(7)
    Phi = rng.choice([-1.0, 1.0], (300, 30))
    means = Phi[:, 2] - 0.7 * Phi[:, 11]
    found = sparse_regression_search(
        lambda i: means[i] + 0.3 * rng.standard_normal(len(i)), Phi, 2, 0.1, n_queries=40, noise=0.3
    )
    repeats = np.ceil(2 * 0.09 * np.log(2 * 40 / 0.05) / 0.01)
    assert (found.nfev, found.n_actions) == (40 * repeats, 40)
    assert found.support.tolist() == [2, 11]


def test_defaults_and_fields():
    Phi = np.random.default_rng(8).choice([-1.0, 1.0], (400, 40))
    means = Phi[:, 7].copy()
    found = sparse_regression_search(lambda i: means[i], Phi, 1, 0.1)
    assert found.nfev == default_queries(400, 40, 1) == np.ceil(8 * np.log(80))
    assert (found.n_hypotheses, found.support.tolist(), found.success) == (40, [7], True)
    again = sparse_regression_search(lambda i: means[i], Phi, 1, 0.1)
    assert again.x == found.x
    few = sparse_regression_search(lambda i: means[i], Phi, 1, 0.1, rows="design", n_queries=12)
    assert few.nfev == 12


def test_lasso_without_signal_is_zero():
    assert not fit_sparse(np.random.default_rng(0).standard_normal((20, 4)), np.zeros(20), 2, 0.1, "lasso").any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"s": 0}, r"s must be in \[1, 5\], got 0"),
        ({"s": 6}, r"s must be in \[1, 5\], got 6"),
        ({"eps": 0.0}, "eps must be in"),
        ({"estimator": "ols"}, "estimator must be one of"),
        ({"rows": "all"}, "rows must be one of"),
        ({"rows": [0, 99]}, r"rows must be indices in \[0, 20\)"),
        ({"n_queries": 21}, "n_queries must be in"),
        ({"Phi": np.ones(4)}, "Phi must"),
    ],
)
def test_bad_arguments_are_named(options, said):
    given = {"Phi": np.ones((20, 5)), "s": 1, "eps": 0.1, **options}
    with pytest.raises(ValueError, match=said):
        sparse_regression_search(lambda i: np.zeros(len(i)), **given)


def test_bad_observations_are_named():
    with pytest.raises(ValueError, match="y must hold 2 finite numbers"):
        omp(np.eye(2), [1.0, np.nan], 1)
    with pytest.raises(ValueError, match="A must hold finite numbers"):
        omp(np.ones(3), [1.0], 1)
    with pytest.raises(OptimandError, match="query must return"):
        sparse_regression_search(lambda i: np.zeros(2), np.eye(5), 1, 0.1)


def test_too_many_supports_are_counted_in_the_error():
    with pytest.raises(ValueError, match="s=3 of d=60 columns make 34220 supports, more than max_subsets=1000"):
        best_subset(np.eye(60), np.zeros(60), 3, max_subsets=1000)


def test_models_that_explain_nothing_and_bounds_that_say_nothing_are_no_success():
    rng = np.random.default_rng(0)
    Phi = rng.standard_normal((400, 15)) / np.sqrt(15)
    dense = Phi @ rng.standard_normal(15)
    found = sparse_regression_search(lambda i: dense[i], Phi, 2, 0.01)
    assert not found.success
    assert "does not explain the rewards up to eps = 0.01" in found.message
    assert "of the best one" not in found.message
    sparse = Phi[:, 3] - Phi[:, 5]
    wide = sparse_regression_search(lambda i: sparse[i], Phi, 2, 0.2)
    assert wide.bound * 0.2 > np.ptp(sparse)
    assert not wide.success
    assert "more than the rewards differ by" in wide.message
    narrow = sparse_regression_search(lambda i: sparse[i], Phi, 2, 0.001)
    assert narrow.success
    assert narrow.message.endswith("eps of the best one")
