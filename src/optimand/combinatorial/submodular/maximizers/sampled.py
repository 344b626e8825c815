"""Greedy for fewer questions: from random samples, by falling thresholds; and the exact maximum of small sets."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from ..objectives.base import Floats, Ids, Objective, State
from .lazy import check_gains, check_ids

# Sets that the exact search may look at.
MOST_SETS = 5_000_000


def stochastic_greedy(f: Objective, ids: Any, k: int, *, eps: float, rng: Any) -> tuple[Ids, Floats, int]:
    """Choose each element from a random sample of ``n/k log(1/eps)`` candidates.

    Mirzasoleiman et al., AAAI 2015: ``1 - 1/e - eps`` in expectation with ``n log(1/eps)`` questions, whatever ``k``.

    Args, returns: as :func:`~optimand.combinatorial.submodular.maximizers.lazy.lazy_greedy`; ``rng`` draws the samples.
    """
    ids, before, state = check_ids(f, ids).copy(), f.nfev, f.start(k)
    k = min(k, len(ids))
    size = max(1, math.ceil(len(ids) / max(k, 1) * math.log(1 / eps)))
    gains: list[float] = []
    left = len(ids)
    while left and state.size < k:
        take = min(size, left)
        # A partial shuffle: the sample moves to the end of what is left.
        for at in range(left - 1, left - take - 1, -1):
            other = int(rng.integers(at + 1))
            ids[at], ids[other] = ids[other], ids[at]
        sample = np.sort(ids[left - take : left])
        found = f.gains(state, sample)
        check_gains(f, sample, found)
        best = int(found.argmax())
        if not found[best] > 0.0:
            if take == left:
                break
            left -= take  # these gain nothing, and never will
            continue
        i, gain = int(sample[best]), float(found[best])
        f.add(state, i, gain)
        gains.append(gain)
        at = left - take + int(np.flatnonzero(ids[left - take : left] == i)[0])
        ids[at], left = ids[left - 1], left - 1
    return np.array(state.members, dtype=np.int64), np.array(gains), f.nfev - before


def threshold_greedy(f: Objective, ids: Any, k: int, *, eps: float) -> tuple[Ids, Floats, int]:
    """Take whatever gains at least a threshold, which falls by the factor ``1 - eps``.

    Badanidiyuru, Vondrák, SODA 2014: ``1 - 1/e - eps`` with at most ``n/eps log(n/eps)`` questions. A candidate whose
    last known gain is below the threshold is not asked for.

    Args, returns: as :func:`~optimand.combinatorial.submodular.maximizers.lazy.lazy_greedy`.
    """
    ids, before, state = check_ids(f, ids), f.nfev, f.start(k)
    bounds = f.gains(state, ids)
    check_gains(f, ids, bounds)
    gains: list[float] = []
    largest = float(bounds.max(initial=0.0))
    threshold, last = largest, eps * largest / max(len(ids), 1)
    while threshold >= last and threshold > 0.0 and state.size < k:
        for at in np.flatnonzero(bounds >= threshold):
            i = int(ids[at])
            gain = float(bounds[at]) if not state.size else f.check_gain(i, f.gain(state, i))
            bounds[at] = gain
            if gain >= threshold:
                f.add(state, i, gain)
                gains.append(gain)
                bounds[at] = -1.0
                if state.size == k:
                    break
        # Thresholds between the largest bound and here would find nobody.
        threshold = min(threshold * (1 - eps), float(bounds.max()))
    return np.array(state.members, dtype=np.int64), np.array(gains), f.nfev - before


def exhaustive(f: Objective, ids: Any, k: int) -> tuple[Ids, Floats, int]:
    """The best set of at most ``k`` ids, found by looking at all of them; of equal ones the first.

    Raises:
        OptimandError: more than five million sets.

    Args, returns: as :func:`~optimand.combinatorial.submodular.maximizers.lazy.lazy_greedy`.
    """
    ids = check_ids(f, ids)
    k = min(k, len(ids))
    sizes = range(1, k + 1) if not f.monotone else (k,)
    count = sum(math.comb(len(ids), size) for size in sizes)
    if count > MOST_SETS:
        raise OptimandError(f"method 'exact' would look at {count} sets; it takes at most {MOST_SETS}, try 'lazy'")
    before = f.nfev
    best: tuple[float, list[int], list[float]] = (0.0, [], [])
    for size in sizes:
        best = _best_of_size(f, ids, size, best)
    return np.array(best[1], dtype=np.int64), np.array(best[2]), f.nfev - before


def _best_of_size(
    f: Objective, ids: Ids, size: int, best: tuple[float, list[int], list[float]]
) -> tuple[float, list[int], list[float]]:
    """``best``, or the first better one of the sets of a size: all but the last member in turn, the last at once."""
    stack: list[State] = [f.start(size)]
    gains: list[float] = []
    before: tuple[int, ...] = ()
    for at in itertools.combinations(range(len(ids) - 1), size - 1):
        common = next((d for d, (a, b) in enumerate(zip(at, before, strict=False)) if a != b), 0)
        del stack[common + 1 :], gains[common:]
        for d in range(common, size - 1):
            state = stack[-1].copy()
            i = int(ids[at[d]])
            gains.append(f.check_gain(i, f.gain(state, i)))
            f.add(state, i, gains[-1])
            stack.append(state)
        before = at
        last = ids[at[-1] + 1 if at else 0 :]
        found = f.gains(stack[-1], last)
        check_gains(f, last, found)
        top = int(found.argmax())
        if stack[-1].value + found[top] > best[0]:
            gain = float(found[top])
            best = (stack[-1].value + gain, [*stack[-1].members, int(last[top])], [*gains, gain])
    return best
