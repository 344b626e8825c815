"""What the two algorithms share: the point, its checks, the batches, and the state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ...core.validation import check_number
from ..stateful import Stateful
from .oracle import PairedOracle, checked_projection
from .schedules import LowerStep, UpperStep, as_schedule

Array = Any


class PenaltyMethod(Stateful):
    """Base of :class:`DoubleLoop` and :class:`SingleLoop`.

    Args:
        oracle: the problem.
        x0: start of the upper variable.
        y0: start of y and z.
        project_x, project_y: sets X and Y, or projections onto them; None for no constraint.
        sigma: penalty, a number or a function of the step k = 1, 2, …
        alpha: upper step size: a number, a function of the step, or ``"auto"``.
        gamma: lower step size: a number, ``"auto"``, or a :class:`~.schedules.LowerStep` of your own.
        sample: draws a paired batch from a generator; None for all data.
        rng: seed or generator of the batches.

    Attributes:
        x, y, z: the point. ``z`` solves the lower level and is what a user wants; ``y`` solves the penalized one.
        k: steps taken.
        gradient: x-gradient, or its estimate, of the last step.
        mapping: ``‖x - P(x - alpha G)‖ / alpha`` of the last step.
    """

    _state: ClassVar[tuple[str, ...]] = ("x", "y", "z", "k", "mapping", "gradient", "alpha", "gamma", "rng")

    def __init__(
        self,
        oracle: PairedOracle,
        x0: Any,
        y0: Any,
        project_x: Any = None,
        project_y: Any = None,
        *,
        sigma: Any = 0.1,
        alpha: Any = 1.0,
        gamma: Any = "auto",
        rho: float = math.inf,
        sample: Callable[[np.random.Generator], Any] | None = None,
        rng: Any = None,
    ) -> None:
        if sample is not None and not callable(sample):
            raise TypeError(f"sample must be a function of a generator or None, got {sample!r:.60}")
        self.oracle = oracle
        self.project_x = checked_projection("project_x", project_x)
        self.project_y = checked_projection("project_y", project_y)
        self.sigma = as_schedule("sigma", sigma)
        self.rho = check_number("rho", rho, low=0, low_open=True)
        self.alpha = UpperStep(alpha)
        self.gamma = gamma if isinstance(gamma, LowerStep) else LowerStep(gamma, self.rho)
        self.sample, self.rng = sample, np.random.default_rng(rng)
        # Projected, so that a start outside the sets is no special case.
        self.x, self.y = (
            project(finite_array(name, value))
            for name, value, project in (("x0", x0, self.project_x), ("y0", y0, self.project_y))
        )
        self.z = self.y.copy()
        self.k, self.mapping = 0, math.inf
        self.gradient: Array | None = None

    def draw(self) -> Any:
        """A paired batch, or None for all data."""
        return None if self.sample is None else self.sample(self.rng)

    def move_x(self, k: int, gradient: Array) -> Array:
        """``P(x - alpha gradient)``; keeps the gradient and the norm of the mapping."""
        if not np.isfinite(np.vdot(gradient, gradient)):
            raise FloatingPointError(f"the x-gradient is not finite, or too large to be squared, at step {k}")
        alpha = self.alpha.update(k, self.x, gradient)
        moved = self.project_x(self.x - alpha * gradient)
        self.gradient, self.mapping = gradient, float(np.linalg.norm(self.x - moved)) / alpha
        return moved

    def step(self) -> None:
        """One step of the algorithm; FloatingPointError, with the point kept, when a gradient is not finite."""
        raise NotImplementedError


def finite_array(name: str, value: Any) -> Array:
    """``value`` as a new float64 array; ValueError if an entry is not finite, TypeError if it is no array."""
    try:
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, got {value!r:.60} ({type(value).__name__})") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {value!r:.60}")
    return found
