"""ℓ1-SQP with GMRES: the inexact Newton method on the KKT system whose merit function is not smooth.

The peer that Hong, Na, Mahoney and Kolar (ICML 2023) compare AdaSketch-Newton with, after R. H. Byrd, F. E. Curtis,
J. Nocedal, "An inexact SQP method for equality constrained optimization", SIAM J. Optim. 19 (2008).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

from ..limits import Limits, Status, message
from .baselines import finished
from .kkt import assemble
from .nlp import EqualityProblem, Evaluations, Point

Array = NDArray[np.float64]
HALVINGS = 60
MU_CAP, KAPPA_FLOOR = 1e10, 1e-12  # beyond them a step is taken as it is
CHUNK = 2
ARMIJO = 1e-8  # share of the model's reduction that a step must bring
SIGMA = 0.09  # of the model reduction test
NU = 1.5  # factor by which a failed test raises μ; κ falls by its square


def solve_sqp_l1_gmres(
    problem: EqualityProblem,
    *,
    tol: float = 1e-4,
    maxiter: int = 1000,
    max_seconds: float = 60.0,
    mu: float = 1.0,
    kappa: float = 0.1,
) -> Any:
    """Newton steps on the KKT system by GMRES, Armijo line search on ``f + μ‖c‖₁``.

    Args:
        problem: with ``hess``.
        tol: KKT residual to reach, > 0.
        maxiter: iterations, at least 1.
        max_seconds: > 0.
        mu: first weight of the constraints in the merit function, > 0.
        kappa: GMRES ends at first at ``‖r‖₁ ≤ κ‖b‖₁``, in (0, 1); a failed model reduction test lowers it for good.

    Returns:
        SciPy's OptimizeResult with ``x, lam, fun, kkt, optimality, constr_violation, nit, n_inner`` (products with the
        matrix), ``nfev, njev, nhev, alphas, mu, kappa, success, status, message``.

    Raises:
        TypeError, ValueError: an option out of range.

    Example:
        >>> from .problems import equality_problem
        >>> found = solve_sqp_l1_gmres(equality_problem("hs6"))
        >>> found.success, found.kkt <= 1e-4
        (True, True)
    """
    check_number("tol", tol, low=0, low_open=True)
    check_int("maxiter", maxiter, low=1)
    check_number("mu", mu, low=0, low_open=True)
    check_number("kappa", kappa, low=0, high=1, low_open=True, high_open=True)
    evals, limits = Evaluations(problem), Limits(maxiter=maxiter, max_seconds=max_seconds)
    lam = np.zeros(evals.m) if problem.lam0 is None else problem.lam0.copy()
    detail, products = "", 0
    alphas: list[float] = []
    with np.errstate(all="ignore"):
        point = evals.start(problem.x0.copy(), lam)
        status: Status | None = None
        while status is None:
            if point.kkt <= tol:
                status = Status.CONVERGED
                break
            status = limits.reached(len(alphas))
            if status is not None:
                break
            kkt = assemble(
                evals.hessian(point), point.J, singular_tol=-math.inf, curvature_tol=1e-6, xi_B=0.1,
                rng=np.random.default_rng(0),
            )  # fmt: skip
            if kkt.A is None or not math.isfinite(kkt.a_norm):
                status = Status.NOT_FINITE
                break
            step = _Step(point, kkt.A, limits)
            while True:
                step.refine(kappa)
                reduction, least = step.model_reduction(mu)
                if reduction >= least or mu > MU_CAP or kappa < KAPPA_FLOOR:
                    break
                mu, kappa = mu * NU, kappa / NU**2
            products += step.products
            found = _line_search(evals, point, step.d, reduction, mu)
            if found is None:
                status, detail = Status.STALLED, f"no decrease in {HALVINGS} halvings at iteration {len(alphas)}"
                break
            alpha, point = found
            alphas.append(alpha)
    assert status is not None
    return finished(
        problem, point.x, success=status is Status.CONVERGED, status=int(status), message=message(status, detail),
        nit=len(alphas), n_inner=products, nfev=evals.nfev, njev=evals.njev, nhev=evals.nhev,
        alphas=np.array(alphas), mu=mu, kappa=kappa,
    )  # fmt: skip


class _Step:
    """An inexact solution of the Newton-KKT system ``A d = b`` that can be refined."""

    def __init__(self, point: Point, matrix: Any, limits: Limits) -> None:
        self.point, self.matrix, self.limits = point, matrix, limits
        self.b = -np.concatenate([point.gL, point.c])
        self.d = np.zeros_like(self.b)
        self.chunk, self.products = CHUNK, 0

    def refine(self, kappa: float) -> None:
        """GMRES from the present ``d``, two products at a time, to ``‖A d - b‖₁ ≤ κ‖b‖₁``."""
        from scipy.sparse.linalg import gmres

        goal = kappa * float(np.abs(self.b).sum())
        residual = self._residual()
        while residual > goal and self.limits.reached(0) is not Status.TIME:
            self.d = gmres(
                self.matrix, self.b, x0=self.d, rtol=0, atol=1e-3 * goal / len(self.b), restart=self.chunk, maxiter=1
            )[0]
            self.products += self.chunk
            before, residual = residual, self._residual()
            if residual > 0.99 * before:
                if self.chunk > len(self.b):
                    return  # rounding, or a singular matrix: it gets no better
                # restarts after two products can stand still on an indefinite matrix
                self.chunk *= 2

    def _residual(self) -> float:
        return float(np.abs(self.matrix @ self.d - self.b).sum())

    def model_reduction(self, mu: float) -> tuple[float, float]:
        """What the step promises for ``f + μ‖c‖₁``, and what it must promise at least."""
        point, n = self.point, len(self.point.x)
        dx = self.d[:n]
        bend = max(0.5 * float(dx @ (self.matrix[:n, :n] @ dx)), 0.0)
        now = float(np.abs(point.c).sum())
        then = float(np.abs(point.J @ dx + point.c).sum())
        return -float(point.g @ dx) - bend + mu * (now - then), SIGMA * mu * max(now, then - now)


def _line_search(evals: Evaluations, point: Point, d: Array, reduction: float, mu: float) -> tuple[float, Point] | None:
    n = len(point.x)
    value = point.f + mu * float(np.abs(point.c).sum())
    slack = 10 * np.finfo(float).eps * max(1.0, abs(value))
    alpha = 1.0
    for _ in range(HALVINGS):
        trial = evals.at(point.x + alpha * d[:n], point.lam + alpha * d[n:])
        if trial.f + mu * float(np.abs(trial.c).sum()) <= value - ARMIJO * alpha * reduction + slack:
            return alpha, trial
        alpha /= 2
    return None
