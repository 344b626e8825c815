"""Compiled gains of all objectives, and the loops over them.

``gain(data, arrays, i)``, ``add(data, arrays, i)`` and what is built on them take the tuples
:class:`~optimand.combinatorial.submodular.objectives.base.Data` and ``Arrays``. They count nothing: a loop returns how
many gains it asked for, and its caller adds them to ``nfev``. ``add`` needs room for one member more in ``arrays``
(``objective.start(capacity)``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

COVERAGE, WEIGHTED, FACILITY, FACILITY_SPARSE, LOG_DET, GRAPH_CUT = range(6)
# A pivot may fall this far below 1, relative to its first summands, before the kernel counts as not semidefinite.
INDEFINITE = 1e-3


@compiled
def _coverage(data: Any, arrays: Any, i: int) -> float:
    bits, indices = arrays.bits, data.indices
    total = 0
    for at in range(data.indptr[i], data.indptr[i + 1]):
        j = indices[at]
        total += 1 - int((bits[j >> 6] >> np.uint64(j & 63)) & np.uint64(1))
    return float(total)


@compiled
def _weighted(data: Any, arrays: Any, i: int) -> float:
    bits, indices, weights = arrays.bits, data.indices, data.weights
    total = 0.0
    for at in range(data.indptr[i], data.indptr[i + 1]):
        j = indices[at]
        if (bits[j >> 6] >> np.uint64(j & 63)) & np.uint64(1) == 0:
            total += weights[j]
    return total


@compiled(fastmath={"reassoc", "nsz"})
def _facility(data: Any, arrays: Any, i: int) -> float:
    best, row = arrays.vector, data.matrix[i]
    total = 0.0
    for j in range(best.shape[0]):
        total += max(row[j] - best[j], 0.0)
    return total


@compiled
def _facility_sparse(data: Any, arrays: Any, i: int) -> float:
    best, indices, weights = arrays.vector, data.indices, data.weights
    total = 0.0
    for at in range(data.indptr[i], data.indptr[i + 1]):
        total += max(weights[at] - best[indices[at]], 0.0)
    return total


@compiled
def _solve(data: Any, arrays: Any, i: int, out: Any) -> float:
    """``c = L^-1 K_Si / sigma²`` into ``out``; returns the pivot ``1 + K_ii / sigma² - |c|²``."""
    size, rows, ids, row, scale = arrays.size[0], arrays.rows, arrays.ids, data.matrix[i], data.numbers[0]
    pivot = 1.0 + row[i] * scale
    for a in range(size):
        total = row[ids[a]] * scale
        for b in range(a):
            total -= rows[a, b] * out[b]
        total /= rows[a, a]
        out[a] = total
        pivot -= total * total
    return pivot


@compiled
def _is_member(arrays: Any, i: int) -> bool:
    for a in range(arrays.size[0]):  # noqa: SIM110 (the compiler knows no generators)
        if arrays.ids[a] == i:
            return True
    return False


@compiled
def _log_det(data: Any, arrays: Any, i: int) -> float:
    if _is_member(arrays, i):
        return 0.0
    pivot = _solve(data, arrays, i, np.empty(arrays.size[0]))
    # A positive semidefinite kernel leaves at least 1; what is lost below it is rounding, if it is little.
    if pivot < 1.0 - INDEFINITE * (1.0 + data.matrix[i, i] * data.numbers[0]):
        return math.nan
    return 0.5 * math.log(max(pivot, 1.0))


@compiled
def _graph_cut(data: Any, arrays: Any, i: int) -> float:
    if _is_member(arrays, i):
        return 0.0
    row, ids = data.matrix[i], arrays.ids
    inside = row[i]
    for a in range(arrays.size[0]):
        inside += 2.0 * row[ids[a]]
    return data.weights[i] - data.numbers[0] * inside


@compiled
def gain(data: Any, arrays: Any, i: int) -> float:
    """``f(S + i) - f(S)``."""
    kind = data.kind
    if kind == COVERAGE:
        return _coverage(data, arrays, i)
    if kind == WEIGHTED:
        return _weighted(data, arrays, i)
    if kind == FACILITY:
        return _facility(data, arrays, i)
    if kind == FACILITY_SPARSE:
        return _facility_sparse(data, arrays, i)
    if kind == LOG_DET:
        return _log_det(data, arrays, i)
    return _graph_cut(data, arrays, i)


@compiled
def gains(data: Any, arrays: Any, ids: Any, out: Any) -> None:
    """The gain of each id, into ``out``."""
    for a in range(ids.shape[0]):
        out[a] = gain(data, arrays, ids[a])


@compiled
def add(data: Any, arrays: Any, i: int) -> None:
    """Put ``i`` into the set."""
    kind = data.kind
    size = arrays.size[0]
    if kind in (COVERAGE, WEIGHTED):
        bits = arrays.bits
        for at in range(data.indptr[i], data.indptr[i + 1]):
            j = data.indices[at]
            bits[j >> 6] |= np.uint64(1) << np.uint64(j & 63)
    elif kind == FACILITY:
        best, row = arrays.vector, data.matrix[i]
        for j in range(best.shape[0]):
            best[j] = max(best[j], row[j])
    elif kind == FACILITY_SPARSE:
        best = arrays.vector
        for at in range(data.indptr[i], data.indptr[i + 1]):
            j = data.indices[at]
            best[j] = max(best[j], data.weights[at])
    elif not _is_member(arrays, i):
        if kind == LOG_DET:
            new = arrays.rows[size]
            pivot = _solve(data, arrays, i, new)
            new[size] = math.sqrt(max(pivot, 1.0))
        arrays.ids[size] = i
        arrays.size[0] = size + 1
        return
    else:
        return
    arrays.size[0] = size + 1


@compiled
def _before(bounds: Any, a: int, b: int) -> bool:
    """Whether position ``a`` comes before ``b``: the larger bound, then the smaller position."""
    return bounds[a] > bounds[b] or (bounds[a] == bounds[b] and a < b)


@compiled
def sift_down(heap: Any, size: int, bounds: Any, at: int) -> None:
    """Restore a heap of positions, largest bound first, whose entry ``at`` may be too high up."""
    moved = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(bounds, heap[child + 1], heap[child]):
            child += 1
        if not _before(bounds, heap[child], moved):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moved


@compiled
def lazy_from(data: Any, arrays: Any, prefix: Any, ids: Any, bounds: Any, exact: Any, chosen: Any, gains: Any) -> Any:
    """Put the prefix into the state and choose more by lazy greedy (Minoux), as many as ``chosen`` has room for.

    Args:
        data, arrays: objective and the state of the empty set, with room for all; it is changed.
        prefix: ids.
        ids: candidates.
        bounds: upper bounds on their gains, -inf for those of the prefix; changed. A NaN ends the loop.
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
