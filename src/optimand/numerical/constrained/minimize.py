"""Equality-constrained minimization: the entrance for users."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from optimand.core.validation import suggest
from optimand.numerical.limits import Limits, Status, message, stops

from .adasketch import AdaSketchNewton, Settings
from .interop import build_problem
from .nlp import EqualityProblem, finite_vector

# where it differs from the paper's algorithm, which stops where λmin(G Gᵀ) < 0.01, whatever the constraints' units
USERS = {"singular": "regularize", "singular_tol": None}


def solve_problem(
    problem: EqualityProblem,
    *,
    rng: np.random.Generator | int | None = None,
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> OptimizeResult:
    """Solve a ready ``EqualityProblem``; ``minimize_equality`` explains the options, the result and the errors.

    By default this is the paper's algorithm, with ``singular="stop"`` and ``singular_tol=1e-2``.

    Args:
        problem: functions, derivatives and start.
        rng: NumPy generator or seed of the sketches.
        callback: as in ``minimize_equality``.
        options: as in ``minimize_equality``: sketch, tol, accuracy, …

    Example:
        >>> problem = EqualityProblem(
        ...     fun=lambda x: x @ x, grad=lambda x: 2 * x, cons=lambda x: np.array([x.sum() - 2]),
        ...     jac=lambda x: np.ones((1, 2)), hess=lambda x, lam: 2 * np.eye(2), x0=[3.0, 0.0])
        >>> found = solve_problem(problem, sketch="kaczmarz", rng=0)
        >>> found.success, found.nit, found.x.round(6).tolist()
        (True, 1, [1.0, 1.0])
    """
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of x, got {callback!r:.60}")
    names = [field.name for field in fields(Settings)]
    for name in options:
        if name not in names:
            raise TypeError(f"unknown option {name!r}{suggest(name, names)}")
    settings = Settings(**options)
    limits = Limits(maxiter=settings.maxiter, max_seconds=settings.max_seconds)
    solver = AdaSketchNewton(problem, settings, np.random.default_rng(rng))
    status = solver.run(limits, None if callback is None else _after_iteration(callback))
    return _result(solver, status)


def _after_iteration(callback: Callable[..., Any]) -> Callable[[AdaSketchNewton], bool]:
    """SciPy's two forms of a callback: of x, or of a keyword ``intermediate_result``."""
    try:
        whole = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):
        whole = False

    def call(solver: AdaSketchNewton) -> bool:
        point = solver.point
        if not whole:
            return stops(callback, point.x.copy())
        found = OptimizeResult(x=point.x.copy(), fun=point.f, lam=point.lam.copy(), kkt=point.kkt, nit=solver.nit)  # type: ignore[call-arg]
        return stops(callback, intermediate_result=found)

    return call


def _message(solver: AdaSketchNewton, status: Status) -> str:
    if solver.sentence:
        return solver.sentence
    regularized = int(sum(solver.history["regularized"]))
    if regularized:
        times = "1 iteration" if regularized == 1 else f"{regularized} iterations"
        solver.detail += f"; regularized at {times}, the gradients of the constraints being dependent"
    return message(status, solver.detail)


def _result(solver: AdaSketchNewton, status: Status) -> OptimizeResult:
    best, evals = solver.best, solver.evals
    return OptimizeResult(  # type: ignore[call-arg]
        x=best.x,
        lam=best.lam,
        fun=best.f,
        constr_violation=float(np.sqrt(best.c2)),
        optimality=float(np.sqrt(best.gL2)),
        kkt=best.kkt,
        nit=solver.nit,
        n_inner=solver.n_inner,
        nfev=evals.nfev,
        njev=evals.njev,
        nhev=evals.nhev,
        success=status == Status.CONVERGED,
        status=int(status),
        message=_message(solver, status),
        eta1=solver.eta1,
        eta2=solver.eta2,
        delta=solver.delta,
        history={name: np.array(entries) for name, entries in solver.history.items()},
    )


