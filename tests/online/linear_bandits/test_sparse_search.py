"""Searches over sparse parameters: cases worked out by hand, brute force, and the guarantees on random bandits."""

import itertools
import math

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.online.linear_bandits import MisspecifiedLinearBandit, SparseSearch, sparse_net_search
from optimand.online.linear_bandits.generators import aimed_errors, gaussian_actions, random_theta
from optimand.online.linear_bandits.nets import sphere_net

SIGNED = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0.6, 0.8, 0], [0.6, 0, 0.8]])
PLANES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0.6, 0, 0.8], [0, 0.6, 0.8]])


def brute_force(Phi, s, net):
    found = set()
    for support in itertools.combinations(range(Phi.shape[1]), s):
        for v in net:
            found.add(int(np.argmax(Phi[:, support] @ v)))
    return sorted(found)


def test_one_feature_by_hand():
    search = SparseSearch(SIGNED, 1, 0.1, method="net")
    assert search.actions.tolist() == [0, 1, 2, 3, 4]
    assert search.n_hypotheses == 6
    assert search.net.tolist() == [[1.0], [-1.0]]


def test_two_features_by_hand():
    search = SparseSearch(PLANES, 2, 1.0, method="net")
    assert search.actions.tolist() == [0, 1, 2]
    assert search.n_hypotheses == 9
    assert np.degrees(np.arctan2(*search.net.T[::-1])) % 360 == pytest.approx([0, 120, 240])


@pytest.mark.parametrize(("d", "count"), [(20, 6080), (60, 56640)])
def test_numbers_of_hypotheses(d, count):
    search = SparseSearch(gaussian_actions(300, d), 2, 0.1, method="net")
    assert len(search.net) == 32
    assert search.n_hypotheses == count


def test_the_reference_features_have_their_known_number_of_queries():
    rows = np.random.default_rng(0).standard_normal((20_000, 20))
    search = SparseSearch(rows / np.linalg.norm(rows, axis=1, keepdims=True), 2, 0.1, method="net")
    assert len(search.actions) == 1277


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("kind", ["normal", "signs", "positive", "short", "ties"])
def test_the_greedy_actions_are_those_of_brute_force(s, kind):
    rng = np.random.default_rng(s)
    Phi = {
        "normal": lambda: rng.standard_normal((150, 6)),
        "signs": lambda: rng.choice([-1.0, 1.0], (150, 6)),
        "positive": lambda: rng.random((150, 6)),
        "short": lambda: rng.standard_normal((150, 6)) * np.where(np.arange(150) % 10, 0.01, 1.0)[:, None],
        "ties": lambda: np.round(rng.standard_normal((150, 6))),
    }[kind]()
    Phi = Phi / 8
    net = sphere_net(s, 0.4)
    # exact in binary, so that ties are ties for both
    net = np.round(net * 64) / 64
    Phi = np.round(Phi * 64) / 64
    chosen = np.zeros(150, dtype=bool)
    from optimand.online.linear_bandits.sweeps import greedy

    none = np.empty((0, len(net)), np.int32), np.empty((0, len(net)))
    greedy(np.ascontiguousarray(Phi.T), net, np.linalg.norm(net, axis=1), s, chosen, *none)
    assert np.flatnonzero(chosen).tolist() == brute_force(Phi, s, net)


@pytest.mark.parametrize("s", [1, 2])
def test_elimination_knows_the_value_of_every_hypothesis(s):
    """Those of a ball: with shells and the origin, where the first action stands for all."""
    Phi = gaussian_actions(200, 5, 2)
    search = SparseSearch(Phi, s, 0.3, radius=0.9)
    assert not search.net[-1].any()
    supports = list(itertools.combinations(range(5), s))
    scores = np.array([Phi[:, support] @ search.net.T for support in supports])
    assert np.allclose(search._predicted, scores.max(1).ravel(), atol=1e-12)
    greedy = search._greedy.reshape(len(supports), -1)
    picked = np.take_along_axis(scores, greedy[:, None], 1)[:, 0]
    assert np.allclose(picked, scores.max(1), atol=1e-12)
    assert (greedy[:, -1] == 0).all()


