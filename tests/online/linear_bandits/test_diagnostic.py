"""The diagnostic against brute force in the plane, and against the truth where it is known."""

import itertools
import math

import numpy as np
import pytest

from optimand.online.linear_bandits.consistent import Polytope, consistent_supports, held_out_residuals, largest_gap
from optimand.online.linear_bandits.design import g_optimal_design
from optimand.online.linear_bandits.diagnostic import trust_linear_model
from optimand.online.linear_bandits.generators import aimed_errors, gaussian_actions, rademacher_actions, random_theta


def corners(A, low, high):
    """All corners of ``{theta: low <= A theta <= high}`` in the plane."""
    lines = [(a, end) for a, *ends in zip(A, low, high, strict=True) for end in ends]
    found = []
    for (a, b), (c, e) in itertools.combinations(lines, 2):
        matrix = np.array([a, c])
        if abs(np.linalg.det(matrix)) > 1e-9:
            theta = np.linalg.solve(matrix, [b, e])
            if (A @ theta >= low - 1e-9).all() and (A @ theta <= high + 1e-9).all():
                found.append(theta)
    return np.array(found)


def bandit(seed, N=30, d=3, eps=0.1, s=None):
    rng = np.random.default_rng(seed)
    Phi = rng.uniform(-1, 1, (N, d))
    theta = rng.standard_normal(d) if s is None else random_theta(d, s, rng)
    kind = seed % 3
    linear = Phi @ theta
    errors = (rng.uniform(-eps, eps, N), -eps * np.sign(linear), eps * rng.choice([-1, 1], N))[kind]
    return Phi, linear + errors, rng


def test_interval_and_worst_case_are_those_of_all_corners():
    compared = 0
    for seed in range(40):
        Phi, means, rng = bandit(seed, N=7, d=2, eps=0.15)
        asked = np.sort(rng.choice(7, 4, replace=False))
        A, y, eps = Phi[asked], means[asked], 0.15
        report = trust_linear_model(Phi, asked, y, eps=eps)
        thetas = corners(A, y - eps, y + eps)
        if not len(thetas):
            continue
        seen = dict(zip(asked.tolist(), y.tolist(), strict=True))
        low = np.array([[seen.get(a, Phi[a] @ t - eps) for a in range(7)] for t in thetas])
        high = np.array([[seen.get(a, Phi[a] @ t + eps) for a in range(7)] for t in thetas])
        a = report.action
        assert report.interval == pytest.approx((low[:, a].min(), high[:, a].max()), abs=1e-5)
        gaps = high - low[:, [a]]
        gaps[:, a] = 0.0
        assert report.worst == pytest.approx(max(gaps.max(), 0.0), abs=1e-5)
        assert report.worst_bound == pytest.approx(report.worst, abs=1e-5)
        if report.worst > 1e-4:
            assert gaps[:, report.rival].max() == pytest.approx(report.worst, abs=1e-5)
        compared += 1
    assert compared >= 30


@pytest.mark.parametrize("s", [None, 2])
def test_truth_is_inside_where_eps_is_known(s):
    for seed in range(24):
        Phi, means, rng = bandit(seed, N=40, d=4, s=s)
        asked = rng.choice(40, 15, replace=False)
        report = trust_linear_model(Phi, asked, means[asked], s=s, eps=0.1)
        assert report.verdict != "refuted"
        assert report.eps_low <= 0.1 + 1e-6
        assert report.interval[0] - 1e-6 <= means[report.action] <= report.interval[1] + 1e-6
        assert means.max() - means[report.action] <= report.worst_bound + 1e-6
        assert report.worst <= report.worst_bound


def test_noise_widens_what_is_said():
    kept, exact = 0, 0
    for seed in range(40):
        Phi, means, rng = bandit(seed, N=25, d=3)
        asked = np.repeat(rng.choice(25, 10, replace=False), 20)
        rewards = means[asked] + 0.3 * rng.standard_normal(len(asked))
        report = trust_linear_model(Phi, asked, rewards, eps=0.1, noise=0.3)
        inside = report.interval[0] <= means[report.action] <= report.interval[1]
        kept += inside and means.max() - means[report.action] <= report.worst_bound and report.eps_low <= 0.1
        exact += report.interval[1] - report.interval[0] > 0.1
    assert kept >= 38
    assert exact == 40


