"""Bandits: what arms give, what is counted, and regret, against brute force on the arms' tapes."""

import numpy as np
import pytest
from scipy import stats

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.bandits import (
    UCB1,
    AdversarialBandit,
    BernoulliBandit,
    ExploreThenCommit,
    GaussianBandit,
    StochasticBandit,
    TableBandit,
)
from optimand.online.engine import Draws, simulate

OUTCOMES = np.random.default_rng(0).random((3, 20))
MAKES = {
    "bernoulli": lambda: BernoulliBandit([0.3, 0.5, 0.9]),
    "gaussian": lambda: GaussianBandit([0.3, -0.5, 0.9], sigma=[0.5, 1.0, 2.0]),
    "table": lambda: TableBandit(OUTCOMES),
    "changing": lambda: BernoulliBandit([[0.3, 0.5, 0.9], [0.8, 0.1, 0.2]], changes=[23]),
    "changing gaussian": lambda: GaussianBandit(lambda draws: draws.normal(3, 3), changes=[10, 30]),
    "drawn": lambda: BernoulliBandit(lambda draws: draws.uniform(3)),
}


def begin(env, reps=4, seed=0, horizon=60):
    env.reset(Draws(SeedTree(seed), np.arange(reps)), horizon)
    return env


def tape(make, arm, rounds=60, reps=4):
    """Rewards of an arm that is pulled every round, shape (rounds, reps)."""
    env = begin(make(), reps)
    return np.array([env.step(np.full(reps, arm)).reward for _ in range(rounds)])


@pytest.mark.parametrize("name", MAKES)
def test_regret_is_that_of_brute_force(name):
    make, rng, reps, rounds = MAKES[name], np.random.default_rng(1), 4, 60
    env = begin(make())
    tapes = np.stack([tape(make, arm) for arm in range(3)])
    means = np.broadcast_to(env.means, (reps, *env.means.shape[1:]))
    segment = np.searchsorted([0, *env.changes], np.arange(rounds), side="right") - 1
    actions = rng.integers(3, size=(rounds, reps))
    rows = np.arange(reps)
    earned, pulled = np.zeros(reps), np.zeros((reps, 3))
    for t in range(rounds):
        reward = env.step(actions[t]).reward
        if not env.changes:
            # the n-th reward of an arm, whenever it is pulled
            number = pulled[rows, actions[t]].astype(int)
            assert (reward == tapes[actions[t], number, rows]).all()
        earned += reward
        pulled[rows, actions[t]] += 1
        done = np.arange(t + 1)
        by_round = means[:, segment[done]]
        got = by_round[rows[:, None], done, actions[: t + 1].T].sum(1)
        best = by_round.sum(1).max(1) - got
        per_segment = by_round.max(2).sum(1) - got
        np.testing.assert_allclose(env.regret("best-arm"), best, atol=1e-9)
        np.testing.assert_allclose(env.regret("per-segment"), per_segment, atol=1e-9)
        if t % 7 == 0 or t == rounds - 1:
            np.testing.assert_allclose(env.regret("realised"), tapes[:, : t + 1].sum(1).max(0) - earned, atol=1e-9)
    assert (env.pulls == pulled).all()
    np.testing.assert_allclose(env.extras()["earned"], earned)
    favourite = means[:, segment].sum(1).argmax(1)
    np.testing.assert_allclose(env.extras()["best_arm_share"], pulled[rows, favourite] / rounds)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "table"])
def test_small_batches_are_sums_of_single_pulls(name):
    one, many = begin(MAKES[name]()), begin(MAKES[name]())
    rng = np.random.default_rng(2)
    for _ in range(5):
        arms, counts = rng.integers(3, size=4), rng.integers(0, 12, size=4)
        found = many.step(arms, counts).reward
        for r in range(4):
            singles = []
            for _ in range(counts[r]):
                # the other repetitions pull nothing
                singles.append(one.step(arms, (np.arange(4) == r).astype(int)).reward[r])
            assert found[r] == (sum(singles) / counts[r] if counts[r] else 0.0)
    assert (one.pulls == many.pulls).all()
    np.testing.assert_allclose(one.regret("best-arm"), many.regret("best-arm"))
    np.testing.assert_allclose(one.regret("realised"), many.regret("realised"))


