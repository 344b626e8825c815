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
    ids, before = check_ids(f, ids), f.nfev
    bounds = f.gains(f.start(), ids) if singletons is None else np.array(singletons, dtype=np.float64)
    check_gains(f, ids, bounds)
    positions, gains, _ = lazy_from(f, [], [], ids, bounds, np.ones(len(ids), dtype=bool), min(k, len(ids)))
    return ids[positions], gains, f.nfev - before


def lazy_from(
    f: Objective, prefix: list[int], prefix_gains: list[float], ids: Ids, bounds: Floats, exact: Any, k: int
) -> tuple[Ids, Floats, tuple[Ids, Ids, Floats]]:
    """Go on with lazy greedy from what was chosen before.

    Args:
        f: objective; the questions are added to its ``nfev``.
        prefix: ids chosen before, with ``prefix_gains``.
        ids: candidates.
        bounds: upper bounds on their gains given the prefix, -inf for those that are in it; changed.
        exact: bool, which bounds are the gains themselves.
        k: how many more to choose.

    Returns:
        Positions in ``ids`` of the chosen, their gains, and the questions: positions, after how many choices, gains.
    """
    if f.data is None:
        positions, gains, asked = _lazy_in_python(f, state_of(f, prefix, prefix_gains), ids, bounds, exact, k)
    else:
        chosen, gains = np.empty(k, dtype=np.int64), np.empty(k)
        arrays = f.start(len(prefix) + k).arrays
        before = np.array(prefix, dtype=np.int64)
        count, *asked = kernels().lazy_from(f.data, arrays, before, ids, bounds, exact, chosen, gains)
        f.nfev += len(asked[0])
        positions, gains = chosen[:count], gains[:count]
    check_gains(f, ids[asked[0]], asked[2])
    return positions, gains, tuple(asked)


def check_ids(f: Objective, ids: Any) -> Ids:
    """``ids`` as an array; IndexError unless all are of the ground set: compiled loops do not look."""
    found = np.ascontiguousarray(ids, dtype=np.int64)
    if f.n is not None and len(found) and (found.min() < 0 or found.max() >= f.n):
        raise IndexError(f"ids must be in [0, {f.n - 1}], got {found.min()} to {found.max()}")
    return found


def check_gains(f: Objective, ids: Ids, gains: Floats) -> None:
    """ValueError for the first gain that is not finite, or negative where the objective is monotone."""
    for at in np.flatnonzero(~(gains >= 0.0) | np.isinf(gains)):
        f.check_gain(int(ids[at]), float(gains[at]))


def _lazy_in_python(f: Objective, state: State, ids: Ids, bounds: Floats, exact: Any, k: int) -> Any:
    """For functions that are not compiled."""
    heap = [(-bound, at, 0 if exact[at] else -1) for at, bound in enumerate(bounds.tolist())]
    heapq.heapify(heap)
    chosen: list[int] = []
    gains: list[float] = []
    asked: list[tuple[int, int, float]] = []
    while heap and len(chosen) < k:
        bound, at, stamp = heap[0]
        i = int(ids[at])
        if not -bound > 0.0:
            break
        if stamp < len(chosen):
            gain = f.check_gain(i, f.gain(state, i))
            asked.append((at, len(chosen), gain))
            heapq.heapreplace(heap, (-gain, at, len(chosen)))
            continue
        heapq.heappop(heap)
        f.add(state, i, -bound)
        chosen.append(at)
        gains.append(-bound)
    rows, depths, found = zip(*asked, strict=True) if asked else ((), (), ())
    questions = np.array(rows, dtype=np.int64), np.array(depths, dtype=np.int64), np.array(found, dtype=np.float64)
    return np.array(chosen, dtype=np.int64), np.array(gains), questions


def naive_greedy(f: Objective, ids: Any, k: int) -> tuple[Ids, Floats, int]:
    """Choose up to ``k`` ids by greedy that asks for the gain of every candidate left in every step.

    Args, returns: as :func:`lazy_greedy`.
    """
    left, before, state = check_ids(f, ids), f.nfev, f.start()
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
