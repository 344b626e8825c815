"""What AdaSketch-Newton is compared with, on the same :class:`EqualityProblem`: SLSQP and Ipopt.

All return a SciPy ``OptimizeResult`` with the same entries, judged by the same residual: ``kkt`` is ``‖(∇f + Jᵀλ; c)‖``
with the multipliers ``lam`` of least squares at the final point, ``optimality`` and ``constr_violation`` its two parts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int, check_number

from ..limits import MESSAGES, Limits, Status
from ..stationarity import kkt_residual, least_squares_multipliers
from .nlp import EqualityProblem

Array = NDArray[np.float64]
_SECONDS = 60.0


def finished(
    problem: EqualityProblem, x: Array, *, success: bool, status: int, message: str, nit: int, **more: Any
) -> Any:
    """The result at ``x``, with value, multipliers and residuals computed there.

    Args:
        problem: evaluated once more, which a comparison counts: four calls after the answer is known.
        x: shape ``(n,)``.
        success: what the solver says.
        status: its code.
        message: its words.
        nit: iterations.
        more: further entries.
    """
    from scipy import optimize

    with np.errstate(all="ignore"):
        fun, grad, cons, jac = float(problem.fun(x)), problem.grad(x), problem.cons(x), problem.jac(x)
        try:
            lam = least_squares_multipliers(grad, jac)
        except (np.linalg.LinAlgError, ValueError):  # values that are not finite
            lam = np.full(len(cons), math.nan)
        slope = grad + jac.T @ lam
        kkt = kkt_residual(slope, cons)
        return optimize.OptimizeResult(  # type: ignore[call-arg]
            x=x, lam=lam, fun=fun, constr_violation=float(np.linalg.norm(cons)),
            optimality=float(np.linalg.norm(slope)), kkt=kkt if math.isfinite(kkt) else math.inf,
            success=success, status=status, message=message, nit=nit, **more,
        )  # fmt: skip


class _TimeSpent(Exception):  # noqa: N818 (an outcome, not an error)
    pass


def scipy_minimize(
    method: str,
    fun: Callable[[Array], float],
    x0: Array,
    *,
    options: dict[str, Any],
    max_seconds: float = _SECONDS,
    **stated: Any,
) -> Any:
    """``scipy.optimize.minimize`` that ends in time and whatever the functions return.

    Args:
        method: of SciPy.
        fun: the objective.
        x0: start.
        options: of SciPy's method.
        max_seconds: looked at whenever the objective is asked for: SciPy's solvers have no cap on time of their own.
        stated: ``jac``, ``hess``, ``constraints``.

    Returns:
        SciPy's result; where time or finite values ran out, one that says so, with the latest point.
    """
    from scipy import optimize

    minimize: Any = optimize.minimize
    limits, latest, value = Limits(max_seconds=max_seconds), x0.copy(), math.nan

    def guarded(x: Array) -> float:
        nonlocal latest, value
        if limits.reached(0) is Status.TIME:
            raise _TimeSpent
        latest = np.array(x, dtype=np.float64)
        value = fun(x)
        return value

    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # such as "Singular Jacobian matrix": the result says whether it mattered
            warnings.simplefilter("ignore")
            return minimize(guarded, x0.copy(), method=method, options=options, **stated)
    except _TimeSpent:
        status, text = Status.TIME, MESSAGES[Status.TIME]
    except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
        # both solvers hand values that are not finite to LAPACK, which refuses them
        if np.isfinite(value) and "infs or NaNs" not in str(error):
            raise
        status, text = Status.NOT_FINITE, f"{type(error).__name__} in {method}: {error}"
    return optimize.OptimizeResult(x=latest, success=False, status=int(status), message=text, nit=-1)  # type: ignore[call-arg]


def dense_constraints(cons: Callable[[Array], Array], jac: Callable[[Array], Any]) -> Any:
    """Constraints for SLSQP, which wants dense Jacobians."""

    def dense(x: Array) -> Array:
        value = jac(x)
        return value.toarray() if hasattr(value, "toarray") else np.asarray(value)

    return {"type": "eq", "fun": cons, "jac": dense}


def solve_slsqp(
    problem: EqualityProblem, *, ftol: float = 1e-12, maxiter: int = 500, max_seconds: float = _SECONDS
) -> Any:
    """SciPy's SLSQP, a quasi-Newton SQP method with dense matrices.

    Args:
        problem: with ``grad`` and ``jac``; second derivatives are not used.
        ftol: a tolerance on the objective rather than on the KKT residual; > 0.
        maxiter: iterations, at least 1.
        max_seconds: checked at every value of the objective.

    Returns:
        See the module. ``success`` is SLSQP's own verdict.

    Raises:
        TypeError, ValueError: an option out of range.

    Example:
        >>> from .problems import equality_problem
        >>> found = solve_slsqp(equality_problem("hs6"))
        >>> found.success, found.kkt < 1e-6
        (True, True)
    """
    check_number("ftol", ftol, low=0, low_open=True)
    check_int("maxiter", maxiter, low=1)
    found = scipy_minimize(
        "SLSQP", problem.fun, problem.x0, jac=problem.grad, constraints=dense_constraints(problem.cons, problem.jac),
        options={"ftol": ftol, "maxiter": maxiter}, max_seconds=max_seconds,
    )  # fmt: skip
    return finished(
        problem, np.asarray(found.x, dtype=np.float64), success=bool(found.success), status=int(found.status),
        message=str(found.message), nit=int(found.nit),
    )  # fmt: skip


def solve_ipopt(
    problem: EqualityProblem, *, tol: float = 1e-8, maxiter: int = 500, max_seconds: float = _SECONDS, **options: Any
) -> Any:
    """Ipopt through cyipopt, with exact Hessians; sparse matrices stay sparse.

    Args:
        problem: with ``hess``; where its matrices are sparse, their patterns at ``x0`` hold everywhere.
        tol: Ipopt's ``tol``; > 0.
        maxiter: iterations, at least 1.
        max_seconds: Ipopt's ``max_wall_time``; > 0.
        options: further options of Ipopt, by its names.

    Returns:
        See the module; ``success`` where Ipopt says "solved" or "solved to acceptable level".

    Raises:
        OptimandError: cyipopt is not installed.
        TypeError, ValueError: an option out of range, or no ``hess``.

    Example:
        >>> from .problems import equality_problem
        >>> try:
        ...     solved = solve_ipopt(equality_problem("hs7")).success
        ... except OptimandError:  # cyipopt is an extra
        ...     solved = True
        >>> solved
        True
    """
    check_number("tol", tol, low=0, low_open=True)
    check_int("maxiter", maxiter, low=1)
    check_number("max_seconds", max_seconds, low=0, low_open=True)
    try:
        import cyipopt  # type: ignore[import-untyped]
    except ImportError as error:
        raise OptimandError("Ipopt needs the package cyipopt: pip install 'optimand[ipopt]'") from error
    if problem.hess is None:
        raise ValueError("hess must be given: Ipopt is run with exact Hessians here")
    callbacks = _IpoptCallbacks(problem)
    n, m = callbacks.n, callbacks.m
    free, zero = np.full(n, 1e20), np.zeros(m)
    solver = cyipopt.Problem(n=n, m=m, problem_obj=callbacks, lb=-free, ub=free, cl=zero, cu=zero)
    settings = {"print_level": 0, "sb": "yes", "tol": tol, "max_iter": maxiter, "max_wall_time": max_seconds, **options}
    for key, value in settings.items():
        solver.add_option(key, value)
    with np.errstate(all="ignore"):
        x, info = solver.solve(problem.x0.copy())
    text = info["status_msg"]
    text = text.decode() if isinstance(text, bytes) else str(text)
    return finished(
        problem, np.asarray(x), success=info["status"] in (0, 1), status=int(info["status"]), message=text,
        nit=callbacks.iterations,
    )  # fmt: skip


class _IpoptCallbacks:
    """The functions under the names that cyipopt calls."""

    def __init__(self, problem: EqualityProblem) -> None:
        self.problem, self.iterations = problem, 0
        jac: Any = problem.jac(problem.x0)
        jac = jac if hasattr(jac, "tocoo") else np.asarray(jac)
        self._at_start: Any = jac  # Ipopt asks for it again
        self.m, self.n = jac.shape
        self._jacobian = _pattern(jac, jac.shape)
        # without sparse matrices every entry counts, whatever the values
        hess: Any = problem.hess
        shape = (self.n, self.n)
        rows, cols = _pattern(hess(problem.x0, np.ones(self.m)) if hasattr(jac, "tocoo") else None, shape)
        lower = rows >= cols  # Ipopt wants the lower triangle
        self._hessian = rows[lower], cols[lower]

    def objective(self, x: Array) -> float:
        return float(self.problem.fun(x))

    def gradient(self, x: Array) -> Array:
        return np.asarray(self.problem.grad(x))

    def constraints(self, x: Array) -> Array:
        return np.asarray(self.problem.cons(x))

    def jacobianstructure(self) -> tuple[Array, Array]:
        return self._jacobian

    def jacobian(self, x: Array) -> Array:
        known, self._at_start = self._at_start, None
        if known is None or not np.array_equal(x, self.problem.x0):
            known = self.problem.jac(x)
        return _entries(known, self._jacobian)

    def hessianstructure(self) -> tuple[Array, Array]:
        return self._hessian

    def hessian(self, x: Array, lagrange: Array, factor: float) -> Array:
        hess: Any = self.problem.hess
        if factor == 0:  # in the restoration phase there is no objective
            return _entries(hess(x, lagrange), self._hessian) - _entries(hess(x, np.zeros(self.m)), self._hessian)
        return factor * _entries(hess(x, lagrange / factor), self._hessian)

    def intermediate(self, *progress: Any) -> bool:
        self.iterations = int(progress[1])
        return True


def _pattern(matrix: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    if hasattr(matrix, "tocoo"):
        coo = matrix.tocoo()
        return coo.row.astype(np.int64), coo.col.astype(np.int64)
    rows, cols = np.indices(shape)
    return rows.ravel(), cols.ravel()


def _entries(matrix: Any, where: tuple[Any, Any]) -> Array:
    if hasattr(matrix, "tocsr"):
        return np.asarray(matrix.tocsr()[where[0], where[1]], dtype=np.float64).ravel()
    return np.asarray(matrix, dtype=np.float64)[where]
