"""Algorithm 2: the fully single loop with momentum-assisted estimators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimators import storm
from .schedules import as_schedule
from .state import PenaltyMethod


class SingleLoop(PenaltyMethod):
    """Penalty method in a single loop (Algorithm 2).

    A step evaluates three estimators at the same point ``(x, y, z)``: of ``sigma ∇_y f + ∇_y g`` at y, of ``∇_y g``
    at z and of the penalty gradient in x. Each is corrected by its value, for the same samples and the current
    sigma, at the previous point (STORM). Then the three variables move together, projected after the momentum.

    Args:
        oracle, x0, y0, project_x, project_y, sigma, alpha, gamma, sample, rng: see :class:`PenaltyMethod`.
        eta: rate at which estimates forget, in (0, 1], a number or a function of the step; 1 is the plain single
            loop, with one evaluation of each estimator instead of two. The first step has rate 1.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Reference: arXiv 2309.01753, Algorithm 2; estimators: Cutkosky, Orabona, "Momentum-based variance reduction in
    non-convex SGD", NeurIPS 2019.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> solver = SingleLoop(LevelOracle(f, g, (), ()), 1.0, 0.0, sigma=0.05, alpha=0.02, gamma=0.5, eta=0.5)
        >>> for _ in range(500):
        ...     solver.step()
        >>> round(float(solver.z), 2)
        0.88
    """

    _state = (*PenaltyMethod._state, "estimates", "previous")

    def __init__(self, *args: Any, eta: Any = 0.2, **options: Any) -> None:
        if "rho" in options:
            raise TypeError("rho is a parameter of the double loop, which alone has prox terms")
        super().__init__(*args, **options)
        self.eta = as_schedule("eta", eta, high=1.0)
        self.estimates: tuple[Any, ...] | None = None
        self.previous: tuple[Any, Any, Any] | None = None

    def step(self) -> None:
        """One step; FloatingPointError, with the point kept, when a gradient is not finite."""
        k = self.k + 1
        sigma, eta, batch = self.sigma(k), self.eta(k), self.draw()
        point = (self.x, self.y, self.z)
        gamma = self.gamma.update(k, self.oracle, *point, sigma, lambda: batch)
        new = self.oracle.joint(*point, sigma, batch)
        estimates: tuple[Any, ...] = new
        if self.estimates is not None and self.previous is not None and eta < 1:
            old = self.oracle.joint(*self.previous, sigma, batch)
            estimates = tuple(storm(*parts, eta) for parts in zip(self.estimates, new, old, strict=True))
        y, z = (self.project_y(w - gamma * e) for w, e in zip(point[1:], estimates[:2], strict=True))
        if not (np.isfinite(y).all() and np.isfinite(z).all()):
            raise FloatingPointError(f"the lower variables are not finite at step {k}")
        moved = self.move_x(k, estimates[2])
        self.estimates, self.previous = estimates, point
        self.x, self.y, self.z, self.k = moved, y, z, k
