"""What the solvers of this room share: checked arguments, the clock and the callback, the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.validation import check_int, check_number
from ..limits import Limits, Status, message, stops

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

    from .matrices import Vector

# A compiled loop returns after so many steps, or visited entries, to look at the clock and the keyboard: a few 10 ms.
STEPS_PER_CALL = 256
ENTRIES_PER_CALL = 20_000_000


def check_omega(value: Any) -> float:
    """``value`` as a float in (0, 2).

    Example:
        >>> check_omega(1)
        1.0
    """
    return check_number("omega", value, low=0, high=2, low_open=True, high_open=True)


class Solve:
    """The checked arguments of one solve.

    Args:
        A, b, x0, rtol, atol, maxiter, max_seconds, callback: as of ``sor``.
        for_cg: A must be symmetric with a positive diagonal, and not only have no zero there; ``maxiter`` may be 0.

    Attributes:
        matrix: A, prepared.
        b: right-hand side, and
        x: start, the solve's own copy; both divided by ``scale`` so that squares neither overflow nor vanish.

    Example:
        >>> Solve([[2.0]], [1.0], None, rtol=1e-8, atol=0, maxiter=9, max_seconds=None, callback=None).x
        array([0.])
    """

    def __init__(
        self,
        A: Any,
        b: Any,
        x0: Any,
        *,
        rtol: float,
        atol: float,
        maxiter: int,
        max_seconds: float | None,
        callback: Callable[[Any], Any] | None,
        for_cg: bool = False,
    ) -> None:
        from .matrices import check_vector, prepare

        self.matrix = prepare(A)
        if for_cg:
            self.matrix.require_positive_diagonal()
            self.matrix.require_symmetric()
        else:
            self.matrix.require_nonzero_diagonal()
        n = self.matrix.n
        self.b = check_vector("b", b, n)
        self.x = np.zeros(n) if x0 is None else check_vector("x0", x0, n).copy()
        self.scale = _scale(self.b, self.x)
        if self.scale != 1.0:
            self.b = self.b / self.scale
            self.x /= self.scale
        self.rtol = check_number("rtol", rtol, low=0, high=math.inf, high_open=True)
        self.atol = check_number("atol", atol, low=0) / self.scale
        self.maxiter = check_int("maxiter", maxiter, low=0 if for_cg else 1)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of x, got {callback!r:.60}")
        self.callback = callback
        self.limits = Limits(self.maxiter, max_seconds)

    def initial_residual(self) -> tuple[Vector, float]:
        """``b - A x`` at the start and its norm."""
        if self.x.any():
            return self.matrix.residual(self.b, self.x)
        return self.b.copy(), math.sqrt(self.b @ self.b)

    def steps(self, nit: int) -> int:
        """How many steps the next call of a compiled loop may take."""
        if self.callback is not None:
            return 1
        allowed = ENTRIES_PER_CALL // (self.matrix.nnz + 5 * self.matrix.n)
        return max(1, min(allowed, STEPS_PER_CALL, self.maxiter - nit))

    def ended(self, nit: int, x: Vector) -> Status | None:
        """Whether the callback or a limit ends it after ``nit`` steps at ``x``."""
        if self.callback is not None and stops(self.callback, self.unscaled(x)):
            return Status.STOPPED
        return self.limits.reached(nit)

    def unscaled(self, x: Vector) -> Vector:
        """``x`` in the user's units, as a copy; infinite where those cannot hold it."""
        with np.errstate(over="ignore"):
            return x * self.scale

    def result(self, status: Status, x: Vector, norm: float, nit: int, passes: int) -> OptimizeResult:
        """The result; ``norm`` is that of the residual at ``x``."""
        from scipy.optimize import OptimizeResult

        largest = np.finfo(np.float64).max / max(self.scale, 1.0)
        if self.scale > 1.0 and not np.abs(x).max() <= largest:  # the solution is beyond the range of numbers
            status, x = Status.NOT_FINITE, np.clip(x, -largest, largest)
            norm = self.matrix.residual(self.b, x)[1]
        norm *= self.scale
        converged = status is Status.CONVERGED
        return OptimizeResult(  # type: ignore[call-arg]
            x=x if self.scale == 1.0 else self.unscaled(x),
            success=converged,
            status=int(status),
            message=_told(status, f"residual norm {norm:.3g} after {nit} iterations"),
            nit=nit,
            cost=nit if converged else self.maxiter,
            residual_norm=norm,
            n_matvec=passes,
        )


# What these statuses mean for a linear system.
_WORDS = {
    Status.UNBOUNDED: "the matrix is not positive definite",
    Status.NOT_FINITE: "the iteration diverges: omega is too large, or the matrix not positive definite",
}


def _told(status: Status, detail: str) -> str:
    return f"{_WORDS[status]} ({detail})" if status in _WORDS else message(status, detail)


def _scale(b: Vector, x: Vector) -> float:
    """1, or a power of two near the largest entry where its square would leave the range of numbers."""
    largest = max(float(np.abs(b).max()), float(np.abs(x).max()))
    if largest == 0.0 or 1e-100 < largest < 1e100:
        return 1.0
    return math.ldexp(1.0, math.frexp(largest)[1])
