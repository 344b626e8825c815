"""Conjugate gradients, plain and preconditioned by symmetric successive over-relaxation (SSOR)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..limits import Status
from .solving import Solve, check_omega

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult
    from scipy.sparse.linalg import LinearOperator

    from .matrices import Vector

FAILURES = (Status.SINGULAR, Status.NOT_FINITE, Status.STALLED, Status.UNBOUNDED)


def ssor_preconditioner(A: Any, omega: float) -> LinearOperator:
    """The inverse of W = omega/(2 - omega) (D/omega + L') D^-1 (D/omega + L) for SciPy's solvers.

    No set-up beyond a check of the matrix; an application costs about one product with A.

    Args:
        A: symmetric with a positive diagonal; dense, sparse, or a ``PreparedMatrix``.
        omega: in (0, 2); 1 is symmetric Gauss-Seidel.

    Returns:
        A symmetric LinearOperator of A's shape, the ``M`` of ``scipy.sparse.linalg.cg``.

    Raises:
        TypeError, ValueError: as in ``ssor_cg``.

    Reference:
        Khodak et al. (arXiv 2310.02246), section on SSOR; Axelsson (1972).

    Example:
        >>> from scipy.sparse.linalg import cg
        >>> A = np.array([[4.0, -1.0], [-1.0, 4.0]])
        >>> x, info = cg(A, np.array([3.0, 3.0]), M=ssor_preconditioner(A, 1.2))
        >>> x.round(4).tolist(), info
        ([1.0, 1.0], 0)
    """
    from scipy.sparse.linalg import LinearOperator

    from .matrices import prepare
    from .sweeps import apply_ssor

    matrix = prepare(A)
    matrix.require_positive_diagonal()
    matrix.require_symmetric()
    weight = check_omega(omega)

    def apply(r: Any) -> Any:
        if np.iscomplexobj(r):
            raise TypeError("r must be real: apply the preconditioner to the real and the imaginary part")
        z = np.empty(matrix.n)
        apply_ssor(matrix.arrays, weight, np.ascontiguousarray(r, dtype=np.float64).reshape(-1), z)
        return z

    return LinearOperator(matrix.shape, matvec=apply, rmatvec=apply, dtype=np.dtype(np.float64))  # type: ignore[call-arg]


def ssor_cg(
    A: Any,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    omega: float,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int = 10_000,
    max_seconds: float | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> OptimizeResult:
    """Solve A x = b by conjugate gradients with the SSOR preconditioner.

    It stops when the 2-norm of the recursive residual is at most ``max(rtol * ||b||, atol)``: relative to b, also
    with a warm start, which may need no iteration at all. If the true residual is more than twice that, by rounding,
    it begins anew from x. It iterates on the preconditioned system, whose product with a vector is two triangular
    solves and no product with A (Eisenstat's trick).

    Args:
        A: symmetric positive definite; dense, sparse, or a ``PreparedMatrix``.
        b: right-hand side, shape (n,).
        x0: start, shape (n,); zero by default.
        omega: in (0, 2); 1 is symmetric Gauss-Seidel.
        rtol: relative tolerance, at least 0.
        atol: absolute tolerance, at least 0.
        maxiter: cap on the iterations, at least 0.
        max_seconds: cap on the time, looked at every few hundredths of a second; None for none.
        callback: called with a copy of x after every iteration; a true result, or StopIteration, stops.

    Returns:
        OptimizeResult with ``x``, ``success``, ``status`` (``optimand.numerical.limits.Status``), ``message``,
        ``nit`` (updates of x), ``residual_norm`` (of the true residual, at most twice the tolerance), ``cost``
        (``nit``, or ``maxiter`` where it did not converge) and ``n_matvec`` (passes over the matrix; two triangular
        solves are one). Directions of negative curvature end it as ``UNBOUNDED``: A is not positive definite. Where
        arithmetic fails and the last point is worse than the start, ``x`` is the start.

    Raises:
        TypeError: A or b is not real, or A has no entries to look at.
        ValueError: an argument is out of range or has the wrong shape; A is not symmetric; a diagonal entry is not
            positive.

    Reference:
        Khodak, Chow, Balcan, Talwalkar (arXiv 2310.02246); Eisenstat, SIAM J. Sci. Stat. Comput. 2 (1981).

    Example:
        >>> found = ssor_cg([[4.0, -1.0], [-1.0, 4.0]], [3.0, 3.0], omega=1.2)
        >>> found.x.round(6).tolist(), found.success, found.nit
        ([1.0, 1.0], True, 2)
    """
    solve = Solve(
        A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, max_seconds=max_seconds, callback=callback, for_cg=True
    )  # fmt: skip
    return _Loop(solve, check_omega(omega)).run()


def cg(
    A: Any,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int = 10_000,
    max_seconds: float | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> OptimizeResult:
    """Solve A x = b by plain conjugate gradients: the baseline that a preconditioner is measured against.

    Args:
        A: symmetric positive definite with a positive diagonal; dense, sparse, or a ``PreparedMatrix``.
        b: right-hand side, shape (n,).
        x0: start, shape (n,); zero by default.
        rtol: tolerance relative to ||b||, at least 0.
        atol: absolute tolerance, at least 0.
        maxiter: cap on the iterations, at least 0.
        max_seconds: cap on the time; None for none.
        callback: called with a copy of x after every iteration; a true result, or StopIteration, stops.

    Returns:
        As ``ssor_cg``.

    Raises:
        TypeError, ValueError: as ``ssor_cg``.

    Reference:
        Hestenes and Stiefel (1952).

    Example:
        >>> found = cg([[4.0, -1.0], [-1.0, 4.0]], [3.0, 3.0])
        >>> found.x.round(6).tolist(), found.nit
        ([1.0, 1.0], 1)
    """
    solve = Solve(
        A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, max_seconds=max_seconds, callback=callback, for_cg=True
    )  # fmt: skip
    return _Loop(solve, None).run()


class _Loop:
    """Conjugate gradients in calls of a compiled loop; ``nit`` is the number of the iterate ``x``.

    Without ``omega`` there is no preconditioner.
    """

    def __init__(self, solve: Solve, omega: float | None) -> None:
        self.solve, self.matrix, self.omega, self.x = solve, solve.matrix, omega, solve.x
        self.nit = self.passes = 0

    def run(self) -> OptimizeResult:
        solve = self.solve
        target = max(solve.rtol * float(np.linalg.norm(solve.b)), solve.atol)
        r, norm = solve.initial_residual()
        start, first = self.x.copy(), norm
        status = Status.CONVERGED if norm <= target else solve.limits.reached(0)
        while status is None:
            status = self.until(target * target, r, norm)
            trusted = norm
            r, norm = solve.matrix.residual(solve.b, self.x)
            # The recursive residual is the one that is tested; where the true one stayed behind, begin anew from it.
            if status is Status.CONVERGED and norm > 2 * target:
                status = Status.STALLED if norm > 0.5 * trusted else None
        if status in FAILURES and not norm <= first:
            self.x, norm = start, first
        return solve.result(status, self.x, norm, self.nit, self.passes)

    def until(self, limit: float, r: Vector, norm: float) -> Status:
        """Go on from ``x`` with residual ``r`` until there is a reason to stop."""
        # rho, squared norm of the residual, length of the step that is due
        self.r, self.state = r, np.array([math.inf, norm * norm, 0.0])
        n = self.matrix.n
        self.work = np.zeros(n), np.zeros(n), np.zeros(n)
        self.passes += 1
        curvature = 1.0
        if self.omega is not None:
            from .sweeps import solve_upper

            solve_upper(self.matrix.arrays, self.omega, self.r)
            curvature = self.steps(-1.0, 1)[1]  # makes the first direction and leaves x where it is
        status = self.verdict(limit, curvature)
        while status is None:
            done, curvature = self.steps(limit, self.solve.steps(self.nit))
            self.nit += done
            self.passes += done
            status = self.verdict(limit, curvature)
            ended = self.solve.ended(self.nit, self.x)
            status = ended if status is None else status
        return status

    def steps(self, limit: float, count: int) -> tuple[int, float]:
        """Go up to ``count`` iterates on; returns how many, and the last p'Ap."""
        from .krylov import eisenstat_steps, plain_steps

        matrix, rest = self.matrix, (self.x, self.r, self.work, self.state, limit, count)
        if self.omega is None:
            return plain_steps(matrix.arrays, *rest)
        return eisenstat_steps(matrix.halves(), matrix.base_diagonal, matrix.shift, self.omega, *rest)

    def verdict(self, limit: float, curvature: float) -> Status | None:
        """Whether the loop ended by itself, and why."""
        square = self.state[1]
        if square <= limit:
            return Status.CONVERGED
        if not math.isfinite(square) or not math.isfinite(curvature):
            return Status.NOT_FINITE
        if curvature <= 0:
            return Status.UNBOUNDED if curvature < 0 else Status.SINGULAR
        return None
