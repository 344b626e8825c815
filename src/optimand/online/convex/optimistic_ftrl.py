"""Optimistic follow-the-regularized-leader of Sachs et al. (arXiv 2202.07554), who introduced the SEA model."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import check_choice, check_number

from .gradient_learner import Array, GradientLearner, check_euclidean


class OptimisticFTRL(GradientLearner):
    """The best point for the sum of all gradients so far, the last one counted twice as a guess of the next.

    * ``convex``: ``x_t = argmin <g_{t-1} + sum_{s<t} g_s, x> + |x - x_1|^2 / eta_t`` with
      ``eta_t = D^2 / (nu + sum_{s<t} eta_s |g_s - g_{s-1}|^2)``;
    * ``strongly_convex``: ``x_t = argmin <g_{t-1}, x> + sum_{s<t} (<g_s, x> + (lam/2) |x - x_s|^2)``, without steps.

    Args:
        domain: where points are played from; None for the environment's.
        curvature: ``convex`` or ``strongly_convex``.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0.
        L: smoothness of the mean losses, at least 0; None where it is not known.
        lam: modulus of strong convexity, > 0.
        nu: > 0; by default ``L D^2 + D G``, or ``2 D G`` where ``L`` is not known.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: a constant is neither given nor told.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = OptimisticFTRL(Ball(1.0, dim=1), G=1.0, L=0.0)
        >>> _ = learner.predict()
        >>> learner.update([0.5])
        >>> learner.predict().round(4).tolist()  # eta_2 = 4 / (2 + 2 / 4)
        [-0.8]
    """

    def __init__(
        self, domain: Any = None, curvature: str = "convex", *, D: float | None = None, G: float | None = None,
        L: float | None = None, lam: float | None = None, nu: float | None = None, x1: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(domain, D=D, G=G, L=L, x1=x1)
        self.curvature = check_choice("curvature", curvature, ("convex", "strongly_convex"))
        self.lam = None if lam is None else check_number("lam", lam, low=0, low_open=True)
        self.nu = None if nu is None else check_number("nu", nu, low=0, low_open=True)

    @property
    def asks(self) -> tuple[str, ...]:  # type: ignore[override]
        """The constants that the form at hand needs."""
        if self.curvature == "strongly_convex":
            return ("lam",)
        return ("D",) if self.nu is not None else ("G", "D")

    def _begin(self) -> None:
        assert self._shape is not None
        check_euclidean("OptimisticFTRL", self._space)
        self._first = self._first_point()
        self._sum, self._last = np.zeros(self._shape), np.zeros(self._shape)
        self._points = np.zeros(self._shape)
        if self.curvature == "convex":
            D, G, L = (self._constant(name) for name in ("D", "G", "L"))
            nu = self.nu if self.nu is not None else 2 * D * G if L is None else L * D**2 + D * G
            self._weight = np.full(self._shape[0], float(nu))  # nu + sum eta_s |g_s - g_{s-1}|^2

    @property
    def eta(self) -> Array:
        """The step size of the round to come, shape ``(R,)``."""
        return np.asarray(self._constant("D") ** 2 / self._weight)

    def _decide(self) -> Array:
        slope = self._sum + self._last
        if self.curvature == "convex":
            target = self._first - 0.5 * self.eta[:, None] * slope
        elif self.t == 0:
            target = self._first
        else:
            target = self._points / self.t - slope / (self._constant("lam") * self.t)
        x: Array = self._space.settle(target)
        return x

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        if self.curvature == "convex":
            wrong = g - self._last
            self._weight = self._weight + self.eta * np.einsum("rd,rd->r", wrong, wrong)
        else:
            assert self._x is not None
            self._points = self._points + self._x
        self._sum = self._sum + g
        self._last = g
