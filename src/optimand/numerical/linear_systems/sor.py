"""Successive over-relaxation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from ..limits import Status
from .solving import Solve, check_omega

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


def sor(
    A: Any,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    omega: float = 1.0,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int = 10_000,
    max_seconds: float | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> OptimizeResult:
    """Solve A x = b by successive over-relaxation.

    With A = D + L + U and M = D/omega + L, a step is x <- x + M^-1 (b - A x). It stops when the residual's 2-norm is
    at most ``max(rtol * ||b - A x0||, atol)``: relative to the *initial* residual. At least one step is taken. The
    test costs nothing, because a sweep meets the residual of the one before it; where it says converged, the residual
    is computed once more from its definition.

    Args:
        A: square, real, no zero on the diagonal; dense, sparse, or a ``PreparedMatrix``. Convergence is certain
            for symmetric positive definite A.
        b: right-hand side, shape (n,).
        x0: start, shape (n,); zero by default.
        omega: relaxation, in (0, 2); 1 is Gauss-Seidel.
        rtol: relative tolerance, at least 0.
        atol: absolute tolerance, at least 0.
        maxiter: cap on the steps, at least 1.
        max_seconds: cap on the time, looked at every few hundredths of a second; None for none.
        callback: called with a copy of x after every step; a true result, or StopIteration, stops.

    Returns:
        OptimizeResult with ``x``, ``success``, ``status`` (``optimand.numerical.limits.Status``), ``message``,
        ``nit``, ``residual_norm`` (of the true residual), ``cost`` (``nit``, or ``maxiter`` where it did not
        converge) and ``n_matvec`` (passes over the matrix). Where it does not converge, ``x`` is the best point among
        the start, the last, and every 256th or more frequent one.

    Raises:
        TypeError: A or b is not real, or A has no entries to look at.
        ValueError: an argument is out of range or has the wrong shape; a diagonal entry is 0.

    Reference:
        Young (1971); as the cost that omega is learned from: Khodak, Chow, Balcan, Talwalkar (arXiv 2310.02246).

    Example:
        >>> found = sor([[4.0, -1.0], [-1.0, 4.0]], [3.0, 3.0], omega=1.02)
        >>> found.x.round(6).tolist(), found.success, found.nit
        ([1.0, 1.0], True, 6)
    """
    solve = Solve(
        A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, max_seconds=max_seconds, callback=callback
    )  # fmt: skip
    return _Sweeps(solve, check_omega(omega)).run()


class _Sweeps:
    """One solve: ``x``, and the step that comes next."""

    def __init__(self, solve: Solve, omega: float) -> None:
        self.solve, self.omega, self.x = solve, omega, solve.x
        self.nit = self.passes = 0

    def run(self) -> OptimizeResult:
        solve = self.solve
        self.step, trusted = solve.initial_residual()
        self.prepare_step()
        target = max(solve.rtol * trusted, solve.atol)
        best, best_norm, status = self.x.copy(), trusted, None
        while status is None:
            norm = self.advance(target)
            if norm <= target:
                # The recurrence says so; rounding in x may say otherwise, and then it starts anew.
                self.step, norm = solve.matrix.residual(solve.b, self.x)
                if norm <= target:
                    status = Status.CONVERGED
                elif norm > 0.5 * trusted:
                    status = Status.STALLED
                else:
                    self.prepare_step()
                trusted = norm
            elif not math.isfinite(norm):
                status = Status.NOT_FINITE
            if norm < best_norm:
                best_norm = norm
                best[:] = self.x
            ended = solve.ended(self.nit, self.x)
            status = ended if status is None else status
        if status is not Status.CONVERGED:
            self.x = best
            norm = solve.matrix.residual(solve.b, best)[1]
        return solve.result(status, self.x, norm, self.nit, self.passes + 1)

    def prepare_step(self) -> None:
        """Replace the residual in ``step`` by the step that comes next."""
        from .sweeps import solve_lower

        solve_lower(self.solve.matrix.arrays, self.omega, self.step)
        self.passes += 1

    def advance(self, target: float) -> float:
        """Some steps in the compiled loop; returns the norm of the residual at ``x``."""
        from .sweeps import sor_sweeps

        count = self.solve.steps(self.nit)
        done, square = sor_sweeps(self.solve.matrix.arrays, self.omega, self.x, self.step, target * target, count)
        self.nit += done
        self.passes += done
        return math.sqrt(square)
