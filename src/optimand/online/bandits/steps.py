"""How the learners of this room choose and learn, compiled, a row for each repetition.

The state of an index learner is its *score*: pulls that were told of, sums of rewards, means, roots of one over the
pulls, and how often each arm was chosen. A learner that pulls one arm at a time is a *rule* with two numbers and a
flag; the same function chooses for one row in the step of all repetitions and in the loop with an environment, so both
give the same. Importing this module imports Numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..engine.streams import beta_at, normal_at, start_of, uniform_at
from .pulls import pull

UCB, KLUCB, MOSS, THOMPSON, GREEDY, RANDOM = range(6)
# Places in a score, indexed in place as those of a arm_state are.
TRIED, SUMS, MEANS, ROOTS, CHOSEN = range(5)


@compiled
def untried(score: Any, r: Any) -> Any:
    """An arm of which nothing is known, the one chosen least often; -1 if there is none."""
    found = -1
    for arm in range(score[TRIED].shape[1]):
        if score[TRIED][r, arm] == 0 and (found < 0 or score[CHOSEN][r, arm] < score[CHOSEN][r, found]):
            found = arm
    return found


@compiled
def note(score: Any, r: Any, arm: Any, reward: Any, count: Any) -> Any:
    """Add the mean of ``count`` rewards of an arm."""
    if count <= 0:
        return
    tried = score[TRIED][r, arm] + count
    total = score[SUMS][r, arm] + reward * count
    score[TRIED][r, arm] = tried
    score[SUMS][r, arm] = total
    score[MEANS][r, arm] = total / tried
    score[ROOTS][r, arm] = 1.0 / math.sqrt(tried)


@compiled
def learn(score: Any, arms: Any, rewards: Any, counts: Any) -> Any:
    """:func:`note` in every row."""
    for r in range(len(arms)):
        note(score, r, arms[r], rewards[r], counts[r])


@compiled(forceinline=True)
def ucb_row(score: Any, r: Any, width: Any) -> Any:
    """The arm with the largest ``mean + width / sqrt(pulls)``."""
    found, most = 0, -math.inf
    for arm in range(score[MEANS].shape[1]):
        value = score[MEANS][r, arm] + width * score[ROOTS][r, arm]
        if value > most:
            found, most = arm, value
    if most == math.inf or width == 0.0:
        # An arm of which nothing is known has an infinite root, of which a width of 0 makes no number.
        arm = untried(score, r)
        if arm >= 0:
            return arm
    return found


@compiled
def bernoulli_upper(mean: Any, level: Any) -> Any:
    """The largest q with KL(mean, q) <= level for Bernoulli laws, by Newton's method on the convex side."""
    if mean >= 1.0:
        return 1.0
    if mean <= 0.0:
        return 1.0 - math.exp(-level)
    low, high = mean, min(1.0, mean + math.sqrt(level / 2.0))  # Pinsker
    q = high if high < 1.0 else 0.5 * (1.0 + mean)
    for _ in range(60):
        gap = bernoulli_divergence(mean, q) - level
        if gap > 0.0:
            high = q
        else:
            low = q
        following = q - gap * q * (1.0 - q) / (q - mean) if q > mean else high
        if following <= low or following >= high:
            following = 0.5 * (low + high)
        if abs(following - q) < 1e-10:
            return following
        q = following
    return q


