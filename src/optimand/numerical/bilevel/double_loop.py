"""Algorithm 1: the double loop, with prox terms, averaging and batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.validation import check_int
from .penalty import lower_step
from .schedules import as_schedule
from .state import PenaltyMethod


class DoubleLoop(PenaltyMethod):
    """Penalty method with inner loops (Algorithm 1); ``inner_steps=1`` without batches is the exact single loop.

    A step runs, from ``u = y`` and ``v = z``, ``inner_steps`` projected gradient steps on the prox subproblems of
    ``sigma f + g`` and of ``g``, averages y and z with the results, and moves x along the penalty gradient at the
    *new* y and z.

    Args:
        oracle, x0, y0, project_x, project_y, sigma, alpha, gamma, sample, rng: see :class:`PenaltyMethod`.
        inner_steps: T >= 1; each draws a batch of its own.
        rho: prox parameter; infinite for none.
        beta: weight of the inner loops' results in (0, 1], a number or a function of the step.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Reference: arXiv 2309.01753, Algorithm 1.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> solver = DoubleLoop(LevelOracle(f, g, (), ()), 1.0, 0.0, sigma=0.01, alpha=0.2, inner_steps=10)
        >>> for _ in range(60):
        ...     solver.step()
        >>> round(float(solver.x), 2), round(float(solver.z), 2)
        (0.44, 0.89)
    """

    def __init__(
        self, *args: Any, inner_steps: int = 20, rho: float = math.inf, beta: Any = 1.0, **options: Any
    ) -> None:
        super().__init__(*args, rho=rho, **options)
        self.inner_steps = check_int("inner_steps", inner_steps, low=1)
        self.beta = as_schedule("beta", beta, high=1.0)

    def step(self) -> None:
        """One outer step; FloatingPointError, with the point kept, when a gradient is not finite."""
        k = self.k + 1
        x, sigma, beta = self.x, self.sigma(k), self.beta(k)
        gamma = self.gamma.update(k, self.oracle, x, self.y, self.z, sigma, self.draw)
        u, v = self.y, self.z
        for _ in range(self.inner_steps):
            h_u, g_v = self.oracle.lower(x, u, v, sigma, self.draw())
            u = lower_step(u, h_u, gamma, self.project_y, self.y, self.rho)
            v = lower_step(v, g_v, gamma, self.project_y, self.z, self.rho)
        if not (np.isfinite(u).all() and np.isfinite(v).all()):
            raise FloatingPointError(f"the lower variables are not finite at step {k}")
        y, z = (u, v) if beta == 1 else ((1 - beta) * self.y + beta * u, (1 - beta) * self.z + beta * v)
        moved = self.move_x(k, self.oracle.upper(x, y, z, sigma, self.draw()))
        self.x, self.y, self.z, self.k = moved, y, z, k
