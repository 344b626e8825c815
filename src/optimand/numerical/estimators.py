"""Variance-reduced estimates of a finite sum or an expectation: SARAH, PAGE, STORM.

All three correct the last estimate by a difference of the same samples at the new and at the old point, which is
small where the points are close. They differ in when they start afresh:

- SARAH (Nguyen et al. 2017) evaluates the whole sum every ``period`` steps;
- PAGE (Li et al. 2021) does so by the toss of a coin;
- STORM (Cutkosky, Orabona 2019) never does, and forgets old estimates at a rate instead.

Operators are anything with ``full(u)`` and ``batch(u, idx)``, the mean over all components and over some of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ..core.validation import check_int, check_number

Array = Any


class SumOfComponents(Protocol):
    """What an estimator asks of an operator that is a mean of ``n`` components."""

    def full(self, u: Array) -> Array:
        """The mean over all components at ``u``."""

    def batch(self, u: Array, idx: Array) -> Array:
        """The mean over the components ``idx`` (with repetitions) at ``u``."""


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


class Storm:
    """The STORM estimator with its state.

    Args:
        eta: rate of forgetting in [0, 1]; may be changed between updates. The first update has rate 1.

    Example:
        >>> momentum = Storm(eta=0.5)
        >>> momentum.update(2.0), momentum.update(3.0, old=2.0)
        (2.0, 3.0)
    """

    def __init__(self, eta: float) -> None:
        self.eta = check_number("eta", eta, low=0, high=1)
        self.estimate: Array | None = None

    def update(self, new: Array, old: Array | None = None, eta: float | None = None) -> Array:
        """The estimate at the new point.

        Args:
            new: the samples' value at the new point.
            old: the same samples' value at the previous point; needed from the second update on, unless the rate is 1.
            eta: rate of this update; by default the estimator's.

        Raises:
            ValueError: ``old`` is missing.
        """
        rate = self.eta if eta is None else check_number("eta", eta, low=0, high=1)
        if self.estimate is None or rate == 1:
            self.estimate = new
        elif old is None:
            raise ValueError("old must be given from the second update on, got None")
        else:
            self.estimate = storm(self.estimate, new, old, rate)
        return self.estimate

    def state_dict(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"eta": self.eta, "estimate": self.estimate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.eta, self.estimate = state["eta"], state["estimate"]


class _Recursive:
    """Full evaluations now and then, corrections by mini-batches in between."""

    def __init__(self, n: int, batch: int | None, rng: Any, replace: bool) -> None:
        self.n = check_int("n", n, low=1)
        self.batch = math.isqrt(n - 1) + 1 if batch is None else check_int("batch", batch, low=1)
        if not replace and self.batch > n:
            raise ValueError(f"batch must be at most n = {n} without replacement, got {batch}")
        self.replace = bool(replace)
        self.rng = np.random.default_rng(rng)
        self.k = 0
        self.estimate: Array | None = None
        self.previous: Array | None = None

    def _starts_afresh(self) -> bool:
        raise NotImplementedError

    def step(self, op: SumOfComponents, u: Array) -> Array:
        """The estimate at ``u``; costs ``n`` evaluations of components, or two for each of a mini-batch."""
        if self.k == 0 or self._starts_afresh():
            self.estimate = op.full(u)
        else:
            if self.replace:
                idx = self.rng.integers(self.n, size=self.batch)
            else:
                idx = self.rng.choice(self.n, size=self.batch, replace=False)
            self.estimate = storm(self.estimate, op.batch(u, idx), op.batch(self.previous, idx), 0.0)
        self.previous = u
        self.k += 1
        return self.estimate

    def state_dict(self) -> dict[str, Any]:
        """The state as plain values, the random generator's included."""
        return {
            "k": self.k,
            "estimate": self.estimate,
            "previous": self.previous,
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` exactly."""
        self.k, self.estimate, self.previous = state["k"], state["estimate"], state["previous"]
        self.rng.bit_generator.state = state["rng"]


class Page(_Recursive):
    """The PAGE estimator: a full evaluation with probability ``p_k``, else a correction by a mini-batch.

    Args:
        n: number of components.
        batch: size of the mini-batches; by default the root of ``n``, rounded up.
        probability: ``k -> p_k`` in [0, 1] for ``k >= 1``; by default ``4/(k + 5)`` up to ``k = √n`` and
            ``4/(√n + 5)`` from there on, the schedule that the Halpern iteration is analyzed with.
        rng: seed or generator.
        replace: whether a component may be drawn twice in a batch.

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

    def __init__(
        self,
        n: int,
        batch: int | None = None,
        probability: Callable[[int], float] | None = None,
        rng: Any = None,
        replace: bool = True,
    ) -> None:
        super().__init__(n, batch, rng, replace)
        self.probability = self._paper_schedule if probability is None else probability

    def _paper_schedule(self, k: int) -> float:
        root = math.sqrt(self.n)
        return min(1.0, 4 / (min(float(k), root) + 5))

    def _starts_afresh(self) -> bool:
        return bool(self.rng.random() < self.probability(self.k))

    def expected_cost(self, steps: int) -> float:
        """Expected evaluations of components in the first ``steps`` steps.

        Example:
            >>> Page(64).expected_cost(1)
            64.0
        """
        check_int("steps", steps, low=1)
        chances = [self.probability(k) for k in range(1, steps)]
        return float(self.n + sum(p * self.n + (1 - p) * 2 * self.batch for p in chances))


class Sarah(_Recursive):
    """The SARAH estimator: a full evaluation every ``period`` steps, corrections by mini-batches in between.

    Args:
        n: number of components.
        batch: size of the mini-batches; by default the root of ``n``, rounded up.
        period: steps from one full evaluation to the next; by default ``n // batch``, at least 1.
        rng: seed or generator.
        replace: whether a component may be drawn twice in a batch.

    Reference: Nguyen, Liu, Scheinberg, Takáč, "SARAH", ICML 2017, Algorithm 1.

    Example:
        >>> class Mean:
        ...     def full(self, u): return u
        ...     def batch(self, u, idx): return u
        >>> sarah = Sarah(16, rng=0)
        >>> [sarah.step(Mean(), u) for u in (1.0, 2.0, 4.0)]
        [1.0, 2.0, 4.0]
    """

    def __init__(
        self, n: int, batch: int | None = None, period: int | None = None, rng: Any = None, replace: bool = True
    ) -> None:
        super().__init__(n, batch, rng, replace)
        self.period = max(1, self.n // self.batch) if period is None else check_int("period", period, low=1)

    def _starts_afresh(self) -> bool:
        return self.k % self.period == 0

    def expected_cost(self, steps: int) -> float:
        """Evaluations of components in the first ``steps`` steps.

        Example:
            >>> Sarah(16, batch=4, period=4).expected_cost(5)
            56.0
        """
        check_int("steps", steps, low=1)
        whole = -(-steps // self.period)
        return float(whole * self.n + (steps - whole) * 2 * self.batch)