@compiled
def bernoulli_divergence(p: Any, q: Any) -> Any:
    """KL(p, q) of Bernoulli laws, infinite where q excludes what p has."""
    found = 0.0
    if p > 0.0:
        if q <= 0.0:
            return math.inf
        found += p * math.log(p / q)
    if p < 1.0:
        if q >= 1.0:
            return math.inf
        found += (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
    return found


@compiled
def _upper(mean: Any, share: Any, bernoulli: Any, scale: Any) -> Any:
    return bernoulli_upper(mean, share) if bernoulli else mean + scale * math.sqrt(2.0 * share)


@compiled
def klucb_row(score: Any, r: Any, level: Any, scale: Any, bernoulli: Any) -> Any:
    """The arm with the largest mean that its rewards leave plausible."""
    # Most arms are ruled out by one divergence at the best upper end so far; a good arm comes first for that.
    lead = 0
    for a in range(1, score[TRIED].shape[1]):
        if score[MEANS][r, a] > score[MEANS][r, lead]:
            lead = a
    arm, most = lead, _upper(score[MEANS][r, lead], level / score[TRIED][r, lead], bernoulli, scale)
    for a in range(score[TRIED].shape[1]):
        share = level / score[TRIED][r, a]
        if a == lead or (bernoulli and bernoulli_divergence(score[MEANS][r, a], most) >= share):
            continue
        value = _upper(score[MEANS][r, a], share, bernoulli, scale)
        if value > most:
            arm, most = a, value
    return arm


@compiled
def moss_row(score: Any, r: Any, horizon: Any, scale: Any) -> Any:
    """The arm with the largest mean plus a width that vanishes as it uses up its share of the horizon."""
    arms, found, most = score[TRIED].shape[1], 0, -math.inf
    for a in range(arms):
        room = max(math.log(horizon / (arms * score[TRIED][r, a])), 0.0)
        value = score[MEANS][r, a] + scale * math.sqrt(room) * score[ROOTS][r, a]
        if value > most:
            found, most = a, value
    return found


@compiled
def thompson_row(score: Any, r: Any, first: Any, start: Any, scale: Any, beta: Any) -> Any:
    """The arm whose draw from the posterior is largest; draws are the stream's numbers from ``first`` on."""
    found, most = 0, -math.inf
    for a in range(score[TRIED].shape[1]):
        if beta:
            wins = min(max(score[SUMS][r, a], 0.0), float(score[TRIED][r, a]))
            value = beta_at(start, first + a, 1.0 + wins, 1.0 + score[TRIED][r, a] - wins)
        else:
            value = score[MEANS][r, a] + scale * score[ROOTS][r, a] * normal_at(start, first + a)
        if value > most:
            found, most = a, value
    return found


@compiled
def greedy_row(score: Any, r: Any, time: Any, start: Any, epsilon: Any) -> Any:
    """The best arm so far, but with probability ``epsilon`` any."""
    arms, found = score[MEANS].shape[1], 0
    if uniform_at(start, 2 * time) < epsilon:
        return min(int(uniform_at(start, 2 * time + 1) * arms), arms - 1)
    for a in range(1, arms):
        if score[MEANS][r, a] > score[MEANS][r, found]:
            found = a
    return found


@compiled
def value_at(rule: Any, time: Any, arms: Any, factor: Any, scale: Any, flag: Any) -> Any:
    """What all rows share in the round after ``time`` others: a width, a level, a probability."""
    if rule == UCB:
        return scale * math.sqrt(factor * math.log(time)) if time > 0 else 0.0
    if rule == KLUCB:
        log = math.log(max(time, 1))
        return log + (factor * math.log(log) if log > 1.0 else 0.0)
    if rule == GREEDY and flag:
        return min(1.0, factor * arms / (time + 1.0))
    return factor


@compiled
def choose_row(rule: Any, score: Any, r: Any, time: Any, value: Any, scale: Any, flag: Any, start: Any) -> Any:
    """The arm that a rule other than ``UCB`` takes in row ``r``, whose random numbers begin at ``start``."""
    arms = score[TRIED].shape[1]
    if rule == RANDOM:
        return min(int(uniform_at(start, time) * arms), arms - 1)
    if rule == THOMPSON and flag:  # the prior says something of arms that were not tried
        return thompson_row(score, r, time * arms, start, scale, True)
    arm = untried(score, r)
    if arm >= 0:
        return arm
    if rule == KLUCB:
        return klucb_row(score, r, value, scale, flag)
    if rule == MOSS:
        return moss_row(score, r, value, scale)
    if rule == THOMPSON:
        return thompson_row(score, r, time * arms, start, scale, False)
    return greedy_row(score, r, time, start, value)


@compiled
def choose(rule: Any, factor: Any, scale: Any, flag: Any, key: Any, reps: Any, score: Any, time: Any, out: Any) -> None:
    """The choice of a rule in every row."""
    value = value_at(rule, time, score[TRIED].shape[1], factor, scale, flag)
    for r in range(len(out)):
        if rule == UCB:  # here, because a function that calls either takes twice as long
            arm = ucb_row(score, r, value)
        else:
            arm = choose_row(rule, score, r, time, value, scale, flag, start_of(key, reps[r], 0))
        out[r] = arm
        score[CHOSEN][r, arm] += 1


@compiled
def play(
    rule: Any, factor: Any, scale: Any, flag: Any, key: Any, reps: Any, score: Any, time: Any, law: Any, arm_state: Any,
    rounds: Any, last: Any,
) -> None:  # fmt: skip
    """``rounds`` rounds of a rule with an environment in every row, after ``time`` others."""
    values = np.empty(rounds)
    for t in range(rounds):
        values[t] = value_at(rule, time + t, score[TRIED].shape[1], factor, scale, flag)
    for r in range(len(last)):
        start = start_of(key, reps[r], 0)
        for t in range(rounds):
            if rule == UCB:
                arm = ucb_row(score, r, values[t])
            else:
                arm = choose_row(rule, score, r, time + t, values[t], scale, flag, start)
            score[CHOSEN][r, arm] += 1
            note(score, r, arm, pull(law, arm_state, r, arm), 1)
            last[r] = arm


@compiled
def exp3_choose(losses: Any, key: Any, reps: Any, time: Any, rate: Any, chances: Any, out: Any) -> Any:
    """An arm drawn from exponential weights; ``chances[r]`` is the probability that it had."""
    arms = losses.shape[1]
    for r in range(len(out)):
        least = losses[r, 0]
        for a in range(1, arms):
            least = min(least, losses[r, a])
        total = 0.0
        for a in range(arms):
            total += math.exp(-rate * (losses[r, a] - least))
        u, arm, reached = uniform_at(start_of(key, reps[r], 0), time), arms - 1, 0.0
        for a in range(arms):
            chance = math.exp(-rate * (losses[r, a] - least)) / total
            reached += chance
            if u < reached or a == arms - 1:
                arm, chances[r] = a, chance
                break
        out[r] = arm


@compiled
def eliminate(
    score: Any, active: Any, target: Any, pointer: Any, level: Any, growth: Any, arms: Any, counts: Any
) -> Any:
    """The next batch of successive elimination in every row.

    Active arms are pulled up to ``target[r]`` times in turn; then those whose upper end is below the best lower end are
    dropped, and the target grows. The last one gets all that is left.
    """
    tried, _, means, _, _ = score
    for r in range(len(arms)):
        while True:
            left = 0
            for a in range(tried.shape[1]):
                left += active[r, a]
            while pointer[r] < tried.shape[1] and not (
                active[r, pointer[r]] and (left == 1 or tried[r, pointer[r]] < target[r])
            ):
                pointer[r] += 1
            if pointer[r] < tried.shape[1]:
                arms[r] = pointer[r]
                counts[r] = np.int64(1) << 62 if left == 1 else target[r] - tried[r, pointer[r]]
                break
            width = level / math.sqrt(target[r])
            most = -math.inf
            for a in range(tried.shape[1]):
                if active[r, a]:
                    most = max(most, means[r, a])
            for a in range(tried.shape[1]):
                if active[r, a] and means[r, a] + width < most - width:
                    active[r, a] = False
            target[r] = max(target[r] + 1, math.ceil(target[r] * growth))
            pointer[r] = 0
