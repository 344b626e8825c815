"""Online gradient descent (Zinkevich 2003; Hazan et al. 2007), the yardstick of arXiv 2302.04552's comparisons."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from optimand.core.validation import check_number

from .gradient_learner import Array, GradientLearner, check_euclidean


class OGD(GradientLearner):
    """``x_{t+1} = P(x_t - eta_t g_t)`` with ``eta_t = D / (G sqrt(t))``.

    Args:
        domain: where points are played from; None for the environment's.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0.
        step: factor of the step size, > 0.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: ``D`` or ``G`` is neither given nor told.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = OGD(Ball(1.0, dim=1), G=2.0)
        >>> for _ in range(2):
        ...     _ = learner.predict()
        ...     learner.update([0.25])
        >>> round(float(learner.predict()[0]), 4)
        -0.4268
    """

    asks: ClassVar[tuple[str, ...]] = ("G", "D")

    def __init__(
        self, domain: Any = None, *, D: float | None = None, G: float | None = None, step: float = 1.0, x1: Any = None
    ) -> None:
        super().__init__(domain, D=D, G=G, x1=x1)
        self.step = check_number("step", step, low=0, low_open=True, high=math.inf, high_open=True)

    def _begin(self) -> None:
        check_euclidean(type(self).__name__, self._space)
        self._next = self._first_point()

    def _step(self) -> float:
        return self.step * self._constant("D") / (self._constant("G") * math.sqrt(self.t + 1))

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        self._next = self._space.settle(self._next - self._step() * g)


class StronglyConvexOGD(OGD):
    """Online gradient descent with ``eta_t = 1 / (lam t)``, for strongly convex losses.

    Args:
        domain: where points are played from; None for the environment's.
        lam: modulus of strong convexity, > 0.
        G: bound on the norms of gradients, to count those that are longer; no step depends on it.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: ``lam`` is neither given nor told.

    Example:
        >>> from optimand.online.convex import Unconstrained
        >>> learner = StronglyConvexOGD(Unconstrained(dim=1), lam=2.0)
        >>> _ = learner.predict()
        >>> learner.update([1.0])
        >>> learner.predict().tolist()
        [-0.5]
    """

    asks: ClassVar[tuple[str, ...]] = ("lam",)

    def __init__(self, domain: Any = None, *, lam: float | None = None, G: float | None = None, x1: Any = None) -> None:
        super().__init__(domain, G=G, x1=x1)
        self.lam = None if lam is None else check_number("lam", lam, low=0, low_open=True)

    def _step(self) -> float:
        return 1.0 / (self._constant("lam") * (self.t + 1))