def test_a_cover_covers_on_every_support():
    Phi = gaussian_actions(400, 6, 1)
    search = SparseSearch(Phi, 2, 0.2, radius=2.0, method="cover")
    for support in itertools.combinations(range(6), 2):
        x = Phi[:, support]
        gaps = np.sqrt(((x[:, None] - x[search.actions][None]) ** 2).sum(-1)).min(1)
        assert gaps.max() <= 0.1
    assert len(search.actions) <= min(400, search.n_hypotheses)


BOUNDS = {"net": 4, "cover": 3, "eliminate": 5}


@pytest.mark.parametrize("s", [1, 2])
@pytest.mark.parametrize("error", ["uniform", "aimed", "sign"])
def test_guarantees_hold_on_random_bandits(s, error):
    """200 bandits for each sparsity and error, ten to each set of features; norms below and at the radius."""
    rng = np.random.default_rng([s, len(error)])
    for number in range(20):
        d, N = int(rng.integers(max(s, 2), 16 if s == 2 else 31)), int(rng.integers(20, 400))
        eps, radius = float(rng.uniform(0.05, 0.4)), float(rng.choice([0.5, 1.0, 3.0]))
        Phi = gaussian_actions(N, d, rng) * rng.uniform(0.3, 1.0, (N, 1))
        kind = aimed_errors(Phi, eps) if error == "aimed" else error
        searches = [SparseSearch(Phi, s, eps, radius=radius, method=method, tolerance=3.0) for method in BOUNDS]
        searches.append(SparseSearch(Phi, s, eps, radius=radius))
        for i in range(10):
            length = radius * (1.0 if i % 2 else rng.random())
            theta = length * random_theta(d, int(rng.integers(1, s + 1)), rng)
            bandit = MisspecifiedLinearBandit(Phi, theta, eps, kind, seed=100 * number + i)
            for search in searches:
                bandit.restart()
                found = search(bandit.query)
                bound = 4 if search.tolerance == 0 else BOUNDS[search.method]
                assert found.success
                assert found.bound == bound
                assert bandit.oracle().suboptimality(found.x) <= bound + 1e-9
                assert found.nfev == bandit.queries <= min(N, search.n_hypotheses)
                assert found.fun == bandit.oracle().rewards[found.x]


def test_with_a_known_norm_the_sphere_is_enough_for_elimination():
    Phi = gaussian_actions(2000, 10, 3)
    known, bounded = (SparseSearch(Phi, 2, 0.1, norm=norm) for norm in ("equal", "bounded"))
    assert len(known.net) == 32 < len(bounded.net)
    for i in range(30):
        bandit = MisspecifiedLinearBandit(Phi, random_theta(10, 2, i), 0.1, seed=i)
        assert bandit.oracle().suboptimality(known(bandit.query).x) <= 5


@pytest.mark.parametrize("error", ["uniform", "sign"])
def test_elimination_asks_few(error):
    rows = np.random.default_rng(0).standard_normal((20_000, 20))
    Phi = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    search = SparseSearch(Phi, 2, 0.1, norm="equal", tolerance=3.0)
    queries, lost = [], []
    for i in range(50):
        bandit = MisspecifiedLinearBandit(Phi, random_theta(20, 2, i), 0.1, error, seed=i)
        found = search(bandit.query)
        assert found.success
        queries.append(found.nfev)
        lost.append(bandit.oracle().suboptimality(found.x))
    assert np.mean(queries) <= 20
    assert max(queries) <= 40
    assert max(lost) <= 5


def test_elimination_says_when_the_model_is_wrong():
    Phi = gaussian_actions(300, 5, 0)
    dense = 3 * np.ones(5)
    bandit = MisspecifiedLinearBandit(Phi, dense, 0.05)
    found = sparse_net_search(bandit.query, Phi, 1, 0.05)
    assert not found.success
    assert found.bound == math.inf
    assert "explains the rewards" in found.message
    assert found.fun == found.means.max()


def test_noise_is_averaged_to_within_the_error():
    """200 runs of the net with noise of 0.3: at least 190 within 6 eps; elimination likewise."""
    Phi = gaussian_actions(40, 3, 0)
    for method, bound in (("net", 6), ("cover", 5), ("eliminate", 6)):
        search = SparseSearch(Phi, 1, 0.1, noise=0.3, delta=0.05, method=method)
        assert search.bound == bound
        good = 0
        for i in range(200):
            bandit = MisspecifiedLinearBandit(Phi, random_theta(3, 1, i), 0.1, noise=0.3, seed=i)
            found = search(bandit.query)
            assert found.nfev == bandit.queries == search.repeats * len(found.actions)
            good += bandit.oracle().suboptimality(found.x) <= bound
        assert good >= 190