def test_repeats_are_averaged():
    Phi = np.eye(2)
    report = trust_linear_model(Phi, [0, 0, 1, 1], [0.0, 2.0, 0.5, 0.5], eps=0.1)
    assert (report.action, report.prediction) == (0, pytest.approx(1.0))
    assert report.interval == pytest.approx((1.0, 1.0), abs=1e-6)


def test_aimed_errors_are_warned_of_and_sparse_models_are_not():
    # The instance of the page in a smaller form: 30 features, and a signal that is weaker by as much.
    d, eps = 30, 0.1
    Phi = gaussian_actions(1500, d, 0)
    asked = g_optimal_design(Phi).support
    error = aimed_errors(Phi, eps)
    losses = []
    for seed in range(4):
        theta = 0.6 * random_theta(d, 2, seed)
        means = Phi @ theta + error(Phi, theta)
        dense = trust_linear_model(Phi, asked, means[asked], max_programs=10)
        assert dense.verdict == "distrust"
        losses.append(means.max() - means[dense.action])
        assert losses[-1] <= dense.worst_bound + 1e-6
        assert dense.largest_amplification > 4
        assert "Do not trust" in str(dense)
        sparse = trust_linear_model(Phi, asked, means[asked], s=2, max_programs=300)
        assert sparse.verdict == "trust"
        assert means.max() - means[sparse.action] <= sparse.worst_bound + 1e-6
    assert max(losses) > 3 * eps


def test_good_features_are_trusted():
    for seed, (d, s, n) in enumerate([(100, 2, 60), (200, 3, 60)]):
        rng = np.random.default_rng(seed)
        Phi = rademacher_actions(800, d, rng)
        theta = random_theta(d, s, rng, magnitudes=(0.3, 1.0))
        means = Phi @ theta + rng.uniform(-0.05, 0.05, 800)
        asked = rng.choice(800, n, replace=False)
        report = trust_linear_model(Phi, asked, means[asked], s=s, max_subsets=20_000)
        assert report.verdict == "trust"
        assert report.exhaustive == (math.comb(d, s) <= 20_000)
        assert means.max() - means[report.action] <= report.worst_bound + 1e-6
        assert "at most" in str(report)


def test_dense_models_on_good_designs_are_trusted():
    rng = np.random.default_rng(5)
    Phi = gaussian_actions(400, 3, rng)
    means = Phi @ [1.0, -0.5, 0.2] + rng.uniform(-0.05, 0.05, 400)
    asked = rng.choice(400, 100, replace=False)
    report = trust_linear_model(Phi, asked, means[asked])
    assert report.verdict == "trust"
    assert 0.04 < report.eps_low <= 0.05 <= report.eps_held_out < 0.07


def test_too_few_rewards_are_not_trusted():
    Phi = gaussian_actions(50, 6, 0)
    report = trust_linear_model(Phi, [0, 1, 2], [0.1, 0.2, 0.3])
    assert report.verdict == "undecided"
    assert math.isnan(report.eps_held_out)
    assert report.worst == report.interval[1] == math.inf
    assert str(report).startswith("Undecided: too few rewards to estimate the errors from")
    assert "too few rewards" in str(report)
    assert "arbitrarily far" in str(report)
    # As many rewards as coefficients fit exactly, whatever the errors are.
    assert trust_linear_model(np.eye(2), [0, 1], [0.0, 1.0]).verdict == "undecided"


def test_errors_are_estimated_from_enough_rewards_only():
    # One or two rewards more than coefficients often look as if there were no errors.
    Phi, means, rng = bandit(0, N=60, d=3)
    asked = rng.choice(60, 6, replace=False)
    for count, known in ((4, False), (5, False), (6, True)):
        report = trust_linear_model(Phi, asked[:count], means[asked[:count]])
        assert math.isnan(report.eps_held_out) != known
        assert known or report.verdict != "trust"


