"""How linear learners choose and learn, compiled, a row for each repetition.

The state of a row is that of ridge regression, carried to all arms: predictions, squared widths, the inverse matrix,
its square root (for Thompson sampling) and the logarithm of the determinant. The functions for one row serve both the
step of all repetitions and the loops that are compiled with an environment. Features come transposed, ``(d, K)``, so
that inner loops run along the arms. Importing this module imports Numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..bandits.pulls import pull
from ..engine.streams import normal_at, start_of


@compiled
def _spread(features: Any, direction: Any, along: Any) -> None:
    """Products of all arms with a direction; four coordinates at a time, so that ``along`` is read less often."""
    d, K = features.shape
    along[:] = 0.0
    first = d % 4
    for j in range(first):
        row = features[j]
        for a in range(K):
            along[a] += direction[j] * row[a]
    for j in range(first, d, 4):
        one, two, three, four = features[j], features[j + 1], features[j + 2], features[j + 3]
        p, q, r, s = direction[j], direction[j + 1], direction[j + 2], direction[j + 3]
        for a in range(K):
            along[a] += (p * one[a] + q * two[a]) + (r * three[a] + s * four[a])


@compiled
def largest(values: Any) -> int:
    """Index of the largest value, the first of several."""
    found, most = 0, -math.inf
    for a in range(len(values)):
        if values[a] > most:
            found, most = a, values[a]
    return found


@compiled
def learn_row(features: Any, state: Any, r: int, arm: int, reward: float, w: Any, u: Any, along: Any) -> None:
    """One step of recursive least squares."""
    predicted, squared, inverse, root, log_det = state
    d = features.shape[0]
    w[:] = 0.0
    for k in range(d):
        for j in range(d):
            w[j] += inverse[r, k, j] * features[k, arm]
    above = 1.0
    for j in range(d):
        above += w[j] * features[j, arm]
    _spread(features, w, along)
    surprise, share = (reward - predicted[r, arm]) / above, 1.0 / above
    means, forms = predicted[r], squared[r]
    for a in range(features.shape[1]):
        means[a] += along[a] * surprise
        forms[a] = max(forms[a] - along[a] * along[a] * share, 0.0)
    if root.shape[0] > 0:
        # V^{-1} = root root', and I - u u' / (1 + |u|²) has the square root I - c u u' for u = root' phi.
        u[:] = 0.0
        for k in range(d):
            for j in range(d):
                u[j] += root[r, k, j] * features[k, arm]
        c = (1.0 - 1.0 / math.sqrt(above)) / max(above - 1.0, 1e-300)
        for k in range(d):
            for j in range(d):
                root[r, k, j] -= c * w[k] * u[j]
    for k in range(d):
        for j in range(d):
            inverse[r, k, j] -= w[k] * w[j] / above
    log_det[r] += math.log(above)


@compiled
def ucb_row(state: Any, r: int, time: int, width: Any, along: Any) -> int:
    """The arm of the largest upper bound; ``width`` is (fixed part, factor, logarithm, factor of √time)."""
    predicted, squared, _, _, log_det = state
    beta = width[0] + width[1] * math.sqrt(log_det[r] + width[2]) + width[3] * math.sqrt(time)
    means, forms = predicted[r], squared[r]
    # Roots vectorize, the search for the largest does not.
    for a in range(len(means)):
        along[a] = means[a] + beta * math.sqrt(forms[a])
    return largest(along)


@compiled
def thompson_row(
    features: Any, state: Any, r: int, time: int, width: Any, start: Any, index: int, w: Any, along: Any
) -> int:
    """The best arm of a parameter drawn around the estimate, from the normal numbers at ``index`` on."""
    predicted, root = state[0], state[3]
    d = features.shape[0]
    w[:] = 0.0
    for j in range(d):
        z = normal_at(start, index + j)
        for k in range(d):
            w[k] += root[r, k, j] * z
    _spread(features, w, along)
    spread = width[1] + width[3] * math.sqrt(time)
    means = predicted[r]
    for a in range(len(means)):
        along[a] = means[a] + spread * along[a]
    return largest(along)


@compiled
def learn(features: Any, state: Any, arms: Any, rewards: Any) -> None:
    """:func:`learn_row` in every row."""
    d, K = features.shape
    w, u, along = np.empty(d), np.empty(d), np.empty(K)
    for r in range(len(arms)):
        learn_row(features, state, r, arms[r], rewards[r], w, u, along)


@compiled
def choose(
    thompson: bool, features: Any, state: Any, time: int, width: Any, key: Any, reps: Any, stream: int, index: int,
    arms: Any,
) -> None:  # fmt: skip
    """An arm in every row, by :func:`thompson_row` or :func:`ucb_row`."""
    w, along = np.empty(features.shape[0]), np.empty(features.shape[1])
    for r in range(len(arms)):
        if thompson:
            start = start_of(key, reps[r], stream)
            arms[r] = thompson_row(features, state, r, time, width, start, index, w, along)
        else:
            arms[r] = ucb_row(state, r, time, width, along)


@compiled
def play(
    thompson: bool, law: int, arm_state: Any, features: Any, state: Any, time: int, rounds: int, width: Any, key: Any,
    reps: Any, stream: int, index: int, arms: Any,
) -> None:  # fmt: skip
    """``rounds`` rounds in every row with an environment; ``arms`` are the last ones pulled."""
    d, K = features.shape
    w, u, along = np.empty(d), np.empty(d), np.empty(K)
    for r in range(len(arms)):
        start = start_of(key, reps[r], stream)
        for t in range(rounds):
            if thompson:
                arm = thompson_row(features, state, r, time + t, width, start, index + t * d, w, along)
            else:
                arm = ucb_row(state, r, time + t, width, along)
            arms[r] = arm
            learn_row(features, state, r, arm, pull(law, arm_state, r, arm), w, u, along)
