"""Engine C: the simple variant of Lattanzi, Mitrovic, Norouzi-Fard, Tarnawski, Zadimoghaddam (NeurIPS 2020).

Levels l = 0 … T, T = ceil(log2 n), with candidates A_l, a buffer B_l of what came since, and chosen elements S_l. A
level adds elements with gain at least gamma / (2k) while it has 2^(T-l) candidates with such a gain, and is built again
when its buffer has reached that size. The analysis of the paper has gaps (arXiv 2305.15192); the method is a strong
baseline. Here one comparison (at least the threshold) serves for adding and for filtering: with a strict one for
adding, ties would make the loop endless.
"""

from __future__ import annotations

import math
from typing import Any

from .shell import Guesses, Run


class LattanziRun(Run):
    """One guess.

    Args:
        shell: the runs.
        guess: gamma.
        slack: chosen elements that died are replaced when the value has fallen below (1 - slack) gamma / 2.
        n: most live elements to expect; None: doubled when it is exceeded.
    """

    def __init__(self, shell: Guesses, guess: float, slack: float, n: int | None) -> None:
        super().__init__(shell, guess)
        self.slack, self.hinted = slack, n is not None
        self.resize(16 if n is None else n)

    def resize(self, n: int) -> None:
        """Start with the levels for ``n`` elements."""
        self.last = max(0, math.ceil(math.log2(n) - 1e-6))
        levels = range(self.last + 1)
        self.pools: list[dict[int, None]] = [{} for _ in levels]
        self.buffers: list[dict[int, None]] = [{} for _ in levels]
        self.chosen: list[dict[int, float]] = [{} for _ in levels]
        self.given: list[float] = [0.0] * len(levels)  # gains of all that level l chose, those that died included
        self.picked = [0] * len(levels)  # how many that were
        self.count = 0
        self.stale = self.last + 1  # levels from here on have lost a chosen element
        self.changed()

    def insert(self, i: int, single: float) -> None:
        if self.literal:
            single = self.oracle.gain(self.oracle.empty, i)
        if single < self.tau:
            return
        for buffer in self.buffers:
            buffer[i] = None
        if not self.hinted and self.size() > 2**self.last:
            ids = list(dict.fromkeys([*self.pools[0], *self.buffers[0]]))
            self.resize(2 * len(ids))
            self.buffers[0] = dict.fromkeys(ids)
            self.construct(0)
            return
        if self.count >= self.k:
            return
        for at, buffer in enumerate(self.buffers):
            if len(buffer) >= 2 ** (self.last - at):
                self.construct(at)
                return

    def construct(self, first: int) -> None:
        """Build the levels from ``first`` on."""
        self.changed()
        ids = list(dict.fromkeys([*self.pools[first], *self.buffers[first]]))
        ids = [ids[j] for j in self.rng.permutation(len(ids)).tolist()]
        for at in range(first, self.last + 1):
            self.count -= len(self.chosen[at])
            self.pools[at], self.buffers[at], self.chosen[at] = {}, {}, {}
            self.given[at], self.picked[at] = 0.0, 0
        self.stale = self.last + 1 if self.stale >= first else self.stale
        lower = [i for chosen in self.chosen[:first] for i in chosen]
        gains = [g for chosen in self.chosen[:first] for g in chosen.values()]
        whole = sum(self.picked[:first]) == len(lower)
        state = self.oracle.grown(self.oracle.empty, lower, gains if whole else None)
        if lower or self.literal:
            left = self.qualified(state, ids)
        else:
            left = {i: self.singles[i] for i in ids if self.singles[i] >= self.tau}
        for at in range(first, self.last + 1):
            self.pools[at] = dict.fromkeys(left)
            while self.count < self.k and len(left) >= 2 ** (self.last - at):
                i, g = next(iter(left.items()))
                del left[i]
                self.oracle.f.add(state, i, g)
                self.chosen[at][i] = g
                self.given[at] += g
                self.picked[at] += 1
                self.count += 1
                if self.count < self.k:
                    left = self.qualified(state, list(left))

    def discard(self, i: int) -> int | None:
        for at in range(self.last + 1):
            self.pools[at].pop(i, None)
            self.buffers[at].pop(i, None)
        for at, chosen in enumerate(self.chosen):
            if chosen.pop(i, None) is not None:
                self.count -= 1
                self.stale = min(self.stale, at)
                self.changed()
                return self.stale
        return None

    def delete(self, i: int, single: float) -> None:
        at = self.discard(i)
        if at is not None and self.value() < (1 - self.slack) * self.guess / 2:
            self.construct(at)

    def build(self, ids: list[int], singles: list[float]) -> None:
        self.resize(max(2**self.last, 1 if self.hinted else 2 * len(ids)))
        self.buffers[0] = dict.fromkeys(ids)
        self.construct(0)

    def solution(self) -> list[int]:
        return [i for chosen in self.chosen for i in chosen]

    def known_value(self) -> float | None:
        if sum(self.picked) > self.count:
            return None
        return sum(g for chosen in self.chosen for g in chosen.values())

    def proves(self) -> bool:
        if sum(self.picked) >= self.k or self.buffers[-1]:
            return False
        return sum(self.given) <= self.guess / 2

    def size(self) -> int:
        return len(self.pools[0]) + len(self.buffers[0])

    def state(self) -> dict[str, Any]:
        return {
            "last": self.last,
            "pools": [list(pool) for pool in self.pools],
            "buffers": [list(buffer) for buffer in self.buffers],
            "chosen": [[[i, g] for i, g in chosen.items()] for chosen in self.chosen],
            "given": list(self.given),
            "picked": list(self.picked),
            "stale": self.stale,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.resize(2 ** state["last"])
        self.pools = [dict.fromkeys(pool) for pool in state["pools"]]
        self.buffers = [dict.fromkeys(buffer) for buffer in state["buffers"]]
        self.chosen = [dict(chosen) for chosen in state["chosen"]]
        self.given, self.picked, self.stale = list(state["given"]), list(state["picked"]), state["stale"]
        self.count = sum(map(len, self.chosen))