def test_models_that_explain_nothing_are_not_trusted():
    # Errors are as large as the rewards themselves: a bound of a few of them is within the tolerance and says nothing.
    for seed in range(8):
        rng = np.random.default_rng(seed)
        Phi = gaussian_actions(150, 4, rng)
        means = rng.uniform(-1, 1, 150)
        asked = rng.choice(150, 30, replace=False)
        for s in (None, 2):
            report = trust_linear_model(Phi, asked, means[asked], s=s)
            assert report.verdict in ("uninformative", "distrust", "undecided")
    little = trust_linear_model(np.ones((3, 1)), [0, 1], [1.0, 0.9], eps=5.0)
    assert little.verdict == "uninformative"
    assert "explains too little" in str(little)


def test_too_small_a_sparsity_is_uninformative_where_it_matters():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        Phi = gaussian_actions(200, 10, rng)
        means = Phi @ random_theta(10, 10, rng)
        asked = rng.choice(200, 40, replace=False)
        assert trust_linear_model(Phi, asked, means[asked], s=1).verdict in ("uninformative", "undecided", "distrust")
        assert trust_linear_model(Phi, asked, means[asked]).verdict == "trust"


def test_without_errors_rounding_is_none():
    Phi = gaussian_actions(100, 4, 0)
    report = trust_linear_model(Phi, np.arange(20), Phi[:20] @ [1.0, 2.0, 3.0, 4.0])
    assert (report.verdict, report.eps) == ("trust", 0.0)
    assert "eps)" not in str(report)


def test_noise_counts_as_much_as_errors_where_none_are_seen():
    rng = np.random.default_rng(0)
    Phi = gaussian_actions(300, 5, rng)
    means = Phi @ random_theta(5, 5, rng) + rng.uniform(-0.05, 0.05, 300)
    asked = np.repeat(rng.choice(300, 30, replace=False), 10)
    report = trust_linear_model(Phi, asked, means[asked] + 0.2 * rng.standard_normal(300), noise=0.2)
    assert report.verdict == "trust"
    assert report.eps < 0.1 < report.width
    assert means.max() - means[report.action] <= report.worst_bound
    assert "means known within" in str(report)
    one_each = trust_linear_model(Phi, asked[::10], means[asked[::10]] + 0.2 * rng.standard_normal(30), noise=0.2)
    assert one_each.verdict == "uninformative"


def test_levels_that_the_data_refute_are_refuted():
    Phi = np.array([[1.0], [1.0], [1.0]])
    report = trust_linear_model(Phi, [0, 1], [0.0, 1.0], eps=0.3)
    assert report.verdict == "refuted"
    assert report.eps_low == pytest.approx(0.5)
    assert "the smallest level is 0.5" in str(report)
    assert trust_linear_model(Phi, [0, 1], [0.0, 1.0], eps=0.5).verdict != "refuted"
    sparse = trust_linear_model(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1], [1.0, 1.0], s=1, eps=0.3)
    assert (sparse.verdict, sparse.eps_low) == ("refuted", pytest.approx(1.0))


def test_undecided_names_what_to_query():
    Phi = gaussian_actions(300, 8, 2)
    rng = np.random.default_rng(0)
    means = Phi @ random_theta(8, 8, 3) + rng.uniform(-0.1, 0.1, 300)
    asked = rng.choice(300, 60, replace=False)
    full = trust_linear_model(Phi, asked, means[asked], eps=0.1, max_programs=500)
    middle = (full.worst + 1e-6) / 0.1
    report = trust_linear_model(Phi, asked, means[asked], eps=0.1, max_programs=1, tolerance=middle)
    assert report.worst <= full.worst + 1e-6 <= report.worst_bound + 2e-6
    assert report.verdict == "undecided"
    assert report.query_next == tuple(a for a in (report.action, report.rival) if a not in asked)
    assert all(str(a) in str(report).split("query")[1] for a in report.query_next)


