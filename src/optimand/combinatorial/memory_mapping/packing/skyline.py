"""Backtracking over skylines with learned priorities, compiled.

A packing is built upwards: intervals are placed in the order of their offsets, each on the skyline of those below. At a
node the candidates are those that can still lie lowest, tried by offset, then by priority; one that would leave room
for another below it is left out. A section in which the height reached and what is still to come exceed the target ends
the branch. A run ends after a number of nodes; the intervals of the sections that failed most get a better priority,
and the search starts again. The pieces are those published for TelaMalloc (Maas et al., ASPLOS 2023) and minimalloc
(Moffitt, ASPLOS 2023): canonical orders of placement, sums per section; here without dynamic decomposition, whose place
restarts with learned priorities take.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled

FOUND, STOPPED, EXHAUSTED = 1, 0, -1


@compiled
def _candidates(size: Any, base: Any, used: Any, level: int, out: Any) -> int:
    """Write the intervals that may come next; their number."""
    n = size.size
    lowest_top = np.int64(1) << 62
    for b in range(n):
        if not used[b]:
            top = max(base[b], level) + size[b]
            if top < lowest_top:
                lowest_top = top
    count = 0
    for b in range(n):
        if not used[b] and level <= base[b] < lowest_top:
            out[count] = b
            count += 1
    return count


@compiled
def _pick(rank: Any, base: Any, begin: int, end: int, options: Any) -> int:
    """Bring the best of ``options[begin:end]`` to the front; most nodes need few, so they are not sorted."""
    best = begin
    for k in range(begin + 1, end):
        b, c = options[k], options[best]
        if base[b] < base[c] or (base[b] == base[c] and rank[b] < rank[c]):
            best = k
    chosen = options[best]
    options[best] = options[begin]
    options[begin] = chosen
    return chosen


@compiled
def _blame(blamed: int, first: Any, last: Any, used: Any, weight: Any) -> None:
    for c in range(used.size):
        if not used[c] and (blamed < 0 or first[c] <= blamed < last[c]):
            weight[c] += 1.0


@compiled
def search_skyline(
    rank: Any, first: Any, last: Any, size: Any, load: Any, target: int, nodes: int, weight: Any, offset: Any
) -> tuple[int, int]:
    """Depth-first search for a packing of at most this height.

    Args:
        rank: priority of each interval, lower first.
        first, last: sections of each interval, last exclusive.
        load: summed size of each section.
        nodes: placements after which to stop.
        weight: raised for the intervals that were left at a dead end.
        offset: written; whole if the status is FOUND.

    Returns:
        Status (EXHAUSTED: no packing of that height exists) and placements made.
    """
    n, sections = size.size, load.size
    floor, rest = np.zeros(sections, np.int64), load.copy()
    base, used = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    options = np.zeros((n + 1, n), np.int32)
    count, following = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    chosen, level = np.zeros(n + 1, np.int64), np.zeros(n + 2, np.int64)
    old_floor, old_base = np.zeros((n, sections), np.int64), np.zeros((n, n), np.int64)
    depth, spent, fresh, back = 0, 0, True, False
    for s in range(sections):
        if load[s] > target:
            return EXHAUSTED, 0
    while depth < n:
        if back:  # undo what was chosen at this depth
            b = chosen[depth]
            used[b] = False
            for s in range(first[b], last[b]):
                floor[s] = old_floor[depth, s]
                rest[s] += size[b]
            base[:] = old_base[depth]
            back = False
        if fresh:
            count[depth] = _candidates(size, base, used, level[depth], options[depth])
            following[depth] = 0
            fresh = False
            if count[depth] == 0:
                _blame(-1, first, last, used, weight)
        if following[depth] >= count[depth]:
            depth -= 1
            if depth < 0:
                return EXHAUSTED, spent
            back = True
            continue
        if spent >= nodes:
            return STOPPED, spent
        spent += 1
        b = _pick(rank, base, following[depth], count[depth], options[depth])
        following[depth] += 1
        chosen[depth], used[b], offset[b] = b, True, base[b]
        bottom, top = base[b], base[b] + size[b]
        for s in range(first[b], last[b]):
            old_floor[depth, s] = floor[s]
            floor[s] = top
            rest[s] -= size[b]
        old_base[depth] = base
        failed = -1
        for s in range(sections):
            if rest[s] > 0 and max(floor[s], bottom) + rest[s] > target:
                failed = s
                break
        if failed >= 0:
            _blame(failed, first, last, used, weight)
            back = True
            continue
        for c in range(n):
            if not used[c] and first[c] < last[b] and first[b] < last[c] and base[c] < top:
                base[c] = top
        depth += 1
        level[depth] = bottom
        fresh = True
    return FOUND, spent
