"""Runs of every family of this room that are cut off go on from their checkpoint and end as unbroken ones."""

import numpy as np
import pytest
from tests.running import cut_and_resumed, entry

import optimand.online.bandits.methods
import optimand.online.convex.methods
import optimand.online.linear_bandits.methods
import optimand.online.linear_bandits.regret_methods
import optimand.online.streaming.methods  # noqa: F401 (these register them)
from optimand.online.bandits.family import adopt as adopt_bandit
from optimand.online.bandits.problems import bernoulli_bandit, changing_bandit, digits_models, gaussian_bandit
from optimand.online.convex.family import adopt as adopt_convex
from optimand.online.convex.problems import random_order_regression, sea_iid, sea_segments
from optimand.online.linear_bandits.family import adopt as adopt_search
from optimand.online.linear_bandits.problems import good_features, sparse_actions
from optimand.online.linear_bandits.regret_problems import misspecified_bandit
from optimand.online.streaming.family import adopt as adopt_stream
from optimand.online.streaming.problems import stream_hard, stream_mix_in


class Arms:
    """The best mean so far, ties broken at random."""

    def __init__(self, arms, *, rng):
        self.sums, self.pulls, self.rng = [1.0] * arms, [1] * arms, rng

    def select(self):
        return max(range(len(self.sums)), key=lambda a: self.sums[a] / self.pulls[a] + 1e-3 * self.rng.random())

    def update(self, arm, reward):
        self.sums[arm] += reward
        self.pulls[arm] += 1


class Points:
    """Follows gradients."""

    def __init__(self, spec):
        self.x, self.domain = np.zeros(spec.actions), spec.domain

    def predict(self):
        return self.x

    def update(self, grad):
        self.x = self.domain.project(self.x - 0.1 * grad)


class Thrifty:
    """Pulls every arm of a stream five times and keeps the best."""

    def start(self, K, T):
        self.arm, self.mean = None, -1.0

    def observe_arm(self, arm):
        mean = arm.pull(5)
        if mean > self.mean:
            if self.arm is not None:
                self.arm.release()
            self.arm, self.mean = arm, mean
        else:
            arm.release()

    def commit(self):
        return self.arm


def halves(task):
    """Yields the best of more and more actions."""
    asked = task.rng.permutation(task.N)
    rewards = np.empty(0)
    for first in range(0, task.N, 10):
        rewards = np.append(rewards, task.query(asked[first : first + 10]))
        yield asked[rewards.argmax()]


CASES = {
    "ucb1": (lambda: gaussian_bandit(arms=3, reps=5), 60),
    "exp3": (lambda: bernoulli_bandit(arms=3, reps=5), 60),
    "successive-elimination": (lambda: gaussian_bandit(arms=3, reps=5), 60),
    "explore-then-commit": (lambda: digits_models(arms=3, reps=5), 60),
    "ucb1-restarted": (lambda: changing_bandit(arms=3, reps=5), 60),
    "lin-ts": (lambda: misspecified_bandit(arms=20, d=4, reps=4), 60),
    "phased-elimination": (lambda: misspecified_bandit(arms=20, d=4, reps=4), 300),
    "sparse-net-commit": (lambda: misspecified_bandit(arms=20, d=4, reps=4), 300),
    "optimistic-omd": (lambda: sea_segments(d=3, reps=3), 60),
    "optimistic-omd-implicit": (lambda: random_order_regression(loss="absolute", reps=2), 100),
    "dynamic-omd": (lambda: sea_segments(d=3, reps=3), 60),
    "ons": (lambda: random_order_regression(reps=2), 100),
    "sparse-net": (lambda: sparse_actions(d=5, N=200, instances=4), 100),
    "omp": (lambda: sparse_actions(d=5, N=200, instances=4, noise=0.1), 100),
    "lasso": (lambda: good_features(d=10, N=100, s=2, instances=3), 60),
    "king": (lambda: stream_mix_in(K=20, reps=4), 8000),
    "tower-loglog": (lambda: stream_hard(K=20, reps=4), 8000),
    "anytime-loglog": (lambda: stream_mix_in(K=120, reps=2), 30_000),
    "users' arms": (lambda: bernoulli_bandit(arms=3, reps=3), 60),
    "users' points": (lambda: sea_iid(d=3, reps=2), 60),
    "users' stream": (lambda: stream_mix_in(K=20, reps=3), 8000),
    "users' search": (lambda: sparse_actions(d=5, N=200, instances=3), 100),
}
USERS = {
    "users' arms": lambda: adopt_bandit("arms", Arms),
    "users' points": lambda: adopt_convex("points", Points),
    "users' stream": lambda: adopt_stream("thrifty", Thrifty),
    "users' search": lambda: adopt_search("halves", halves),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_is_cut_off_ends_as_an_unbroken_one(name, tmp_path):
    make, budget = CASES[name]
    problem = make()
    method = USERS[name]() if name in USERS else entry(name)
    # On the second split; on the first, too, once for each run loop, which knows nothing of its methods.
    for cut in (0.2, 0.7) if name in ("ucb1", "sparse-net") else (0.7,):
        _, _, after = cut_and_resumed(problem, method, budget, tmp_path / f"{cut}", cut)
        assert after[0] > 0.15  # it did not start afresh