def test_supports_are_those_with_a_consistent_model():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((12, 5))
    y = A[:, 1] - A[:, 3] + rng.uniform(-0.3, 0.3, 12)
    slack = np.full(12, 0.9)
    found, whole = consistent_supports(A, y, slack, 2, 100)
    every = [
        c for c in itertools.combinations(range(5), 2)
        if Polytope(A[:, c], y, slack).largest(np.array([1.0, 0.0])) > -math.inf
    ]  # fmt: skip
    assert whole
    assert sorted(map(tuple, found)) == every
    near, whole = consistent_supports(A, y, slack, 2, 5)
    assert not whole
    assert (1, 3) in set(map(tuple, near)) <= set(every)
    assert len(consistent_supports(A, y, slack, 2, 100, limit=1)[0]) == 1


def test_bounds_of_a_polytope_are_bounds():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((9, 3))
    y = A @ [1.0, 0.0, -1.0] + rng.uniform(-0.1, 0.1, 9)
    polytope = Polytope(A, y, np.full(9, 0.1))
    C = rng.standard_normal((40, 3))
    exact = np.array([polytope.largest(c) for c in C])
    assert (polytope.bounds(C) >= exact - 1e-7).all()
    assert (polytope.bounds(C) < np.inf).all()
    flat = Polytope(A[:2], y[:2], np.full(2, 0.1))
    assert flat.bounds(np.eye(3)).tolist() == [np.inf] * 3
    assert flat.largest(np.eye(3)[0]) == np.inf
    assert Polytope(A, y + 9 * (-1) ** np.arange(9), np.full(9, 0.1)).largest(C[0]) == -np.inf


def test_gap_of_an_action_to_itself_is_nothing():
    polytope = Polytope(np.eye(2), np.zeros(2), np.ones(2))
    caps = np.full(1, np.inf)
    assert largest_gap([(np.arange(2), polytope)], np.ones((1, 2)), 0, 0.1, caps, -np.inf, 5) == (0.0, 0.0, 0)


def test_held_out_residuals_are_those_of_refits():
    rng = np.random.default_rng(3)
    A, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    found = held_out_residuals(A, y)
    for i in range(12):
        rest = np.arange(12) != i
        theta = np.linalg.lstsq(A[rest], y[rest], rcond=None)[0]
        assert found[i] == pytest.approx(y[i] - A[i] @ theta)
    assert held_out_residuals(A[:3], y[:3]) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"indices": [0, 9]}, r"indices must be in \[0, 3\)"),
        ({"indices": [0.5, 1.0]}, r"indices must be integers of shape \(n,\) with n >= 1, got float64 of shape \(2,\)"),
        ({"indices": [[0, 1]]}, r"indices must be integers of shape \(n,\) .* got int64 of shape \(1, 2\)"),
        ({"indices": [], "rewards": []}, "indices must be integers of shape .* with n >= 1"),
        ({"rewards": [1.0]}, "rewards must be 2 finite numbers"),
        ({"rewards": [1.0, math.nan]}, "rewards must be 2 finite numbers, .* got nan at position 1"),
        ({"s": 4}, r"s must be in \[1, 3\]"),
        ({"eps": -0.1}, "eps must be in"),
        ({"noise": -0.1}, "noise must be in"),
        ({"delta": 1.0}, "delta must be in"),
        ({"tolerance": 0.0}, "tolerance must be in"),
        ({"max_programs": 0}, "max_programs must be at least 1"),
        ({"Phi": [1.0]}, "Phi must"),
    ],
)
def test_bad_arguments_are_named(options, said):
    given = {"Phi": np.eye(3), "indices": [0, 1], "rewards": [0.0, 1.0], **options}
    with pytest.raises(ValueError, match=said):
        trust_linear_model(given.pop("Phi"), given.pop("indices"), given.pop("rewards"), **given)


def test_errors_below_the_noise_are_said_to_be_so():
    rng = np.random.default_rng(1)
    Phi = gaussian_actions(200, 3, rng)
    asked = rng.choice(200, 60, replace=False)
    report = trust_linear_model(Phi, asked, Phi[asked] @ [1.0, 0.5, 0.0] + 0.1 * rng.standard_normal(60), noise=0.3)
    assert report.eps == 0.0
    assert "errors that cannot be told from the noise and means known within" in str(report)
    with pytest.raises(TypeError, match="rewards must be 60 finite numbers"):
        trust_linear_model(Phi, asked, ["much"] * 60)