@pytest.mark.parametrize("name", ["bernoulli", "gaussian"])
def test_large_batches_follow_the_law_of_the_sum(name):
    reps, count = 5000, 400
    env = begin(MAKES[name](), reps)
    totals = env.step(np.full(reps, 2), np.full(reps, count)).reward * count
    if name == "gaussian":
        assert stats.kstest(totals, stats.norm(0.9 * count, 2.0 * count**0.5).cdf).pvalue > 1e-3
    else:
        law = stats.binom(count, 0.9)
        edges = np.arange(345, 376, 5)
        observed = np.bincount(np.searchsorted(edges, totals, side="left"), minlength=len(edges) + 1)
        expected = np.diff([0, *law.cdf(edges), 1]) * reps
        assert stats.chisquare(observed, expected).pvalue > 1e-3
    assert (env.time == count).all()
    with pytest.raises(OptimandError, match="'realised' rewards needs single pulls"):
        env.regret("realised")


@pytest.mark.parametrize(("name", "law"), [("bernoulli", stats.bernoulli(0.9)), ("gaussian", stats.norm(0.9, 2.0))])
def test_rewards_follow_the_law_of_the_arm(name, law):
    values = tape(MAKES[name], 2, rounds=50, reps=200).ravel()
    assert abs(values.mean() - law.mean()) < 5 * law.std() / len(values) ** 0.5
    if name == "gaussian":
        assert stats.kstest(values, law.cdf).pvalue > 1e-3
    # and are independent from round to round and from arm to arm
    other = tape(MAKES[name], 1, rounds=50, reps=200).ravel()
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.05
    assert abs(np.corrcoef(values, other)[0, 1]) < 0.05


def test_tables_give_each_of_their_outcomes_as_often():
    values = tape(MAKES["table"], 1, rounds=100, reps=100).ravel()
    counts = [int((values == outcome).sum()) for outcome in OUTCOMES[1]]
    assert sum(counts) == len(values)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_means_of_repetitions_go_by_their_numbers():
    means = np.random.default_rng(0).random((5, 3))
    env = BernoulliBandit(means)
    env.reset(Draws(SeedTree(0), [3, 1]), 10)
    assert (env.means[:, 0] == means[[3, 1]]).all()
    with pytest.raises(OptimandError, match="have 5 rows, one for each repetition, and there are at least 6"):
        env.reset(Draws(SeedTree(0), [5]), 10)
    drawn, alone = MAKES["drawn"](), MAKES["drawn"]()
    drawn.reset(Draws(SeedTree(0), [0, 1, 2]), 10)
    alone.reset(Draws(SeedTree(0), [2]), 10)
    assert (drawn.means[2] == alone.means[0]).all()


def test_learners_are_told_no_means():
    env = begin(BernoulliBandit([0.1, 0.9], features=np.eye(2), tell_horizon=False))
    spec = env.spec()
    assert (spec.kind, spec.reps, spec.horizon, spec.actions) == ("reward", 4, None, 2)
    assert (spec.features == np.eye(2)).all()
    assert spec.facts == {"range": (0.0, 1.0), "sigma": 0.5}
    assert begin(MAKES["gaussian"]()).spec().facts == {"sigma": 2.0}
    assert begin(MAKES["gaussian"]()).spec().horizon == 60


