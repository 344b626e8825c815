"""Restarts of an anchored method, at the points where they cost nothing."""

from __future__ import annotations

from optimand.core.validation import check_number
from optimand.numerical.stateful import Stateful

from .base import InclusionMethod
from .operators import Array


class Restarted(Stateful):
    """Moves a method's anchor to its point whenever the natural residual has fallen by a factor.

    The residual is looked at only where the method knows ``F(u)`` anyway. On sharp problems, such as games, this turns
    the rate 1/k into a linear one; it is no part of the paper.

    Args:
        method: the method, fresh.
        factor: in (0, 1).

    Reference: for restarts of Halpern's iteration on sharp problems, Lu, Yang, arXiv 2407.16144.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator, make_method
        >>> game = FiniteSumOperator.from_matrix_game([[2.0, 0.0], [0.0, 1.0]])
        >>> solver = Restarted(make_method("vr-halpern-inexact", game, np.full(4, 0.5), rng=0), 0.5)
        >>> for _ in range(300): solver.step()
        >>> bool(solver.method.natural_residual() < 1e-9)
        True
    """

    _state = ("method", "anchored")

    def __init__(self, method: InclusionMethod, factor: float) -> None:
        self.method = method
        self.factor = check_number("factor", factor, low=0, low_open=True, high=1, high_open=True)
        self.anchored: float | None = None  # the residual at the anchor

    @property
    def u(self) -> Array:
        """The point to report."""
        return self.method.u

    def step(self) -> None:
        """A step of the method, and a restart where it is due."""
        self.method.step()
        if self.method._known is None:
            return
        residual = self.method.natural_residual()
        if self.anchored is None:
            self.anchored = residual
        elif residual <= self.factor * self.anchored:
            self.method.restart()
            self.anchored = residual
