"""Greedy: the exact one by lazy evaluation (Minoux 1978), and the plain one that asks for every gain in every step.

Both choose the same elements: the largest gain, of equal ones the first in the order given. For a monotone submodular
function the value is at least ``1 - (1 - 1/k)^k > 1 - 1/e`` of the best one (Nemhauser, Wolsey, Fisher 1978).
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from ..objectives.base import Floats, Ids, Objective, State, kernels


def lazy_greedy(f: Objective, ids: Any, k: int, singletons: Any = None) -> tuple[Ids, Floats, int]:
    """Choose up to ``k`` ids by lazy greedy.

    Args:
        f: objective; the questions are added to its ``nfev``.
        ids: candidates, distinct.
        k: how many, at least 1; fewer are chosen where no further one gains anything.
        singletons: gains of all candidates given the empty set, in the order of ``ids``; asked for when None.

    Returns:
        The ids chosen, their gains, and how many gains were asked for.

    Example:
        >>> from optimand.combinatorial.submodular import Coverage
        >>> chosen, gains, calls = lazy_greedy(Coverage([[0, 1, 2], [0, 1], [3]]), [0, 1, 2], 2)
        >>> chosen.tolist(), gains.tolist(), calls
        ([0, 2], [3.0, 1.0], 5)
    """
    ids = np.ascontiguousarray(ids, dtype=np.int64)
    check_ids(f, ids)
    before = f.nfev
    bounds = f.gains(f.start(), ids) if singletons is None else np.array(singletons, dtype=np.float64)
    k = min(k, len(ids))
    if f.data is None:
        chosen, gains = _lazy_in_python(f, ids, bounds, k)
        return chosen, gains, f.nfev - before
    check_gains(f, ids, bounds)
    positions, found = np.empty(k, dtype=np.int64), np.empty(k)
    count, calls = kernels().lazy_greedy(f.data, f.start(k).arrays, ids, bounds, k, positions, found)
    f.nfev += calls
    if np.isnan(bounds).any():  # a NaN ends the compiled loop as if nothing were left
        check_gains(f, ids, bounds)
    return ids[positions[:count]], found[:count], f.nfev - before


def check_ids(f: Objective, ids: Ids) -> None:
    """IndexError unless all are ids of the ground set: compiled loops do not look."""
    if f.n is not None and len(ids) and (ids.min() < 0 or ids.max() >= f.n):
        raise IndexError(f"ids must be in [0, {f.n - 1}], got {ids.min()} to {ids.max()}")


def check_gains(f: Objective, ids: Ids, gains: Floats) -> None:
    """ValueError for the first gain that is not finite, or negative where the objective is monotone."""
    bad = np.flatnonzero(~(gains >= 0.0) | np.isinf(gains))
    for at in bad:
        f.check_gain(int(ids[at]), float(gains[at]))


def _lazy_in_python(f: Objective, ids: Ids, bounds: Floats, k: int) -> tuple[Ids, Floats]:
    """For functions that are not compiled."""
    check_gains(f, ids, bounds)
    state = f.start()
    heap = [(-float(bound), at, 0) for at, bound in enumerate(bounds)]
    heapq.heapify(heap)
    gains: list[float] = []
    while heap and state.size < k:
        bound, at, stamp = heap[0]
        i = int(ids[at])
        if stamp < state.size:
            heapq.heapreplace(heap, (-f.check_gain(i, f.gain(state, i)), at, state.size))
            continue
        if not -bound > 0.0:
            break
        heapq.heappop(heap)
        f.add(state, i, -bound)
        gains.append(-bound)
    return np.array(state.members, dtype=np.int64), np.array(gains)


def naive_greedy(f: Objective, ids: Any, k: int) -> tuple[Ids, Floats, int]:
    """Choose up to ``k`` ids by greedy that asks for the gain of every candidate left in every step.

    Args, returns: as :func:`lazy_greedy`.
    """
    left = np.ascontiguousarray(ids, dtype=np.int64)
    check_ids(f, left)
    before, state = f.nfev, f.start()
    gains: list[float] = []
    while len(left) and state.size < k:
        found = f.gains(state, left)
        check_gains(f, left, found)
        at = int(found.argmax())
        if not found[at] > 0.0:
            break
        f.add(state, int(left[at]), float(found[at]))
        gains.append(float(found[at]))
        left = np.delete(left, at)
    return np.array(state.members, dtype=np.int64), np.array(gains), f.nfev - before


def state_of(f: Objective, ids: Any, gains: Any) -> State:
    """The state that holds ``ids``, whose gains are known."""
    state = f.start(len(ids))
    for i, gain in zip(ids, gains, strict=True):
        f.add(state, int(i), float(gain))
    return state
