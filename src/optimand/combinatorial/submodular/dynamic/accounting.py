"""What is counted: calls of the value oracle, and quantiles of what updates cost.

One marginal f(e | G) is one call and one value f(S) is one call, whichever way the objective computes it. Adding an
element whose gain is known, or whose gain nobody asks for, is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_BINS = 40  # per factor e: quantiles are within 1.3 %


class Oracle:
    """Counts and checks the calls that one dynamic structure makes.

    Args:
        f: an ``Objective``; other structures may use it at the same time, ``calls`` counts only this one's.

    Attributes:
        calls: marginals and values asked for.
        empty: the empty set as a state.
        base: f of the empty set; values here are what is above it.
    """

    def __init__(self, f: Any) -> None:
        self.f = f
        before = f.nfev
        self.empty: Any = f.start()  # shared: nobody adds to it
        self.base = float(self.empty.value)
        self.calls: int = f.nfev - before

    def gain(self, state: Any, i: int) -> float:
        """f(i | state), at least 0; the objective's error where it is NaN or negative beyond its tolerance."""
        self.calls += 1
        g = float(self.f.gain(state, i))
        if not 0.0 <= g < math.inf:
            self.f.check_gain(i, g)
            return 0.0
        return g

    def gains(self, state: Any, ids: Sequence[int]) -> list[float]:
        """``gain`` of several elements in one vectorised evaluation; as many calls as elements."""
        if len(ids) <= 1:
            return [self.gain(state, i) for i in ids]
        self.calls += len(ids)
        found = np.asarray(self.f.gains(state, np.asarray(ids, dtype=np.int64)), dtype=np.float64)
        if not (found >= 0.0).all() or np.isinf(found).any():
            for i, g in zip(ids, found.tolist(), strict=True):
                self.f.check_gain(i, g)
            found = np.maximum(found, 0.0)
        return found.tolist()

    def grown(self, state: Any, members: Sequence[int], gains: Sequence[float] | None = None) -> Any:
        """A copy of ``state`` with ``members`` added in this order.

        No call, except where the gains are not known and the objective, being a function of the whole set, can tell
        later gains only from the value of the state: one then.
        """
        state = state.copy()
        for j, i in enumerate(members):
            self.f.add(state, i, 0.0 if gains is None else gains[j])
        if gains is None and members and self.f.data is None:
            state.value = self.base + self.value(state.members)
        return state

    def value(self, ids: Sequence[int]) -> float:
        """f of a set, less ``base``: one call, none for the empty set."""
        if not ids:
            return 0.0
        self.calls += 1
        return float(self.f.value([self.f.element(i) for i in ids])) - self.base


class Histogram:
    """Quantiles of a long stream of positive numbers in little memory, by counts of their logarithms.

    Example:
        >>> h = Histogram()
        >>> for x in range(1, 1001):
        ...     h.add(x)
        >>> round(h.quantile(0.5) / 500, 1), h.most, h.count
        (1.0, 1000, 1000)
    """

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.most = 0.0

    def add(self, x: float) -> None:
        """Take in ``x`` >= 0."""
        key = math.floor(math.log(x) * _BINS) if x > 0.0 else -(10**6)
        self.bins[key] = self.bins.get(key, 0) + 1
        self.count += 1
        self.total += x
        if x > self.most:
            self.most = x

    def quantile(self, q: float) -> float:
        """The value that a share ``q`` does not exceed; 0 before anything came."""
        left = q * self.count
        for key in sorted(self.bins):
            left -= self.bins[key]
            if left <= 0:
                return 0.0 if key == -(10**6) else min(math.exp((key + 0.5) / _BINS), self.most)
        return 0.0

    def state(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {"bins": [[key, n] for key, n in self.bins.items()], "total": self.total, "most": self.most}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` gave."""
        self.bins = dict(state["bins"])
        self.count, self.total, self.most = sum(self.bins.values()), state["total"], state["most"]

    def summary(self) -> dict[str, float]:
        """``mean``, ``p50``, ``p99`` and ``max``."""
        mean = self.total / self.count if self.count else 0.0
        return {"mean": mean, "p50": self.quantile(0.5), "p99": self.quantile(0.99), "max": self.most}
