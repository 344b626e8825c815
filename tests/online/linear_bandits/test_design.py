"""G-optimal designs against their theory, and the linear baseline against its bound."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from optimand.core.validation import OptimandError
from optimand.online.linear_bandits.design import amplification, g_optimal_design, gdesign_search, least_squares


def directions(N, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((N, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def forms(Phi, design):
    rows = Phi[design.support]
    return np.einsum("ij,jk,ik->i", Phi, np.linalg.pinv((rows.T * design.weights) @ rows, hermitian=True), Phi)


@pytest.mark.parametrize(("N", "d"), [(4000, 60), (3000, 20), (300, 5), (40, 2), (25, 1)])
def test_value_is_near_the_dimension_on_few_actions(N, d):
    Phi = directions(N, d)
    design = g_optimal_design(Phi)
    assert design.success
    assert design.value <= 1.1 * d * 1.001
    assert design.value == pytest.approx(forms(Phi, design).max(), rel=1e-9)
    assert abs(design.weights.sum() - 1) < 1e-12
    assert (design.weights > 0).all()
    assert len(design.support) <= d * (d + 1) // 2
    assert (np.diff(design.support) > 0).all()


@pytest.mark.parametrize("d", [1, 3, 17])
def test_standard_basis_gives_the_uniform_design(d):
    design = g_optimal_design(np.eye(d), tol=1e-9)
    np.testing.assert_allclose(design.dense(d), 1 / d, atol=1e-12)
    assert design.value == pytest.approx(d, abs=1e-9)


def test_small_tolerance_reaches_the_equivalence_theorem():
    # At the optimum g is at most d, with equality on the support (Kiefer and Wolfowitz).
    Phi = directions(200, 4)
    design = g_optimal_design(Phi, tol=1e-6, max_iter=200_000)
    g = forms(Phi, design)
    assert design.success
    assert g.max() <= 4 * (1 + 1.1e-6)
    np.testing.assert_allclose(g[design.support[design.weights > 1e-3]], 4, atol=1e-2)


def test_known_optimum_on_an_interval():
    # The D-optimal design for a quadratic on [-1, 1] is uniform on -1, 0, 1.
    x = np.linspace(-1, 1, 201)
    design = g_optimal_design(np.stack([np.ones_like(x), x, x**2], axis=1), tol=1e-7, max_iter=100_000)
    np.testing.assert_allclose(design.dense(201)[[0, 100, 200]], 1 / 3, atol=1e-3)


def test_features_that_do_not_span_are_handled_in_their_span():
    rng = np.random.default_rng(1)
    Phi = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 8))
    design = g_optimal_design(Phi, tol=0.01)
    assert (design.rank, design.success) == (3, True)
    assert design.value <= 3.03 * 1.001
    assert forms(Phi, design).max() == pytest.approx(design.value, rel=1e-6)


def test_badly_scaled_columns_do_no_harm():
    Phi = directions(200, 4)
    design = g_optimal_design(Phi * [1e-6, 1.0, 1e5, 3.0])
    assert (design.rank, design.success) == (4, True)
    # The value does not depend on the scale, so it is that for the columns as they were; 11 of 16 digits are lost.
    assert forms(Phi, design).max() == pytest.approx(design.value, rel=1e-4)


def test_zero_rows_and_repeated_rows_do_no_harm():
    Phi = np.vstack([np.zeros((2, 3)), np.repeat(np.eye(3), 4, axis=0)])
    design = g_optimal_design(Phi)
    assert design.value == pytest.approx(3)
    assert design.support.min() >= 2


def test_support_can_be_limited_to_the_rank():
    Phi = directions(500, 6)
    tight = g_optimal_design(Phi, tol=1e-4, max_support=6)
    assert len(tight.support) == 6
    assert tight.value >= g_optimal_design(Phi).value
    with pytest.raises(ValueError, match="max_support must be at least 6, got 5"):
        g_optimal_design(Phi, max_support=5)


def test_iterations_are_capped():
    design = g_optimal_design(directions(500, 10), tol=1e-6, max_iter=3)
    assert (design.iterations, design.success) == (3, False)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.ones(3), "shape"),
        (np.ones((0, 3)), "shape"),
        ([[1.0, np.nan]], "finite"),
        (np.zeros((3, 2)), "not zero"),
    ],
)
def test_bad_features_are_named(bad, said):
    with pytest.raises(ValueError, match=f"Phi.*{said}"):
        g_optimal_design(bad)


def test_bad_tolerance_is_named():
    with pytest.raises(ValueError, match="tol must be in"):
        g_optimal_design(np.eye(2), tol=0.0)


def test_amplification_is_the_worst_error_of_least_squares():
    rng = np.random.default_rng(3)
    Phi = rng.standard_normal((30, 3))
    rows, weights = Phi[:8], rng.uniform(0.1, 1, 8)
    found = amplification(Phi, rows, weights)
    for a in range(5):
        signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
        worst = max(abs(Phi[a] @ least_squares(rows, weights, e)) for e in signs)
        assert found[a] == pytest.approx(worst)
    design = g_optimal_design(Phi)
    assert (amplification(Phi, Phi[design.support], design.weights) <= np.sqrt(forms(Phi, design)) + 1e-9).all()


def test_amplification_is_infinite_outside_the_span():
    found = amplification(np.eye(2), np.array([[1.0, 0.0]]), np.ones(1))
    assert found[0] == pytest.approx(1)
    assert found[1] == np.inf


@pytest.mark.parametrize("kind", ["uniform", "sign", "aimed"])
def test_search_keeps_its_bound(kind):
    eps = 0.1
    for seed in range(15):
        rng = np.random.default_rng(seed)
        d = int(rng.integers(1, 12))
        Phi = directions(int(rng.integers(d, 200)), d, seed)
        linear = Phi @ rng.standard_normal(d)
        errors = {
            "uniform": rng.uniform(-eps, eps, len(Phi)),
            "sign": -eps * np.sign(linear),
            "aimed": eps * np.sign(Phi @ Phi[np.abs(linear).argmin()]),
        }[kind]
        means = linear + errors
        asked = []
        found = gdesign_search(lambda i, m=means, seen=asked: (seen.extend(i), m[i])[1], Phi, eps)
        assert means.max() - means[found.x] <= found.bound * eps + 1e-9
        assert found.nfev == len(asked) == len(set(asked))
        assert found.bound <= 2 * (1 + np.sqrt(2 * d))


def test_exact_linear_rewards_are_solved_exactly():
    Phi = directions(100, 5)
    means = Phi @ np.arange(5.0)
    found = gdesign_search(lambda i: means[i], Phi, 1e-6)
    assert found.x == means.argmax()
    assert found.fun == pytest.approx(means.max())


def test_noise_is_averaged_below_the_bound():
    eps, sigma, kept = 0.2, 0.5, 0
    Phi = directions(60, 3)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        means = Phi @ rng.standard_normal(3) + rng.uniform(-eps, eps, 60)
        found = gdesign_search(
            lambda i, m=means, r=rng: m[i] + sigma * r.standard_normal(len(i)), Phi, eps, noise=sigma
        )
        kept += means.max() - means[found.x] <= found.bound * eps
    assert kept >= 28
    assert found.nfev > 100


def test_a_noisy_design_asks_as_often_as_the_tail_bound_says():
    """``2 sigma² g ln(2 N/delta) / eps²`` queries in all, shared out by the design, here evenly with ``g = d``."""
    d, sigma, eps, delta = 4, 0.3, 0.1, 0.05
    n = math.ceil(2 * sigma**2 * d * math.log(2 * d / delta) / eps**2)
    found = gdesign_search(lambda i: np.zeros(len(i)), np.eye(d), eps, noise=sigma, delta=delta)
    assert found.nfev == d * math.ceil(n / d)
    # so often that noise moves no prediction by more than eps
    assert 2 * (1 + 1.97) < found.bound <= 2 * (1 + 2)


def test_a_design_can_be_given():
    Phi = directions(80, 4)
    means = Phi @ np.ones(4)
    design = g_optimal_design(Phi)
    for options in ({}, {"noise": 0.1}):
        own = gdesign_search(lambda i: means[i], Phi, 0.1, **options)
        given = gdesign_search(lambda i: means[i], Phi, 0.1, design=design, **options)
        assert (own.x, own.nfev, own.bound) == (given.x, given.nfev, given.bound)
    with pytest.raises(ValueError, match="design must be for the rows of Phi"):
        gdesign_search(lambda i: means[i], Phi[:3], 0.1, design=design)
    with pytest.raises(TypeError, match="design must be a Design"):
        gdesign_search(lambda i: means[i], Phi, 0.1, design=np.ones(80) / 80)


def test_budget_limits_the_queries():
    Phi = directions(500, 6)
    means = Phi @ np.ones(6)
    assert gdesign_search(lambda i: means[i], Phi, 0.1, n_queries=6).nfev == 6
    noisy = gdesign_search(lambda i: means[i], Phi, 0.01, n_queries=500, noise=1.0)
    assert 500 - noisy.n_actions <= noisy.nfev <= 500
    with pytest.raises(ValueError, match="n_queries must be at least 6"):
        gdesign_search(lambda i: means[i], Phi, 0.1, n_queries=5)


def test_large_repeats_are_asked_in_pieces():
    sizes = []
    gdesign_search(
        lambda i: (sizes.append(len(i)), np.zeros(len(i)))[1], np.eye(3), 0.1, noise=1.0, n_queries=2_500_000
    )
    assert sum(sizes) == 2_499_999
    assert max(sizes) <= 1_000_000


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (lambda i: np.zeros(1), "query must return 3 rewards"),
        (lambda i: np.full(len(i), np.inf), "query must return finite rewards"),
        (lambda i: ["a"] * len(i), "query must take"),
    ],
)
def test_bad_answers_are_named(query, said):
    with pytest.raises(OptimandError, match=said):
        gdesign_search(query, np.eye(3), 0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"eps": 0.0}, "eps"), ({"eps": -1.0}, "eps"), ({"noise": -1.0}, "noise"), ({"delta": 0.0}, "delta")],
)
def test_bad_levels_are_named(options, said):
    with pytest.raises(ValueError, match=f"{said} must be in"):
        gdesign_search(lambda i: np.zeros(len(i)), np.eye(3), **{"eps": 0.1, **options})


def test_a_step_goes_to_the_best_point_of_its_line():
    from optimand.online.linear_bandits.frank_wolfe import frank_wolfe

    C = np.random.default_rng(0).normal(size=(30, 4))
    before = np.where(np.arange(30) < 8, 1 / 8, 0.0)

    def spread(weights):
        return C.T @ (weights[:, None] * C)

    W = np.linalg.inv(spread(before))
    after, g = before.copy(), np.einsum("ij,jk,ik->i", C, W, C)
    chosen = int(g.argmax())
    assert g[chosen] / 4 - 1 > 1 - g[:8].min() / 4  # the step goes towards an action, not away from one
    frank_wolfe(C, after, g, W, 0.0, 1, 30, 100)
    step = (after[chosen] - before[chosen]) / (1 - before[chosen])
    towards = np.eye(30)[chosen]
    assert after == pytest.approx((1 - step) * before + step * towards)
    best = minimize_scalar(
        lambda s: -np.linalg.slogdet(spread((1 - s) * before + s * towards))[1], bounds=(0, 0.99), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert step == pytest.approx(best.x, abs=1e-6)
    assert pytest.approx(np.linalg.inv(spread(after))) == W
    assert g == pytest.approx(np.einsum("ij,jk,ik->i", C, W, C))