def minimize_equality(
    fun: Callable[..., Any],
    x0: Any,
    jac: Any = None,
    hess: Any = None,
    constraints: Any = (),
    lam0: Any = None,
    *,
    rng: np.random.Generator | int | None = None,
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> OptimizeResult:
    """Minimize f(x) subject to c(x) = 0 by AdaSketch-Newton.

    Args:
        fun: objective, ``fun(x) -> float``. Functions of torch tensors are differentiated automatically (without
            ``jac``, ``hess`` and the constraints' derivatives); ``x0`` as a tensor says so from the start.
        x0: start, (n,).
        jac: gradient ``jac(x) -> (n,)``; True if ``fun`` returns it too; None for finite differences.
        hess: Hessian of the objective, ``hess(x) -> (n, n)``, array or sparse; None for differences of the gradient.
        constraints: a function ``con(x) -> (m,)``, a tuple ``(con, con_jac, con_hess_vec)`` (Jacobian (m, n), and
            ``con_hess_vec(x, v)`` = Σ vᵢ∇²cᵢ; later entries may be left out), a SciPy ``NonlinearConstraint`` or
            ``LinearConstraint`` with lb == ub, a dict ``{"type": "eq", "fun": …}``, or a list of these; 1 ≤ m ≤ n.
        lam0: start of the multipliers, (m,); zeros by default.
        rng: NumPy generator or seed; the same seed gives the same result.
        callback: called after each iteration with x, or with a keyword ``intermediate_result`` if that is its only
            parameter; a true result, or StopIteration, stops.
        options: keywords:

            * sketch (``gaussian``): how the Newton-KKT system is solved: ``gaussian`` or ``kaczmarz`` (the paper's GV
              and RK), ``block`` (``block_size`` equations at a time), ``exact`` (LU), ``gmres``, ``minres``.
            * block_size (1); weighted (False): ``kaczmarz`` draws equations by their squared norms, not uniformly.
            * tol (1e-4): on the KKT residual ‖(∇f + Gᵀλ; c)‖₂.
            * accuracy (``paper``): the paper's test ‖A‖_F Ψ ‖r‖ ≤ θ δ ‖b‖, which is very strict; ``practical`` asks
              ‖r‖ ≤ θ δ ‖b‖ only, δ falling with every failed descent test, for a fifth of the inner work.
            * theta (1.0): θ, a number above 0 or ``theta(k, b_norm)``; min(1, ‖b‖) makes convergence superlinear.
            * maxiter (10 000), max_inner (100 000, per iteration), max_seconds (None): caps.
            * singular (``regularize``): what happens where the gradients of the constraints, the rows of G, are
              dependent: the iteration solves [[B, Gᵀ], [G, −ρI]] d = b with ρ = 0.01, and the message says how many
              did; ``stop`` ends with status SINGULAR, as the paper does.
            * singular_tol (None): they count as dependent where λmin(G Gᵀ) is below it; None compares rows scaled to
              length 1 with 1e-8, whatever the units of the constraints. The paper has 1e-2.
            * curvature_tol (1e-6): below it λmin(Zᵀ H Z) gets the Hessian shifted by ξ_B + ‖H‖_F.
            * eta1 (1), eta2 (0.1), delta (0.1): starting penalties and accuracy, above 0; xi_b (0.1): ξ_B > 0;
              beta (0.1): Armijo's factor in (0, ½); nu (1.5): factor of the penalties' changes, above 1.

    Returns:
        OptimizeResult of the point with the smallest KKT residual: ``x``, ``lam``, ``fun``, ``constr_violation``
        (‖c‖₂), ``optimality`` (‖∇f + Gᵀλ‖₂), ``kkt`` (both together), ``nit``, ``n_inner`` (updates of all inner
        solves), ``nfev`` (of f and c), ``njev`` (of both first derivatives), ``nhev``, ``success``, ``status`` (of
        ``optimand.numerical.limits.Status``), ``message``, ``eta1``, ``eta2``, ``delta``, ``history`` (arrays by name,
        one entry an iteration; ``kkt`` and ``fun`` begin with the start).

    Raises:
        ValueError: inequalities, m > n, a Jacobian of the wrong shape or transposed, values that are not finite at the
            start, options out of range.
        TypeError: something of the wrong kind.

    Reference:
        Hong, Na, Mahoney, Kolar, ICML 2023, arXiv 2305.18379, AdaSketch-Newton.

    Example:
        >>> found = minimize_equality(
        ...     lambda x: (1 - x[0]) ** 2, [-1.2, 1.0], constraints=lambda x: 10 * (x[1] - x[0] ** 2), rng=0)
        >>> found.success, found.nit, found.x.round(4).tolist()
        (True, 9, [1.0, 1.0])
    """
    if _takes_tensors(fun, x0):
        from .autodiff import torch_problem

        if jac is not None or hess is not None:
            raise ValueError("jac and hess must be None for functions of torch tensors: they are differentiated")
        problem = torch_problem(fun, x0, constraints, lam0)
    else:
        problem = build_problem(fun, x0, jac, hess, constraints, lam0)
    return solve_problem(problem, rng=rng, callback=callback, **{**USERS, **options})


def _takes_tensors(fun: Any, x0: Any) -> bool:
    """Whether the objective is torch's: x0 is a tensor, or fun refuses an array in favour of a tensor."""
    if "torch" not in sys.modules or not callable(fun):
        return False
    if isinstance(x0, sys.modules["torch"].Tensor):
        return True
    try:
        value = fun(finite_vector("x0", x0))
    except TypeError as error:
        return "Tensor" in str(error)
    return isinstance(value, sys.modules["torch"].Tensor)
