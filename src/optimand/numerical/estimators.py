"""Variance-reduced estimates of a finite sum or an expectation: PAGE, and STORM's correction.

Both correct the last estimate by a difference of the same samples at the new and at the old point, which is small where
the points are close. PAGE (Li et al. 2021) starts afresh by the toss of a coin; STORM (Cutkosky, Orabona 2019) never
does, and forgets old estimates at a rate instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.validation import check_int
from .stateful import Stateful

Array = Any


def storm(estimate: Array, new: Array, old: Array, eta: float) -> Array:
    """One STORM correction: ``new + (1 - eta) (estimate - old)``.

    Args:
        estimate: the last estimate.
        new, old: the same samples' values at the new and at the old point.
        eta: 1 forgets the past (plain sampling), 0 never forgets (SARAH).

    Example:
        >>> storm(10.0, 3.0, 2.0, eta=0.5)
        7.0
    """
    return new + (1 - eta) * (estimate - old)


class Page(Stateful):
    """The PAGE estimator: a full evaluation with probability ``p_k``, else a correction by a mini-batch.

    Args:
        n: number of components.
        batch: size of the mini-batches; by default the root of ``n``, rounded up.
        rng: seed or generator.

    ``p_k`` is ``4/(k + 5)`` up to ``k = √n`` and ``4/(√n + 5)`` from there on, the schedule that the Halpern iteration
    is analyzed with. In a batch a component may be drawn twice.
    The points that are passed to :meth:`step` are kept, not copied: they must not be changed in place.

    Reference: Li, Bao, Zhang, Richtárik, "PAGE", ICML 2021, Algorithm 1; the schedule: Cai, Alacaoglu, Diakonikolas,
    arXiv 2310.02987, Algorithm 1.

    Example:
        >>> class Mean:
        ...     def full(self, u): return u
        ...     def batch(self, u, idx): return u
        >>> page = Page(16, rng=0)
        >>> [page.step(Mean(), u) for u in (1.0, 2.0, 4.0)]
        [1.0, 2.0, 4.0]
    """

    _state = ("k", "estimate", "previous", "rng")

    def __init__(self, n: int, batch: int | None = None, rng: Any = None) -> None:
        self.n = check_int("n", n, low=1)
        self.batch = math.isqrt(n - 1) + 1 if batch is None else check_int("batch", batch, low=1)
        self.rng = np.random.default_rng(rng)
        self.k = 0
        self.estimate: Array | None = None
        self.previous: Array | None = None

    def probability(self, k: int) -> float:
        """That of starting afresh in step ``k >= 1``."""
        return min(1.0, 4 / (min(float(k), math.sqrt(self.n)) + 5))

    def step(self, op: Any, u: Array) -> Array:
        """The estimate at ``u``; costs ``n`` evaluations of components, or two for each of a mini-batch.

        ``op`` has ``full(u)`` and ``batch(u, idx)``, the means over all components and over some.
        """
        if self.k == 0 or self.rng.random() < self.probability(self.k):
            self.estimate = op.full(u)
        else:
            idx = self.rng.integers(self.n, size=self.batch)
            self.estimate = storm(self.estimate, op.batch(u, idx), op.batch(self.previous, idx), 0.0)
        self.previous = u
        self.k += 1
        return self.estimate
