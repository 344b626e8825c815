"""Compiled loops over supports and actions; nothing of the size of actions times hypotheses is ever formed.

For one support the greedy actions of all points of a net are found in rounds, actions that are long on the support
first. Since ``<x, v>`` is at most ``|x| |v|``, the values found so far say how long an action must be to matter; once
no shorter one can, the rest is never scored. On random features that is all but a few percent of the actions.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..engine.streams import normal_at, start_of

# Squared lengths, as shares of the largest, from which actions are scored in the first round, the factor from one round
# to the next, and the share below which all that could matter are scored at once.
_FIRST, _NEXT, _LAST = 0.6, 0.8, 0.1


@compiled
def next_support(support: Any, d: int) -> bool:
    """Advance to the next combination in lexicographic order; False after the last."""
    s = len(support)
    j = s - 1
    while j >= 0 and support[j] == d - s + j:
        j -= 1
    if j < 0:
        return False
    support[j] += 1
    for i in range(j + 1, s):
        support[i] = support[i - 1] + 1
    return True


@compiled
def _score_all(columns: Any, support: Any, i: int, netT: Any, values: Any) -> None:
    # Values of action i under all points of the net: contiguous in the net, so that it is vectorised.
    K = netT.shape[1]
    for k in range(K):
        values[k] = columns[support[0], i] * netT[0, k]
    for j in range(1, len(support)):
        x = columns[support[j], i]
        for k in range(K):
            values[k] += x * netT[j, k]


@compiled
def greedy_of_support(
    columns: Any, support: Any, net: Any, netT: Any, lengths: Any, squares: Any, values: Any, best: Any, arg: Any
) -> None:
    """Greedy actions of all points of the net on one support; ties go to the smallest index.

    Args:
        columns: the features, transposed, shape ``(d, N)``.
        support: coordinates, shape ``(s,)``.
        net, netT: points of the net and their transpose.
        lengths: Euclidean lengths of the points.
        squares, values: room for ``N`` and for ``K`` numbers.
        best, arg: filled with the largest values and the actions that reach them, shape ``(K,)``.
    """
    N, K = columns.shape[1], net.shape[0]
    first = columns[support[0]]
    for i in range(N):
        squares[i] = first[i] * first[i]
    for j in range(1, len(support)):
        column = columns[support[j]]
        for i in range(N):
            squares[i] += column[i] * column[i]
    longest = 0.0
    for i in range(N):
        longest = max(longest, squares[i])
    best[:] = -np.inf
    arg[:] = 0
    above, bar = np.inf, _FIRST * longest
    while True:
        for i in range(N):
            if squares[i] >= bar and squares[i] < above:
                _score_all(columns, support, i, netT, values)
                for k in range(K):
                    if values[k] > best[k] or (values[k] == best[k] and i < arg[k]):
                        best[k] = values[k]
                        arg[k] = i
        # An action that reaches best[k] is at least best[k]/|v| long; the margin is for rounding.
        floor = np.inf
        for k in range(K):
            if lengths[k] > 0.0:
                need = max(best[k], 0.0) / lengths[k] * (1.0 - 1e-12)
                floor = min(floor, need * need)
        if floor >= bar or bar == 0.0:
            break
        above, bar = bar, max(floor, _NEXT * bar) if bar > _LAST * longest else floor
    for k in range(K):
        if lengths[k] == 0.0:  # all actions are alike to the origin, and most were not scored
            arg[k] = 0


@compiled
def greedy(columns: Any, net: Any, lengths: Any, s: int, chosen: Any, actions: Any, predicted: Any) -> None:
    """Mark in ``chosen`` (N,) the greedy actions of all supports and points of the net.

    ``actions`` and ``predicted`` (B, K), if they have rows, take the greedy action of each hypothesis and its value.
    """
    d, N = columns.shape
    K = net.shape[0]
    netT = np.ascontiguousarray(net.T)
    squares, values, best, arg = np.empty(N), np.empty(K), np.empty(K), np.empty(K, np.int64)
    support = np.arange(s)
    b = 0
    while True:
        greedy_of_support(columns, support, net, netT, lengths, squares, values, best, arg)
        for k in range(K):
            chosen[arg[k]] = True
        if len(actions):
            for k in range(K):
                actions[b, k] = arg[k]
                predicted[b, k] = best[k]
            b += 1
        if not next_support(support, d):
            break


@compiled
def eliminate(phi: Any, net: Any, s: int, live: Any, observed: float, width: float, kept: Any) -> None:
    """Mark in ``kept`` which of the hypotheses ``live`` predict ``observed`` for the action ``phi`` within ``width``.

    ``live`` holds rising numbers ``b K + k`` of supports in lexicographic order and points of the net.
    """
    d, K = len(phi), net.shape[0]
    support = np.arange(s)
    at = 0
    for h in range(len(live)):
        b, k = live[h] // K, live[h] % K
        while at < b:
            next_support(support, d)
            at += 1
        value = 0.0
        for j in range(s):
            value += phi[support[j]] * net[k, j]
        kept[h] = abs(observed - value) <= width


@compiled
def best_open(live: Any, actions: Any, predicted: Any, asked: Any) -> int:
    """The first of the ``live`` hypotheses of largest prediction whose action is not ``asked`` yet; -1 for none."""
    found, value = -1, -np.inf
    for h in live:
        if predicted[h] > value and not asked[actions[h]]:
            found, value = h, predicted[h]
    return found


@compiled
def cover(columns: Any, radius: float, s: int, chosen: Any, centres: Any) -> tuple[int, int]:
    """Choose centres such that on every support each action is within ``radius`` of one.

    Centres that earlier supports chose are used first, which leaves the cover greedy and makes it far smaller.

    Args:
        columns: the features, transposed, shape ``(d, N)``.
        radius: in Euclidean length on the support.
        s: size of the supports.
        chosen: marks the centres, shape ``(N,)``; all False before.
        centres: room for ``N`` indices, in the order they were chosen.

    Returns:
        Centres in all, and cells in all: pairs of a support and a centre that covers an action there.
    """
    d, N = columns.shape
    square = radius * radius
    x = np.empty((N, s))  # the centres on the support
    used = np.empty(N, np.int64)
    used[:] = -1
    support = np.arange(s)
    count, cells, number = 0, 0, 0
    while True:
        for c in range(count):
            for j in range(s):
                x[c, j] = columns[support[j], centres[c]]
        for i in range(N):
            found = -1
            for c in range(count):
                distance = 0.0
                for j in range(s):
                    gap = columns[support[j], i] - x[c, j]
                    distance += gap * gap
                if distance <= square:
                    found = c
                    break
            if found < 0:
                found = count
                centres[count] = i
                chosen[i] = True
                for j in range(s):
                    x[count, j] = columns[support[j], i]
                count += 1
            if used[found] != number:
                used[found] = number
                cells += 1
        number += 1
        if not next_support(support, d):
            break
    return count, cells


@compiled
def next_normals(key: Any, rep: Any, indices: Any, pulls: Any, out: Any) -> None:
    """Standard normal numbers, each a function of the action and of how often it was pulled, which is counted."""
    for i in range(len(indices)):
        a = indices[i]
        out[i] = normal_at(start_of(key, rep, a), pulls[a])
        pulls[a] += 1