def test_rescaling_changes_neither_predictions_nor_choice():
    Phi = gaussian_actions(200, 4, 0)
    bandit = MisspecifiedLinearBandit(Phi, random_theta(4, 2, 0), 0.1)
    with pytest.warns(UserWarning, match="divided by 4, the largest length; radius is 1 now"):
        scaled = sparse_net_search(bandit.query, 4 * Phi, 2, 0.1, radius=0.25, on_norm="rescale", method="net")
    plain = sparse_net_search(bandit.query, Phi, 2, 0.1, method="net")
    assert scaled.x == plain.x
    assert scaled.actions.tolist() == plain.actions.tolist()


def test_large_searches_are_refused_and_say_how_large_they_are():
    Phi = gaussian_actions(50, 60)
    with pytest.raises(ValueError, match=r"s must be at most 3, got 4 \(\d.*allow_large=True"):
        SparseSearch(Phi, 4, 0.5, method="net")
    with pytest.raises(ValueError, match=r"make 8\.\d+e\+07 hypotheses, while at most 5e\+07"):
        SparseSearch(Phi, 3, 0.05, method="net")
    for s in (3, 9):  # nets far too large to be counted point by point
        for method in ("net", "eliminate", "cover"):
            with pytest.raises(ValueError, match="e\\+"):
                SparseSearch(np.vstack([Phi] * 400), s, 1e-9, method=method)
    small = SparseSearch(Phi[:, :5], 4, 1.5, method="net", allow_large=True)
    assert small.n_hypotheses == 5 * len(small.net)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"s": 0}, ValueError, "s must be in"),
        ({"s": 4}, ValueError, "s must be in"),
        ({"s": 1.5}, TypeError, "s must be an integer"),
        ({"eps": 0.0}, ValueError, "eps must be"),
        ({"eps": -1.0}, ValueError, "eps must be"),
        ({"eps": math.nan}, ValueError, "eps must be"),
        ({"Phi": np.ones(3)}, ValueError, "Phi must be a 2-D array"),
        ({"Phi": np.ones((0, 3))}, ValueError, "Phi must be a 2-D array"),
        ({"Phi": np.full((2, 3), np.inf)}, ValueError, "Phi must hold finite numbers, got inf"),
        ({"Phi": [["a", "b", "c"]]}, TypeError, "Phi must be a 2-D array of numbers"),
        ({"Phi": 2 * np.eye(3)}, ValueError, "Phi must have rows of length at most 1, got one of length 2"),
        ({"radius": 0.0}, ValueError, "radius must be"),
        ({"noise": -1.0}, ValueError, "noise must be"),
        ({"delta": 1.0}, ValueError, "delta must be"),
        ({"method": "eliminat"}, ValueError, "method must be one of .* did you mean 'eliminate'"),
        ({"norm": "known"}, ValueError, "norm must be one of"),
        ({"on_norm": "warn"}, ValueError, "on_norm must be one of"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"query": lambda i: np.zeros(len(i) + 1)}, OptimandError, "query must return 1 rewards"),
        ({"query": lambda i: np.full(len(i), np.nan)}, OptimandError, "query must return finite rewards"),
        ({"query": lambda i: "much"}, OptimandError, "query must take an array of indices"),
    ],
)
def test_bad_arguments_are_named(change, error, text):
    arguments = {"query": lambda i: np.zeros(len(i)), "Phi": np.eye(3), "s": 1, "eps": 0.1, **change}
    with pytest.raises(error, match=text):
        sparse_net_search(**arguments)


def test_features_that_do_not_change_are_taken_as_they_are():
    Phi = np.eye(3)
    Phi.setflags(write=False)
    bandit = MisspecifiedLinearBandit(Phi, [0, 0, 1.0], 0.1)
    for method in BOUNDS:
        assert sparse_net_search(bandit.query, Phi, 1, 0.1, method=method).x == 2
