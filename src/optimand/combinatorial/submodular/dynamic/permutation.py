"""Engine B: a random permutation of the qualified elements, cut where an insertion or a deletion changes it.

After Banihashem et al.'s work on updates whose cost depends on k and not on the size of the set (arXiv 2306.00959),
from knowledge of its structure. Level i chooses one element e_i with gain at least tau over I_{i-1} = {e_1 … e_{i-1}};
R_i holds the elements that still have such a gain. An element that comes takes the place of e_i with probability
1/|R_i|, as it would in a random order. At every moment the chosen elements are live, each joined with a gain of at
least tau, and if there are fewer than k no live element has such a gain: the quality is certain, only the cost is
random.
"""

from __future__ import annotations

from typing import Any

from .shell import Guesses, Run


class PermutationRun(Run):
    """The levels of one guess.

    Attributes:
        pools: R_1, R_2, …, in order of arrival, with f({e}); one more than there are chosen elements.
        chosen: e_1, e_2, … and ``gains`` with which they joined.
        states: I_0, I_1, …
    """

    def __init__(self, shell: Guesses, guess: float) -> None:
        super().__init__(shell, guess)
        self.pools: list[dict[int, float]] = [{}]
        self.chosen: list[int] = []
        self.gains: list[float] = []
        self.states: list[Any] = [self.oracle.empty]

    def insert(self, i: int, single: float) -> None:
        known: dict[int, float] = {}
        depth = self.k
        if not self.literal:
            known[0] = single
            depth = self.depth_of(i, 0, len(self.chosen), known)
        for at in range(depth):
            if self.literal:
                if at > len(self.chosen):
                    return
                known[at] = self.oracle.gain(self.states[at], i)
                if known[at] < self.tau:
                    return
            pool = self.pools[at]
            pool[i] = single
            if at == len(self.chosen) or self.rng.random() * len(pool) < 1.0:
                g = known[at] if at in known else self.oracle.gain(self.states[at], i)
                self.place(at, i, g)
                return

    def depth_of(self, i: int, low: int, high: int, known: dict[int, float]) -> int:
        """How many pools the element belongs to: the smallest z in [low, high] with gain over I_z below tau.

        It is ``high + 1`` if there is none and another element may be chosen. Found by steps that double, then by
        bisection; ``known`` holds gains by z and gets those that were asked for.
        """
        last = high if high < self.k else high - 1  # nothing is placed over I_k
        step, below, above = 1, low - 1, last + 1  # the gain is at least tau at ``below``, less at ``above``
        while above - below > 1:
            z = min(below + step, above - 1) if above == last + 1 else (below + above) // 2
            if z not in known:
                known[z] = self.oracle.gain(self.states[z], i)
            if known[z] >= self.tau:
                below, step = z, 2 * step
            else:
                above = z
        return above

    def place(self, at: int, i: int, gain: float) -> None:
        """Make ``i`` the element that level ``at`` chooses and build what follows."""
        rest = {u: single for u, single in self.pools[at].items() if u != i}
        self.cut(at)
        self.choose(i, gain)
        if self.literal:
            rest = {u: rest[u] for u in self.qualified(self.states[-1], list(rest))}
        self.fill(at + 1, rest)

    def cut(self, at: int) -> None:
        """Forget what was chosen at level ``at`` and after, and the pools after it."""
        self.changed()
        del self.pools[at + 1 :], self.chosen[at:], self.gains[at:], self.states[at + 1 :]

    def choose(self, i: int, gain: float) -> None:
        """Append an element to the chosen."""
        self.states.append(self.oracle.grown(self.states[-1], [i], [gain]))
        self.chosen.append(i)
        self.gains.append(gain)
        self.pools.append({})

    def fill(self, at: int, rest: dict[int, float]) -> None:
        """Fill the levels from ``at``, whose pool is empty, with these elements in random order."""
        ids = list(rest)
        for i in [ids[j] for j in self.rng.permutation(len(ids)).tolist()]:
            high = len(self.chosen)
            known: dict[int, float] = {}
            if at == 0 and not self.literal:
                known[0] = rest[i]
            if high < self.k:
                if high not in known:
                    known[high] = self.oracle.gain(self.states[high], i)
                if known[high] >= self.tau:
                    for pool in self.pools[at:]:
                        pool[i] = rest[i]
                    self.choose(i, known[high])
                    continue
            for pool in self.pools[at : self.depth_of(i, at, high, known)]:
                pool[i] = rest[i]

    def discard(self, i: int) -> int | None:
        broken = None
        for at, pool in enumerate(self.pools):
            if i not in pool:
                break
            del pool[i]
            if at < len(self.chosen) and self.chosen[at] == i:
                broken = at
        return broken

    def construct(self, at: int) -> None:
        pool = self.pools[at]
        self.cut(at)
        self.pools[at] = {}
        self.fill(at, pool)

    def build(self, ids: list[int], singles: list[float]) -> None:
        self.pools = [dict(zip(ids, singles, strict=True))]
        self.construct(0)

    def solution(self) -> list[int]:
        return list(self.chosen)

    def known_value(self) -> float | None:
        return sum(self.gains)

    def proves(self) -> bool:
        return len(self.chosen) < self.k and self.value() <= self.guess / 2

    def size(self) -> int:
        return len(self.pools[0])

    def state(self) -> dict[str, Any]:
        return {
            "pools": [[[i, g] for i, g in pool.items()] for pool in self.pools],
            "chosen": list(self.chosen),
            "gains": list(self.gains),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.cut(0)
        for i, g in zip(state["chosen"], state["gains"], strict=True):
            self.choose(i, g)
        self.pools = [dict(pool) for pool in state["pools"]]
