"""Compiled loops of the packing solvers: first-fit and best-fit placement, local search over orders.

A decoder puts intervals one by one at the lowest free offset (first fit) or into the tightest hole (best fit). It keeps
the placed intervals sorted by offset, so that one sweep over those that overlap in time finds the holes. Every packing
whose intervals rest on the ground or on another one is the first-fit result of some order, so a search over orders
loses no optimum.
"""

# ruff: noqa: NPY002 (the random numbers of compiled code, seeded on entry and apart from those of NumPy)
from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled


@compiled
def place(
    order: Any,
    start: int,
    lower: Any,
    upper: Any,
    size: Any,
    offset: Any,
    placed: Any,
    goal: int,
    limit: float,
    best: bool,
) -> tuple[int, float]:
    """Place ``order[start:]``; the first ``start`` entries of ``placed`` hold the others, sorted by offset.

    Args:
        goal: height above which the top of an interval counts as excess.
        limit: stop with excess infinity once the total excess is above it.
        best: best fit instead of first fit.

    Returns:
        The peak and the total excess over ``goal`` of the intervals that were placed now.
    """
    count, peak, excess = start, 0, 0.0
    for t in range(start, order.size):
        b = order[t]
        need, low, up = size[b], lower[b], upper[b]
        top, found, hole = 0, -1, np.int64(1) << 62
        for k in range(count):
            c = placed[k]
            if lower[c] < up and low < upper[c]:
                room = offset[c] - top
                if room >= need:
                    if not best:
                        found = top
                        break
                    if room < hole:
                        hole, found = room, top
                end = offset[c] + size[c]
                if end > top:
                    top = end
        if found < 0:
            found = top
        offset[b] = found
        end = found + need
        if end > peak:
            peak = end
        if end > goal:
            excess += end - goal
            if excess > limit:
                return peak, np.inf
        k = count
        while k > 0 and offset[placed[k - 1]] > found:
            placed[k] = placed[k - 1]
            k -= 1
        placed[k] = b
        count += 1
    return peak, excess


@compiled
def _shift(order: Any, i: int, j: int) -> None:
    """Take the entry at ``i`` out and put it at ``j``."""
    b = order[i]
    if j < i:
        for k in range(i, j, -1):
            order[k] = order[k - 1]
    else:
        for k in range(i, j):
            order[k] = order[k + 1]
    order[j] = b


@compiled
def _change(order: Any, tops: Any, goal: int, lower: Any, upper: Any) -> int:
    """One random move of an order, mostly of an interval that ends above ``goal``; the first place that changed."""
    n = order.size
    i = np.random.randint(n)
    if np.random.random() < 0.7:
        count = 0
        for k in range(n):
            if tops[order[k]] > goal:
                count += 1
                if np.random.randint(count) == 0:
                    i = k
        if i == 0:
            i = np.random.randint(1, n)
        j = np.random.randint(i)
        if np.random.random() < 0.5:  # in front of one that it competes with
            b = order[i]
            for _ in range(10):
                c = order[j]
                if lower[b] < upper[c] and lower[c] < upper[b]:
                    break
                j = np.random.randint(i)
    else:
        j = np.random.randint(n)
    if np.random.random() < 0.7:
        _shift(order, i, j)
    else:
        order[i], order[j] = order[j], order[i]
    return min(i, j)


@compiled
def search_orders(
    order: Any, lower: Any, upper: Any, size: Any, goal: int, tries: int, seed: int, slack: float, state: Any
) -> tuple[int, Any]:
    """Local search over orders with first fit: ``tries`` decodes, ties accepted; keeps ``order`` at the current one.

    The measure is the total excess over ``goal``, which tells more than the peak alone: it falls as soon as one of
    several towers falls. A change moves one to three intervals; the decode starts at the first place that changed and
    ends as soon as the excess is above what would be accepted.

    Args:
        slack: a try is accepted up to ``1 + slack * u`` times the current excess, u uniform in [0, 1).
        state: int64 (n,), offsets of the best packing, written.

    Returns:
        The best peak and its order.
    """
    np.random.seed(seed)
    n = order.size
    offset, placed = np.zeros(n, np.int64), np.zeros(n, np.int64)
    peak, excess = place(order, 0, lower, upper, size, offset, placed, goal, np.inf, False)
    best, best_order = peak, order.copy()
    state[:] = offset
    sorted_now, tops, position = placed.copy(), offset + size, np.zeros(n, np.int64)
    trial = order.copy()
    for k in range(n):
        position[order[k]] = k
    now = offset.copy()
    for _ in range(tries):
        if excess <= 0.0 or n < 2:
            break
        trial[:] = order
        first = _change(trial, tops, goal, lower, upper)
        while np.random.random() < 0.3:
            first = min(first, _change(trial, tops, goal, lower, upper))
        count, before = 0, 0.0
        for k in range(n):
            b = sorted_now[k]
            if position[b] < first:
                placed[count] = b
                count += 1
                offset[b] = now[b]
                if tops[b] > goal:
                    before += tops[b] - goal
        limit = excess * (1.0 + slack * np.random.random())
        _, added = place(trial, first, lower, upper, size, offset, placed, goal, limit - before, False)
        if before + added > limit:
            continue
        excess = before + added
        order[:] = trial
        now[:] = offset
        sorted_now[:] = placed
        peak = 0
        for k in range(n):
            position[order[k]] = k
            tops[k] = now[k] + size[k]
            if tops[k] > peak:
                peak = tops[k]
        if peak < best:
            best = peak
            best_order[:] = order
            state[:] = now
    return best, best_order
