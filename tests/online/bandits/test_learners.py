"""Learners: their choices against the formulas, their regret against bounds and published orders."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from optimand.core.seeds import SeedTree
from optimand.online.bandits import (
    KLUCB,
    MOSS,
    UCB1,
    AdversarialBandit,
    BernoulliBandit,
    EpsilonGreedy,
    Exp3,
    ExploreThenCommit,
    GaussianBandit,
    SuccessiveElimination,
    ThompsonSampling,
    UniformRandom,
)
from optimand.online.bandits.steps import bernoulli_divergence, bernoulli_upper
from optimand.online.engine import Draws, Feedback, Spec, simulate

MEANS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)


def play(learner, rounds, pick, reps=3, arms=4, facts=None, horizon=200):
    """Let a learner play for rewards that are functions of arm and round; yields its choices with what it knew."""
    learner.reset(Spec("reward", reps, horizon, arms, facts=facts or {}), Draws(SeedTree(0), np.arange(reps)))
    pulls, sums = np.zeros((reps, arms)), np.zeros((reps, arms))
    rng = np.random.default_rng(0)
    means = rng.random(arms)
    for t in range(rounds):
        found = learner.act(None)
        for r in range(reps):
            if (pulls[r] == 0).any():
                assert found[r] == np.flatnonzero(pulls[r] == 0)[0]
            else:
                pick(t, pulls[r], sums[r], found[r])
        reward = (rng.random(reps) < means[found]).astype(float)
        learner.update(Feedback(reward=reward))
        pulls[np.arange(reps), found] += 1
        sums[np.arange(reps), found] += reward


def is_largest(values, arm):
    assert values[arm] >= np.max(values) - 1e-9


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_ucb1_takes_the_largest_upper_end(sigma):
    def pick(t, n, s, arm):
        is_largest(s / n + 2 * sigma * np.sqrt(1.3 * np.log(t) / n), arm)

    play(UCB1(1.3), 150, pick, facts={"sigma": sigma})


def test_moss_takes_the_largest_upper_end():
    def pick(t, n, s, arm):
        is_largest(s / n + np.sqrt(np.maximum(np.log(200 / (4 * n)), 0) / n), arm)

    play(MOSS(), 150, pick)


def upper(mean, level):
    def over(q):
        return special.rel_entr(mean, q) + special.rel_entr(1 - mean, 1 - q) - level

    return 1.0 if mean == 1 else optimize.brentq(over, mean, 1 - 1e-15)


@pytest.mark.parametrize("c", [0.0, 3.0])
def test_klucb_takes_the_largest_plausible_mean(c):
    def pick(t, n, s, arm):
        log = math.log(t)
        level = log + (c * math.log(log) if log > 1 else 0)
        is_largest([upper(mean, level / count) for mean, count in zip(s / n, n, strict=True)], arm)

    play(KLUCB(c), 120, pick, facts={"range": (0.0, 1.0)})


def test_klucb_for_normal_rewards_has_a_closed_form():
    def pick(t, n, s, arm):
        is_largest(s / n + 3.0 * np.sqrt(2 * np.log(t) / n), arm)

    play(KLUCB(), 100, pick, facts={"sigma": 3.0})


@pytest.mark.parametrize("level", [1e-9, 1e-4, 0.1, 1.0, 30.0])
def test_upper_ends_have_the_divergence_they_should(level):
    for mean in (0.0, 1e-6, 0.3, 0.5, 0.999, 1.0):
        q = bernoulli_upper(mean, level)
        assert mean <= q <= 1
        if q < 1 - 1e-8:
            assert bernoulli_divergence(mean, q) == pytest.approx(level, rel=1e-4, abs=1e-12)
    assert bernoulli_divergence(0.5, 1.0) == math.inf
    assert bernoulli_divergence(0.5, 0.0) == math.inf


def test_thompson_sampling_draws_from_the_posterior():
    """Pulls of two arms after known data are in the ratio that Beta posteriors give."""
    reps = 20_000
    for facts, expected in (
        ({"range": (0.0, 1.0), "sigma": 0.5}, None),
        ({"sigma": 1.0}, special.ndtr((0.75 - 0.5) / math.sqrt(1 / 4 + 1 / 2))),
    ):
        learner = ThompsonSampling()
        learner.reset(Spec("reward", reps, None, 2, facts=facts), Draws(SeedTree(0), np.arange(reps)))
        for arm, rewards in ((0, (1.0, 1.0, 1.0, 0.0)), (1, (1.0, 0.0))):
            for reward in rewards:
                learner.update(Feedback(reward=np.full(reps, reward), action=np.full(reps, arm)))
        share = (learner.act(None) == 0).mean()
        if expected is None:
            a, b = (np.random.default_rng(0).beta(*shape, size=400_000) for shape in ((4, 2), (2, 2)))
            expected = (a > b).mean()
        assert abs(share - expected) < 4 * 0.5 / math.sqrt(reps) + 0.002


def test_greedy_explores_as_often_as_it_says():
    reps, arms = 4000, 5
    learner = EpsilonGreedy(epsilon=0.3)
    learner.reset(Spec("reward", reps, None, arms), Draws(SeedTree(0), np.arange(reps)))
    for arm in range(arms):
        learner.update(Feedback(reward=np.full(reps, float(arm == 2)), action=np.full(reps, arm)))
    counts = np.bincount(learner.act(None), minlength=arms) / reps
    np.testing.assert_allclose(counts, [0.06, 0.06, 0.76, 0.06, 0.06], atol=0.02)
    # and the decaying probability is one at first
    decaying = EpsilonGreedy(scale=1.0)
    decaying.reset(Spec("reward", reps, None, arms), Draws(SeedTree(0), np.arange(reps)))
    for arm in range(arms):
        decaying.update(Feedback(reward=np.full(reps, float(arm == 2)), action=np.full(reps, arm)))
    np.testing.assert_allclose(np.bincount(decaying.act(None), minlength=arms) / reps, 0.2, atol=0.03)


def test_exp3_draws_from_exponential_weights():
    reps = 20_000
    learner = Exp3(rate=0.7)
    learner.reset(Spec("reward", reps, None, 3), Draws(SeedTree(0), np.arange(reps)))
    arms = learner.act(None)
    np.testing.assert_allclose(np.bincount(arms) / reps, 1 / 3, atol=0.015)
    np.testing.assert_allclose(learner.chances, 1 / 3)
    learner.update(Feedback(reward=np.full(reps, 0.5)))
    # the loss 0.5 was met with probability 1/3
    assert (learner.losses.max(1) == 1.5).all()
    low = math.exp(-0.7 * 1.5) / (2 + math.exp(-0.7 * 1.5))
    assert (learner.act(None) == arms).mean() == pytest.approx(low, abs=0.012)
    assert learner.chances.min() == pytest.approx(low)


def test_explore_then_commit_does_that():
    env = BernoulliBandit([0.2, 0.8, 0.5])
    found = simulate({"etc": ExploreThenCommit(20)}, env, 1000, reps=5, points=1000)
    # its exploration is a line in each batch: gaps 0.6, 0, 0.3
    np.testing.assert_allclose(found.of("etc")[:, [19, 39, 59]], [[12.0, 12.0, 18.0]] * 5, atol=1e-9)
    np.testing.assert_allclose(found.at("etc"), 18.0)
    learner = ExploreThenCommit()
    learner.reset(Spec("reward", 1, 8000, 8), Draws(SeedTree(0), [0]))
    assert learner.act(None)[1].tolist() == [math.ceil(100 * math.log(8000) ** (1 / 3))]


def test_successive_elimination_keeps_the_best_arm():
    learner = SuccessiveElimination()
    env = BernoulliBandit([0.2, 0.8, 0.5])
    draws = Draws(SeedTree(0), np.arange(50))
    env.reset(draws, 20_000)
    learner.reset(env.spec(), draws.child("learner"))
    left = np.full(50, 20_000)
    while left.any():
        arms, counts = learner.act(None)
        counts = np.minimum(counts, left)
        assert (learner.active[np.arange(50), arms] | (counts == 0)).all()
        feedback = env.step(arms, counts)
        feedback.count = counts
        learner.update(feedback)
        left = left - counts
    assert learner.active[:, 1].all()
    assert learner.active.sum() == 50
    # active arms were pulled alike until one was dropped: no dropped arm more often than the last
    assert (env.pulls.argmax(1) == 1).all()


def test_ucb1_on_the_reference_instance():
    """Mean regret 407.3 +- 2.7 (100 runs) was measured by another program."""
    found = simulate([UCB1()], BernoulliBandit(MEANS), 10_000, reps=200)
    mean, sem = found.mean("UCB1")[-1], found.sem("UCB1")[-1]
    assert abs(mean - 407.3) < 4 * math.hypot(sem, 2.7)
    gaps = 0.9 - np.array(MEANS[:-1])
    # Theorem 1 of Auer et al.: 8 sum ln(T)/gap + (1 + pi^2/3) sum gap
    assert mean < 8 * math.log(10_000) * (1 / gaps).sum() + (1 + math.pi**2 / 3) * gaps.sum()


def test_the_usual_order_of_the_learners():
    learners = [
        UCB1(), KLUCB(), ThompsonSampling(), MOSS(), EpsilonGreedy(2.0), UniformRandom(), SuccessiveElimination(),
    ]  # fmt: skip
    env = BernoulliBandit([0.3, 0.4, 0.5, 0.7])
    found = simulate(learners, env, 3000, reps=60)
    mean = {name: found.mean(name)[-1] for name in found.names}
    assert mean["ThompsonSampling"] < mean["KLUCB"] < mean["UCB1"] < mean["UniformRandom"]
    assert mean["MOSS"] < mean["UCB1"]
    assert found.difference_to("KLUCB", "UCB1").low > 0
    assert mean["UniformRandom"] == pytest.approx(3000 * 0.225, rel=0.05)
    # logarithmic, not linear
    assert found.slope("KLUCB", 300, 3000).high < 0.6


@pytest.mark.parametrize("learner", [UCB1(), KLUCB(), ThompsonSampling(), MOSS(), EpsilonGreedy(), ExploreThenCommit()])
def test_learners_scale_with_the_noise(learner):
    """Means and noise times ten: the same choices, regret times ten."""
    small, large = (
        simulate({"x": learner}, GaussianBandit(np.array([0.0, 0.5, 1.0]) * c, sigma=c), 400, reps=5).of("x")
        for c in (1.0, 10.0)
    )
    np.testing.assert_allclose(large, 10 * small, rtol=1e-9, atol=1e-6)


def test_exp3_keeps_its_bound_where_ucb1_is_led_astray():
    """Losses against a deterministic learner: the arm that UCB1 is about to pull loses."""
    horizon, arms = 2000, 3
    learner = UCB1()
    learner.reset(Spec("reward", 1, horizon, arms), Draws(SeedTree(0), [0]))
    losses = np.zeros((horizon, arms))
    for t in range(horizon):
        (arm,) = learner.act(None)
        losses[t, arm] = 1.0
        learner.update(Feedback(reward=np.zeros(1)))
    found = simulate([UCB1(), Exp3()], AdversarialBandit(losses), horizon, reps=40)
    assert found.mean("UCB1")[-1] > 0.6 * horizon
    # 2 sqrt(T K ln K): Bubeck and Cesa-Bianchi 2012, theorem 3.1, for rates that need no horizon
    assert found.mean("Exp3")[-1] < 2 * math.sqrt(horizon * arms * math.log(arms))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UCB1(-1.0), r"exploration must be in \[0, inf\), got -1.0"),
        (lambda: EpsilonGreedy(epsilon=1.5), r"epsilon must be in \[0, 1\]"),
        (lambda: SuccessiveElimination(growth=1.0), r"growth must be in \(1, inf\)"),
        (lambda: ExploreThenCommit(0), "explore must be at least 1"),
        (lambda: Exp3(rate=0.0), r"rate must be in \(0, inf\)"),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()
