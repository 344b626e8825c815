"""The online Newton step (Hazan, Agarwal, Kale 2007), for exp-concave losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import check_number

from .gradient_learner import Array, GradientLearner, check_bounded, check_euclidean
from .optimistic_omd import with_rank_one


class ONS(GradientLearner):
    """``x_{t+1} = P^{A_t}(x_t - A_t^{-1} g_t / gamma)`` with ``A_t = eps I + sum_{s<=t} g_s g_s^T``.

    Args:
        domain: where points are played from, bounded; None for the environment's.
        alpha: of exp-concavity, > 0.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0.
        gamma: > 0; by default ``min(1 / (4 G D), alpha) / 2``.
        eps: > 0; by default ``1 / (gamma D)^2``.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range, or the domain is unbounded.
        OptimandError: a constant is neither given nor told.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = ONS(Ball(1.0, dim=1), gamma=0.5, G=1.0)
        >>> _ = learner.predict()
        >>> learner.update([0.5])
        >>> learner.predict().tolist()
        [-0.8]
    """

    def __init__(
        self, domain: Any = None, *, alpha: float | None = None, D: float | None = None, G: float | None = None,
        gamma: float | None = None, eps: float | None = None, x1: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(domain, D=D, G=G, x1=x1)
        self.alpha = None if alpha is None else check_number("alpha", alpha, low=0, low_open=True)
        self.gamma = None if gamma is None else check_number("gamma", gamma, low=0, low_open=True)
        self.eps = None if eps is None else check_number("eps", eps, low=0, low_open=True)
        if domain is not None:
            check_bounded("ONS", domain)

    @property
    def asks(self) -> tuple[str, ...]:  # type: ignore[override]
        """The constants that the defaults at hand need."""
        return ("D",) if self.gamma is not None else ("G", "D", "alpha")

    def _begin(self) -> None:
        assert self._shape is not None
        check_euclidean("ONS", self._space)
        check_bounded("ONS", self._space)
        D = self._constant("D")
        self._gamma = self.gamma
        if self._gamma is None:
            self._gamma = 0.5 * min(1 / (4 * self._constant("G") * D), self._constant("alpha"))
        eps = 1 / (self._gamma * D) ** 2 if self.eps is None else self.eps
        reps, d = self._shape
        self._A = np.repeat(eps * np.eye(d)[None], reps, axis=0)
        self._inverse = np.repeat(np.eye(d)[None] / eps, reps, axis=0)
        self._next = self._first_point()

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        self._A, self._inverse = with_rank_one(self._A, self._inverse, g, 1.0, self.t + 1)
        moved = self._next - np.einsum("rij,rj->ri", self._inverse, g) / self._gamma
        self._next = self._space.project_metric(moved, self._A)
