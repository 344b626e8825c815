"""Algorithm 1: the double loop, with prox terms, averaging and batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.validation import check_int
from .penalty import lower_step, penalty_value
from .schedules import as_schedule
from .state import PenaltyMethod

RISE = 1e-9  # relative: less is rounding


class DoubleLoop(PenaltyMethod):
    """Penalty method with inner loops (Algorithm 1); ``inner_steps=1`` without batches is the exact single loop.

    With ``alpha="auto"`` a step that finds the penalty function higher than before goes back to the point of the step
    before, and on from there with a quarter of the upper step; this takes three function values a step.

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

    _state = (*PenaltyMethod._state, "_good", "_looked")

    def __init__(
        self, *args: Any, inner_steps: int = 20, rho: float = math.inf, beta: Any = 1.0, **options: Any
    ) -> None:
        super().__init__(*args, rho=rho, **options)
        self.inner_steps = check_int("inner_steps", inner_steps, low=1)
        self.beta = as_schedule("beta", beta, high=1.0)
        # With an automatic step: the last point that was good, with f and g there.
        self._good: tuple[Any, Any, Any, tuple[float, float, float]] | None = None
        self._looked = False

    def step(self) -> None:
        """One outer step; FloatingPointError, with the point kept, when a gradient is not finite."""
        k = self.k + 1
        x, sigma, beta = self.x, self.sigma(k), self.beta(k)
        gamma = self.gamma.update(k, self.oracle, x, self.y, self.z, sigma, self.draw)
        u, v = self.y, self.z
        lengths: list[tuple[float, float]] = []
        for _ in range(self.inner_steps):
            h_u, g_v = self.oracle.lower(x, u, v, sigma, self.draw())
            last = (u, v)
            u = lower_step(u, h_u, gamma, self.project_y, self.y, self.rho)
            v = lower_step(v, g_v, gamma, self.project_y, self.z, self.rho)
            if self.alpha.auto:
                lengths.append((float(np.linalg.norm(u - last[0])), float(np.linalg.norm(v - last[1]))))
        y, z = (u, v) if beta == 1 else ((1 - beta) * self.y + beta * u, (1 - beta) * self.z + beta * v)
        # With a prox term or averages y and z lag behind x, and the penalty function says little.
        guarded = self.alpha.auto and beta == 1 and math.isinf(self.rho)
        if guarded and self._went_too_far(x, y, z, sigma, lengths):
            self.k = k
            return
        if not (np.isfinite(u).all() and np.isfinite(v).all()):
            raise FloatingPointError(f"the lower variables are not finite at step {k}")
        moved = self.move_x(k, self.oracle.upper(x, y, z, sigma, self.draw()))
        self.x, self.y, self.z, self.k = moved, y, z, k

    def _went_too_far(self, x: Any, y: Any, z: Any, sigma: float, lengths: list[tuple[float, float]]) -> bool:
        """Whether the step that led to x raised the penalty function: then back, and on with a shorter one.

        There y and z go on from where they were, so that a rise that only showed how badly they solved the lower
        problems costs one step. Lower steps that become longer show that x has outrun gamma: then the penalty function
        says nothing.
        """
        rounding = 1e-12 * (1 + float(np.linalg.norm(self.y)))
        grew = any(b > 2 * a + rounding for a, b in zip(lengths[0], lengths[-1], strict=True))
        finite = not grew and bool(np.isfinite(y).all() and np.isfinite(z).all())
        values = self.oracle.values(x, y, z) if finite else (math.nan,) * 3
        psi = penalty_value(*values, sigma)
        if self._good is not None:
            *point, others = self._good
            before = penalty_value(*others, sigma)
            moved = float(np.linalg.norm(x - point[0])) > 1e-9 * (1 + float(np.linalg.norm(x)))
            if moved and not psi <= before + RISE * abs(before):
                self.x, self.y, self.z = point
                self._good = None
                self.alpha.shorten()
                self.gamma.look_anew()
                return True
        if grew and not self._looked:  # once only: where the lower level is not convex, steps may well grow
            self._looked = True
            self.gamma.look_anew()
            return True
        self._looked = False
        if finite and not math.isfinite(psi):
            raise FloatingPointError(f"f or g is not finite at step {self.k + 1}, though the gradients are")
        if finite:
            self._good = (x, y, z, values)
        return False
