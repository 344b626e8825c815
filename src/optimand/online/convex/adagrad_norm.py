"""Gradient descent with one step size from the norms of all gradients (Streeter, McMahan 2010; Duchi et al. 2011)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .gradient_learner import Array, GradientLearner, check_euclidean


class AdaGradNorm(GradientLearner):
    """``x_{t+1} = P(x_t - eta_t g_t)`` with ``eta_t = D / sqrt(2 sum_{s<=t} |g_s|^2)``, the last gradient included.

    Args:
        domain: where points are played from; None for the environment's.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, to count those that are longer; no step depends on it.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: ``D`` is neither given nor told.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = AdaGradNorm(Ball(2.0, dim=1))
        >>> _ = learner.predict()
        >>> learner.update([0.001])
        >>> learner.predict().round(4).tolist()
        [-2.0]
    """

    asks: ClassVar[tuple[str, ...]] = ("D",)

    def __init__(self, domain: Any = None, *, D: float | None = None, G: float | None = None, x1: Any = None) -> None:
        super().__init__(domain, D=D, G=G, x1=x1)

    def _begin(self) -> None:
        assert self._shape is not None
        check_euclidean("AdaGradNorm", self._space)
        self._next = self._first_point()
        self.total = np.zeros(self._shape[0])

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        self.total = self.total + square
        # While all gradients were 0 there is nothing to divide by, and no step.
        root = np.sqrt(2 * np.where(self.total > 0, self.total, 1.0))
        self._next = self._space.settle(self._next - (self._constant("D") / root)[:, None] * g)
