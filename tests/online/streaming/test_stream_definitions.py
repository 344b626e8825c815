"""Learners against their definitions, written out plainly: the same arm after the same trials on noisy streams."""

import math

import pytest

from optimand.online.streaming import (
    KingEpsBest,
    NaiveEpsBest,
    StreamingBandit,
    TowerEpsBest,
    UniformExplore,
    mix_in,
    run_streaming,
    schedules,
)

LEARNERS = {
    "uniform": UniformExplore(),
    "naive": NaiveEpsBest(),
    "log": TowerEpsBest("log"),
    "loglog": TowerEpsBest("loglog"),
    "logstar": TowerEpsBest("logstar"),
}


class Purse:
    """Trials, as many as there are."""

    def __init__(self, T):
        self.T = self.left = T

    def pull(self, arm, n):
        n = min(n, self.left)
        self.left -= n
        return arm.pull(n) if n else None

    @property
    def spent(self):
        return self.T - self.left


def up(x):
    return max(1, math.ceil(x - 1e-9 * max(1.0, x)))


def tower_as_written(stream, K, T, plan):
    """The tower as a recursion: number of the arm chosen, and explored pulls."""
    purse, b, c, top = Purse(T), plan.pulls, plan.arms, plan.levels - 1
    champions, stored, count = {}, {}, [0] * plan.levels

    def process(arm, level, old):
        mean = purse.pull(arm, b[level])
        if mean is None and old is None:
            return  # no trial is left for an arm that arrives
        mean = old if mean is None else mean
        if level not in champions or mean > stored[level]:
            champions[level], stored[level] = arm, mean
        count[level] += 1
        if level < top and count[level] >= c[level]:
            count[level] = 0
            process(champions.pop(level), level + 1, stored[level])

    for arm in stream:
        process(arm, 0, None)
    order = sorted(champions)
    if len(order) > 1:
        for level in order:
            fresh = purse.pull(champions[level], up(4 * (T / K) ** (2 / 3)))
            stored[level] = stored[level] if fresh is None else fresh
    return champions[max(order, key=lambda level: stored[level])].number, purse.spent


def king_as_written(stream, K, T):
    """The king with a budget: number of the arm chosen, and explored pulls."""
    purse, unit, eps = Purse(T), (T / K) ** (2 / 3), (K / T) ** (1 / 3)
    first, income = up(1.2 * unit), up(unit)
    cap = max(1, math.floor(10 * math.log(math.log(K)))) if K > 2 else 1
    king = next(stream)
    estimate, budget = purse.pull(king, first), first
    for arm in stream:
        if purse.left == 0:
            continue
        budget += income
        for level in range(cap + 1):
            pulls = up(unit * 2**level)
            if budget < pulls or level == cap:
                mean = purse.pull(arm, first)
                estimate = estimate if mean is None else max(estimate, mean)
                king, budget = arm, first
                break
            mean = purse.pull(arm, pulls)
            budget -= pulls
            if mean is None or mean <= estimate - eps / 5:
                break
    return king.number, purse.spent


SIZES = [(K, T * K) for K in (2, 3, 17, 120) for T in (1, 3, 60, 1000, 10**9)]


@pytest.mark.parametrize("name", list(LEARNERS))
def test_towers_do_what_their_definition_says(name):
    for K, T in SIZES:
        env, plan = StreamingBandit(mix_in(K)), schedules(K, T)[name]
        for rep in range(4):
            found = run_streaming(LEARNERS[name], env, T, rep=rep)
            assert (found.arm, found.explored) == tower_as_written(env.open(T, rep=rep), K, T, plan), (K, T, rep)


def test_the_king_does_what_his_definition_says():
    for K, T in SIZES:
        env = StreamingBandit(mix_in(K))
        for rep in range(8):
            found = run_streaming(KingEpsBest(), env, T, rep=rep)
            assert (found.arm, found.explored) == king_as_written(env.open(T, rep=rep), K, T), (K, T, rep)
