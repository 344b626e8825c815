"""Greedy from a prefix of its path, compiled; every gain that it asks for is written down."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from ..objectives.kernels import add, gain, sift_down


@compiled
def known_bounds(at: Any, log_ids: Any, log_depths: Any, log_gains: Any, depth: int, bounds: Any, exact: Any) -> int:
    """Lower the bounds to the gains in the log; keep of the log what still holds.

    Args:
        at: by id, its row, or -1.
        log_ids, log_depths, log_gains: gain of an id over the prefix of that many elements; what is deeper than
            ``depth`` or of a dead element is taken out, in place.
        depth: of the prefix from which greedy goes on.
        bounds: by row.
        exact: bool by row, set where the gain over this very prefix is known.

    Returns:
        How many entries of the log are left.
    """
    left = 0
    for j in range(log_ids.shape[0]):
        row = at[log_ids[j]]
        if log_depths[j] > depth or row < 0:
            continue
        log_ids[left], log_depths[left], log_gains[left] = log_ids[j], log_depths[j], log_gains[j]
        left += 1
        bounds[row] = min(bounds[row], log_gains[j])
        if log_depths[j] == depth:
            exact[row] = True
    return left


@compiled
def lazy_from(data: Any, arrays: Any, prefix: Any, ids: Any, bounds: Any, exact: Any, chosen: Any, gains: Any) -> Any:
    """Put the prefix into the state and choose more elements by lazy greedy, as many as ``chosen`` has room for.

    Args:
        data, arrays: objective and the state of the empty set, with room for all; it is changed.
        prefix: ids.
        ids: candidates.
        bounds: upper bounds on their gains, -inf for those of the prefix; changed.
        exact: bool, which bounds are the gains themselves.
        chosen: int64: positions in ``ids``.
        gains: float64: those of the chosen.

    Returns:
        How many were chosen, and the gains asked for: positions, after how many choices, gains.
    """
    for i in prefix:
        add(data, arrays, i)
    k, n = chosen.shape[0], ids.shape[0]
    heap = np.arange(n)
    for at in range(n // 2 - 1, -1, -1):
        sift_down(heap, n, bounds, at)
    stamps = np.full(n, -1, dtype=np.int64)
    stamps[exact] = 0
    room = 256
    positions, depths, found = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64), np.empty(room)
    asked, count = 0, 0
    while count < k and n > 0:
        top = heap[0]
        if not bounds[top] > 0.0:
            break
        if stamps[top] < count:
            if asked == room:
                room *= 2
                more_positions, more_depths = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
                more_found = np.empty(room)
                more_positions[:asked], more_depths[:asked], more_found[:asked] = positions, depths, found
                positions, depths, found = more_positions, more_depths, more_found
            g = gain(data, arrays, ids[top])
            positions[asked], depths[asked], found[asked] = top, count, g
            asked += 1
            bounds[top] = g
            stamps[top] = count
            sift_down(heap, n, bounds, 0)
            continue
        add(data, arrays, ids[top])
        chosen[count] = top
        gains[count] = bounds[top]
        count += 1
        n -= 1
        heap[0] = heap[n]
        sift_down(heap, n, bounds, 0)
    return count, positions[:asked], depths[:asked], found[:asked]
