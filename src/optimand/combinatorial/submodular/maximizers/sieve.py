"""Sieve-streaming: one pass over elements, a candidate solution for each guess of the best value.

Badanidiyuru, Mirzasoleiman, Karbasi, Krause, KDD 2014: an element enters the candidate of guess ``v`` if its gain is at
least ``(v/2 - f(S)) / (k - |S|)``; the best candidate is worth at least ``(1/2 - eps)`` of the best set of the pass.

As a baseline for streams with deletions it forgets a deleted element and keeps the rest of its candidates: it has never
stored what it turned down, so nothing can take the place of what is gone, and no guarantee is left.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from optimand.core.validation import check_number

from ..objectives.base import Ids, Objective, State
from .lazy import state_of


class SieveStreaming:
    """Candidate solutions for guesses ``(1 + eps)^p`` between the largest singleton ``m`` and ``2 k m``.

    Args:
        f: objective, monotone.
        k: size of the solution, at least 1.
        eps: spacing of the guesses, in (0, 1).

    Attributes:
        oracle_calls: questions asked so far.

    Example:
        >>> from optimand.combinatorial.submodular import Coverage
        >>> sieve = SieveStreaming(Coverage([[0, 1], [1], [2, 3, 4]]), k=2)
        >>> for e in (0, 1, 2):
        ...     sieve.insert(e)
        >>> sorted(sieve.solution), sieve.value
        ([0, 2], 5.0)
    """

    def __init__(self, f: Objective, k: int, eps: float = 0.1) -> None:
        self.f, self.k = f, f.check_size(k)
        self.eps = check_number("eps", eps, low=0, high=1, low_open=True, high_open=True)
        self.largest = 0.0
        self.sieves: dict[int, State] = {}
        self.gains: dict[int, list[float]] = {}
        self._live: set[int] = set()
        self._before = f.nfev
        self._calls = 0

    @property
    def oracle_calls(self) -> int:
        """Questions asked so far."""
        return self._calls + self.f.nfev - self._before

    @property
    def value(self) -> float:
        """Of the best candidate."""
        return max((state.value for state in self.sieves.values()), default=0.0)

    @property
    def solution(self) -> list[Hashable]:
        """Elements of the best candidate."""
        return [self.f.element(i) for i in self.found()[0]]

    def found(self) -> tuple[list[int], list[float]]:
        """Ids of the best candidate and their gains."""
        best = max(self.sieves, key=lambda p: self.sieves[p].value, default=None)
        return ([], []) if best is None else (self.sieves[best].members, self.gains[best])

    @property
    def kept(self) -> list[int]:
        """Ids in any candidate: all that is remembered of the pass."""
        return list(dict.fromkeys(i for state in self.sieves.values() for i in state.members))

    def insert(self, element: Hashable) -> None:
        """Show the next element; ValueError if it is there already."""
        i = self.f.index(element)
        if i in self._live:
            raise ValueError(f"element {element!r:.80} is there already")
        start = self.f.start()
        self.push(i, self.f.check_gain(i, self.f.gain(start, i)))
        self._live.add(i)

    def push_all(self, ids: Ids) -> None:
        """Show ids that are new; the gains given the empty set are asked for in one evaluation."""
        for i, gain in zip(ids.tolist(), self.f.gains(self.f.start(), ids).tolist(), strict=True):
            self.push(i, self.f.check_gain(i, gain))

    def push(self, i: int, singleton: float) -> None:
        """Show an id whose gain given the empty set is known."""
        if singleton > self.largest:
            self.largest = singleton
            self._spread()
        for p, state in self.sieves.items():
            if state.size >= self.k:
                continue
            need = ((1 + self.eps) ** p / 2 - state.value) / (self.k - state.size)
            # No gain exceeds the first one, which is known: most elements are turned down without a question.
            if singleton < need or singleton <= 0.0:
                continue
            gain = self.f.check_gain(i, self.f.gain(state, i)) if state.size else singleton
            if gain >= need and gain > 0.0:
                self.f.add(state, i, gain)
                self.gains[p].append(gain)

    def delete(self, element: Hashable) -> None:
        """Forget an element; KeyError if it is not there."""
        i = self.f.index(element)
        if i not in self._live:
            raise KeyError(f"element {element!r:.80} is not there")
        self._live.discard(i)
        for p, state in self.sieves.items():
            if i not in state.members:
                continue
            left = [j for j in state.members if j != i]
            state = self.f.start(self.k)
            self.gains[p] = []
            for j in left:
                gain = self.f.check_gain(j, self.f.gain(state, j))
                self.f.add(state, j, gain)
                self.gains[p].append(gain)
            self.sieves[p] = state

    def rebase(self, f: Objective, ids: dict[int, int]) -> None:
        """Go on with another objective of the same values, in which id ``i`` is ``ids[i]``; nothing is asked for."""
        self._calls, self._before, self.f = self.oracle_calls, f.nfev, f
        for p, state in self.sieves.items():
            self.sieves[p] = state_of(f, [ids[i] for i in state.members], self.gains[p])
        self._live = {ids[i] for i in self._live if i in ids}

    def _spread(self) -> None:
        """Make the guesses fit the largest singleton; a candidate whose guess is too low by now is dropped."""
        step = math.log1p(self.eps)
        low = math.ceil(math.log(self.largest) / step - 1e-12)
        high = math.floor(math.log(2 * self.k * self.largest) / step + 1e-12)
        self.sieves = {p: self.sieves.get(p) or self.f.start(self.k) for p in range(low, high + 1)}
        self.gains = {p: self.gains.get(p, []) for p in self.sieves}