def test_a_subclass_makes_its_own_means():
    class Linear(StochasticBandit):
        law = GaussianBandit.law

        def instance(self, draws):
            return draws.normal(2) @ self.features.T + 0.1 * draws.uniform(3)

        def sigmas(self, arms):
            return np.full(arms, 0.1)

        def support(self):
            return -np.inf, np.inf

        def facts(self):
            return {"sigma": 0.1}

    env = Linear(np.zeros(3), features=np.random.default_rng(0).normal(size=(3, 2)))
    assert begin(env).means.shape == (4, 1, 3)
    assert np.isfinite(simulate([UCB1()], env, 50, reps=4).of("UCB1")).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BernoulliBandit([0.5, 1.5]), r"means must be in \[0, 1\], got 0.5 … 1.5"),
        (lambda: BernoulliBandit([0.5]), "at least two arms"),
        (lambda: BernoulliBandit(0.5), "at least two arms"),
        (lambda: BernoulliBandit([0.5, np.nan]), "means must be finite"),
        (lambda: BernoulliBandit([0.1, 0.2], changes=[5]), "means must have 2 rows for 1 changes"),
        (lambda: BernoulliBandit([[0.1, 0.2]] * 3, changes=[9, 5]), "changes must rise"),
        (lambda: BernoulliBandit([[0.1, 0.2]] * 2, changes=[0]), "changes must be at least 1"),
        (lambda: BernoulliBandit(np.full((2, 2, 2), 0.1)), "means must have shape"),
        (lambda: BernoulliBandit([0.1, 0.2], features=[1.0, 2.0]), r"features must have shape \(K, d\)"),
        (lambda: GaussianBandit([0.0, 1.0], sigma=0.0), "sigma must be a positive number"),
        (lambda: TableBandit([0.1, 0.2]), "outcomes must have shape"),
        (lambda: TableBandit([[0.1], [2.0]]), r"outcomes must be in \[0, 1\], got 2"),
        (lambda: TableBandit([[0.1], [np.nan]]), r"outcomes must be in \[0, 1\], got nan"),
        (lambda: TableBandit([[0.1, 0.2], [0.3]]), "outcomes must be numbers in rows of equal length"),
        (lambda: BernoulliBandit("abc"), "means must be numbers in rows of equal length, got 'abc'"),
        (lambda: TableBandit([[0.1], [0.2]], changes=[1]), "changes are not for tables"),
        (lambda: AdversarialBandit([0.1, 0.2]), "losses must have shape"),
        (lambda: AdversarialBandit([[0.1, 1.2]]), r"losses must be in \[0, 1\], got 1.2"),
        (lambda: AdversarialBandit("abc"), "losses must be numbers"),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_shows_only_in_a_simulation_is_said_there():
    with pytest.raises(OptimandError, match="means must come in the shape"):
        begin(BernoulliBandit(lambda draws: np.zeros(3)))
    with pytest.raises(ValueError, match=r"means must be in \[0, 1\]"):
        begin(BernoulliBandit(lambda draws: draws.normal(3)))
    with pytest.raises(OptimandError, match=r"2 rows, one for .* there are at least 4 .* need changes="):
        begin(BernoulliBandit([[0.1, 0.2], [0.3, 0.4]]))
    with pytest.raises(OptimandError, match=r"changes must be before the horizon of 60, got \[60\]"):
        begin(BernoulliBandit([[0.1, 0.2]] * 2, changes=[60]))
    with pytest.raises(OptimandError, match="given for 2 repetitions, and there are at least 4"):
        begin(AdversarialBandit(np.zeros((2, 60, 2))))
    with pytest.raises(OptimandError, match="features are given for 2 arms, means for 3"):
        begin(BernoulliBandit([0.1, 0.2, 0.3], features=np.eye(2)))
    with pytest.raises(OptimandError, match="one for each of 3 arms, got 2"):
        begin(GaussianBandit([0.1, 0.2, 0.3], sigma=[1.0, 2.0]))
    with pytest.raises(OptimandError, match="given for 20 rounds, the horizon is 60"):
        begin(AdversarialBandit(np.zeros((20, 2))))


@pytest.mark.parametrize("shape", [(50, 3), (4, 50, 3)])
def test_regret_on_losses_is_that_of_brute_force(shape):
    rng = np.random.default_rng(3)
    losses = rng.random(shape)
    env = begin(AdversarialBandit(losses), horizon=50)
    whole = np.broadcast_to(losses, (4, 50, 3))
    actions = rng.integers(3, size=(50, 4))
    rows = np.arange(4)
    for t in range(50):
        assert (env.step(actions[t]).reward == 1 - whole[rows, t, actions[t]]).all()
        if t % 6 == 1 or t == 49:
            paid = whole[rows[:, None], np.arange(t + 1), actions[: t + 1].T].sum(1)
            np.testing.assert_allclose(env.regret("best-arm"), paid - whole[:, : t + 1].sum(1).min(1), atol=1e-12)
            np.testing.assert_allclose(env.regret("per-round"), paid - whole[:, : t + 1].min(2).sum(1), atol=1e-12)


def test_losses_may_be_drawn():
    env = AdversarialBandit(lambda draws, horizon: draws.uniform(horizon, 2))
    curves = simulate([UCB1()], env, 30, reps=3)
    assert (curves.of("UCB1") == simulate([UCB1()], env, 30, reps=3, block=1).of("UCB1")).all()


def test_huge_horizons_are_batches():
    found = simulate([ExploreThenCommit(1000)], BernoulliBandit([0.2, 0.9]), 10**17, reps=5)
    assert found.at("ExploreThenCommit") == pytest.approx(700)
    assert (found.extras["ExploreThenCommit"]["earned"] / 10**17) == pytest.approx(0.9)
