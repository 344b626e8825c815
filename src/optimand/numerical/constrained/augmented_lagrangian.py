"""The classical augmented Lagrangian method: minimize, move the multipliers, raise the penalty.

A peer of AdaSketch-Newton in Hong, Na, Mahoney, Kolar (ICML 2023), after M. R. Hestenes and M. J. D. Powell (1969).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

from ..limits import Limits, Status, message
from .baselines import finished
from .nlp import EqualityProblem, Evaluations, Point

Array = NDArray[np.float64]
HALVINGS = 60
DENSE = 500


def solve_augmented_lagrangian(
    problem: EqualityProblem,
    *,
    tol: float = 1e-4,
    maxiter: int = 50,
    max_newton: int = 2000,
    max_seconds: float = 60.0,
    mu: float = 1.0,
    tau: float = 0.1,
    armijo: float = 1e-4,
) -> Any:
    """Minimize ``f + λ·c + (μ/2)‖c‖²`` by Newton's method with GMRES; then ``λ += μc``, ``μ *= 1.5``, ``τ *= 0.1``.

    Args:
        problem: with ``hess``.
        tol: KKT residual to reach, > 0.
        maxiter: outer iterations, at least 1.
        max_newton: Newton steps in all, at least 1.
        max_seconds: > 0.
        mu: first penalty, > 0.
        tau: gradient at which the first inner minimization ends, > 0.
        armijo: share of the slope's promise that a step must bring; in (0, 1).

    Returns:
        SciPy's OptimizeResult with ``x, lam, fun, kkt, optimality, constr_violation``, ``nit`` (outer iterations),
        ``n_inner`` (Newton steps), ``nfev, njev, nhev, mu, success, status, message``.

    Raises:
        TypeError, ValueError: an option out of range.

    Example:
        >>> from .problems import equality_problem
        >>> solve_augmented_lagrangian(equality_problem("hs28")).success
        True
    """
    check_number("tol", tol, low=0, low_open=True)
    check_int("maxiter", maxiter, low=1)
    check_int("max_newton", max_newton, low=1)
    check_number("mu", mu, low=0, low_open=True)
    check_number("tau", tau, low=0, low_open=True)
    check_number("armijo", armijo, low=0, high=1, low_open=True, high_open=True)
    evals, limits = Evaluations(problem), Limits(maxiter=maxiter, max_seconds=max_seconds)
    lam = np.zeros(evals.m) if problem.lam0 is None else problem.lam0.copy()
    newton, outer = 0, 0
    with np.errstate(all="ignore"):
        point = evals.start(problem.x0.copy(), lam)
        status = Status.CONVERGED if point.kkt <= tol else None
        while status is None:
            while np.linalg.norm(_slope(point, mu)) > tau and status is None:
                if newton >= max_newton:
                    status = Status.ITERATIONS
                else:
                    status = limits.reached(0) if limits.reached(0) is Status.TIME else None
                if status is None:
                    trial = _newton_step(evals, point, mu, armijo)
                    newton += 1
                    status, point = (None, trial) if isinstance(trial, Point) else (trial, point)
            if status is not None:
                break
            # ∇f and G do not depend on the multipliers
            point = Point(point.x, point.lam + mu * point.c, point.f, point.c, point.g, point.J)
            mu, tau, outer = 1.5 * mu, 0.1 * tau, outer + 1
            status = Status.CONVERGED if point.kkt <= tol else limits.reached(outer)
    return finished(
        problem, point.x, success=status is Status.CONVERGED, status=int(status), message=message(status), nit=outer,
        n_inner=newton, nfev=evals.nfev, njev=evals.njev, nhev=evals.nhev, mu=mu,
    )  # fmt: skip


def _value(point: Point, mu: float) -> float:
    return point.f + float(point.lam @ point.c) + 0.5 * mu * point.c2


def _slope(point: Point, mu: float) -> Array:
    return np.asarray(point.gL + mu * (point.J.T @ point.c))


def _newton_step(evals: Evaluations, point: Point, mu: float, armijo: float) -> Point | Status:
    """The next point, or why there is none."""
    from scipy.sparse.linalg import gmres

    slope = _slope(point, mu)
    shifted = Point(point.x, point.lam + mu * point.c, point.f, point.c, point.g, point.J)
    hessian = evals.hessian(shifted) + mu * (point.J.T @ point.J)
    least = _smallest_eigenvalue(hessian)
    if not (np.isfinite(slope).all() and math.isfinite(least)):
        return Status.NOT_FINITE
    shift = 1 - least if least <= 0 else 0.0
    n = len(slope)
    d = gmres(_plus_identity(hessian, shift), -slope, rtol=1e-4, atol=0, restart=min(n, 100), maxiter=20)[0]
    promise = float(slope @ d)
    if promise >= 0:  # GMRES was stopped short of a descent direction
        d, promise = -slope, -float(slope @ slope)
    value, alpha = _value(point, mu), 1.0
    slack = 10 * np.finfo(float).eps * max(1.0, abs(value))
    for _ in range(HALVINGS):
        trial = evals.at(point.x + alpha * d, point.lam)
        if _value(trial, mu) <= value + armijo * alpha * promise + slack:
            return trial
        alpha /= 2
    return Status.STALLED


def _smallest_eigenvalue(matrix: Any) -> float:
    from scipy.sparse.linalg import eigsh

    if not hasattr(matrix, "tocsr") or matrix.shape[0] <= DENSE:
        dense = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
        return float(np.linalg.eigvalsh(dense)[0]) if np.isfinite(dense).all() else math.nan
    start = np.ones(matrix.shape[0])
    return float(eigsh(matrix, k=1, which="SA", tol=1e-3, v0=start, return_eigenvectors=False)[0])


def _plus_identity(matrix: Any, shift: float) -> Any:
    if shift == 0:
        return matrix
    if hasattr(matrix, "tocsr"):
        from scipy.sparse import eye_array

        return matrix + shift * eye_array(matrix.shape[0])
    return matrix + shift * np.eye(matrix.shape[0])
