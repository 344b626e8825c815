"""What engines share: their contract, the options, and the largest singletons of a changing set."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from optimand.core.validation import suggest

from .accounting import Oracle


class Engine:
    """Keeps a solution for a set that changes. Ids are the objective's; checks of arguments are done before.

    Args:
        oracle: counts the calls.
        k: most elements of a solution.
        eps: in (0, 0.5).
        rng: all random choices.
        singles: f({e}) of the live elements, kept by the caller, which adds an element before ``insert`` and removes
            it before ``delete``.
    """

    def __init__(self, oracle: Oracle, k: int, eps: float, rng: np.random.Generator, singles: dict[int, float]) -> None:
        self.oracle, self.k, self.eps, self.rng, self.singles = oracle, k, eps, rng, singles

    def insert(self, i: int, single: float) -> None:
        """The element ``i`` is live from now on; f({i}) is ``single``."""
        raise NotImplementedError

    def delete(self, i: int, single: float) -> None:
        """The element ``i`` is live no more."""
        raise NotImplementedError

    def value(self) -> float:
        """f of the solution."""
        raise NotImplementedError

    def solution(self) -> list[int]:
        """Live ids, at most k."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Numbers that only this engine has."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything but the live elements and the generator, as plain data with ids."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` gave; ``singles`` are filled already."""
        raise NotImplementedError


SHARED = ("eps", "seed", "n_hint", "trials")
"""Arguments that every engine accepts."""


def check_options(engine: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    """TypeError if ``options`` holds one that the engine would not look at."""
    for name in options:
        if name not in known:
            raise TypeError(
                f"engine {engine!r} has no option {name!r}; it has {', '.join(known) or 'none'} "
                f"(all engines: {', '.join(SHARED)}){suggest(name, (*known, *SHARED))}"
            )


class Largest:
    """The sum of the k largest of a changing collection of positive values, and its largest.

    A sorted buffer of the largest few is kept; only when deletions have emptied it are all values looked at.
    """

    def __init__(self, k: int, singles: dict[int, float]) -> None:
        self.k, self.singles = k, singles
        self.buffer: list[float] = []  # ascending
        self.whole = True  # the buffer holds all values
        self._total: float | None = 0.0

    def add(self, x: float) -> None:
        """``x`` came to the collection."""
        if self.whole or x > self.buffer[0]:
            if len(self.buffer) < self.k or x > self.buffer[-self.k]:
                self._total = None
            bisect.insort(self.buffer, x)
            if len(self.buffer) > 8 * self.k + 64:
                del self.buffer[: len(self.buffer) - 4 * self.k - 32]
                self.whole = False

    def remove(self, x: float) -> None:
        """``x`` left; ``singles`` no longer holds it."""
        at = bisect.bisect_left(self.buffer, x)
        if at < len(self.buffer) and self.buffer[at] == x:
            if at >= len(self.buffer) - self.k:
                self._total = None
            del self.buffer[at]
            if len(self.buffer) < self.k + 1 and not self.whole:
                self.refill()

    def refill(self) -> None:
        """Look at all values."""
        values = np.fromiter(self.singles.values(), dtype=np.float64, count=len(self.singles))
        values = values[values > 0.0]
        most = 4 * self.k + 32
        self.whole = len(values) <= most
        self.buffer = sorted((values if self.whole else np.partition(values, -most)[-most:]).tolist())
        self._total = None

    @property
    def total(self) -> float:
        """The sum of the k largest: no set of k elements is worth more."""
        if self._total is None:
            self._total = sum(self.buffer[-self.k :])
        return self._total

    @property
    def top(self) -> float:
        """The largest, 0 if there is none."""
        return self.buffer[-1] if self.buffer else 0.0
