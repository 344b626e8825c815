"""Pulling arms, compiled: what an arm gives is a function of the repetition, the arm and the number of the pull.

The state of an environment is a tuple of arrays, its *arm state*, that all functions here share; see
:class:`~optimand.online.bandits.environments.StochasticBandit` for what each is. Importing this module imports Numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..engine.streams import binomial_at, normal_at, start_of, uniform_at

BERNOULLI, GAUSSIAN, TABLE = 0, 1, 2
# Places in the tuple. Giving an array a name counts a reference to it, for each pull of ten arrays, which takes longer
# than the pull; indexing the tuple in place does not.
STARTS, MEANS, BEST, ENDS, SIGMA, OUTCOMES, PULLS, TIME, LOST, EARNED = range(10)
# Batches up to this size are sums of single pulls, so that learners that batch meet the noise of those that do not.
SINGLE = 64
# Where a segment ends that does not end.
NEVER = int(np.iinfo(np.int64).max)


@compiled
def tape_starts(key: Any, reps: Any, arms: Any) -> Any:
    """Where the stream of every arm begins, shape (rows, arms)."""
    found = np.empty((len(reps), arms), dtype=np.uint64)
    for r in range(len(reps)):
        for arm in range(arms):
            found[r, arm] = start_of(key, reps[r], arm)
    return found


@compiled(inline="always")
def draw(law: Any, start: Any, index: Any, mean: Any, sigma: Any, table: Any, arm: Any) -> Any:
    """The reward of pull ``index`` of an arm whose stream begins at ``start``."""
    if law == BERNOULLI:
        return 1.0 if uniform_at(start, index) < mean else 0.0
    if law == GAUSSIAN:
        return mean + sigma * normal_at(start, index)
    return table[arm, int(uniform_at(start, index) * table.shape[1])]


@compiled
def pull(law: Any, arm_state: Any, r: Any, arm: Any) -> Any:
    """One pull of ``arm`` in row ``r``: the reward, with all that is counted."""
    row = r if arm_state[MEANS].shape[0] > 1 else 0
    segment, now, index = 0, arm_state[TIME][r], arm_state[PULLS][r, arm]
    while now >= arm_state[ENDS][segment]:
        segment += 1
    mean = arm_state[MEANS][row, segment, arm]
    reward = draw(law, arm_state[STARTS][r, arm], index, mean, arm_state[SIGMA][arm], arm_state[OUTCOMES], arm)
    arm_state[PULLS][r, arm] = index + 1
    arm_state[TIME][r] = now + 1
    arm_state[LOST][r] += arm_state[BEST][row, segment] - mean
    arm_state[EARNED][r] += reward
    return reward


@compiled
def step(law: Any, arm_state: Any, actions: Any, rewards: Any) -> Any:
    """Pull an arm in every row; the first row whose action is no arm, or -1."""
    arms = arm_state[MEANS].shape[2]
    for r in range(len(actions)):
        if actions[r] < 0 or actions[r] >= arms:
            return r
    for r in range(len(actions)):
        rewards[r] = pull(law, arm_state, r, actions[r])
    return -1


@compiled
def step_batches(law: Any, arm_state: Any, actions: Any, counts: Any, rewards: Any) -> Any:
    """Pull arms ``counts[r]`` times, where means do not change; rewards are means, 0 where the count is 0."""
    starts, means, best, _, sigma, _, pulls, time, lost, earned = arm_state
    arms = means.shape[2]
    for r in range(len(actions)):
        if actions[r] < 0 or actions[r] >= arms:
            return r
    for r in range(len(actions)):
        arm, count, total = actions[r], counts[r], 0.0
        if law == TABLE or count <= SINGLE:
            for _ in range(count):
                total += pull(law, arm_state, r, arm)
            rewards[r] = total / count if count > 0 else 0.0
            continue
        row = r if means.shape[0] > 1 else 0
        mean, index = means[row, 0, arm], pulls[r, arm]
        start = starts[r, arm]
        if law == BERNOULLI:
            total = binomial_at(start, index, count, mean)
        else:
            total = count * mean + sigma[arm] * math.sqrt(count) * normal_at(start, index)
        pulls[r, arm] = index + count
        time[r] += count
        lost[r] += count * (best[row, 0] - mean)
        earned[r] += total
        rewards[r] = total / count
    return -1


@compiled
def advance_tape(law: Any, arm_state: Any, tape: Any, seen: Any) -> Any:
    """Add to ``tape`` (rows, arms) what each arm would have given alone, from round ``seen[r]`` to the present one."""
    starts, means, _, ends, sigma, table, _, time, _, _ = arm_state
    for r in range(len(seen)):
        row = r if means.shape[0] > 1 else 0
        for arm in range(means.shape[2]):
            start, segment = starts[r, arm], 0
            for now in range(seen[r], time[r]):
                while now >= ends[segment]:
                    segment += 1
                tape[r, arm] += draw(law, start, now, means[row, segment, arm], sigma[arm], table, arm)
        seen[r] = time[r]


@compiled
def fixed_arm_totals(arm_state: Any, totals: Any) -> Any:
    """The sum of the means of every arm over the rounds so far, less that of the best arm of each segment."""
    _, means, best, ends, _, _, _, time, _, _ = arm_state
    for r in range(len(time)):
        row = r if means.shape[0] > 1 else 0
        for arm in range(means.shape[2]):
            begin, total = 0, 0.0
            for segment in range(len(ends)):
                length = min(ends[segment], time[r]) - begin
                if length <= 0:
                    break
                total += length * (means[row, segment, arm] - best[row, segment])
                begin = ends[segment]
            totals[r, arm] = total
