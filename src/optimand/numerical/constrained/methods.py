"""The catalog's methods of the family ``constrained``: functions ``method(statement, **hyper) -> OptimizeResult``."""

from __future__ import annotations

from typing import Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float, Int

from .loop import Statement

PAPER = "exact-al-sketching"
_PENALTIES = {"eta1": Float(0.01, 100.0, log=True), "eta2": Float(1e-4, 1.0, log=True)}


@method(
    "adasketch-minres", family="constrained", paper=PAPER, space=_PENALTIES,
    fixed={"sketch": "minres", "accuracy": "practical", "singular_tol": 1e-8},
    summary="AdaSketch-Newton whose KKT systems MINRES solves: products with the matrices only",
)  # fmt: skip
@method(
    "adasketch-exact", family="constrained", paper=PAPER, space=_PENALTIES,
    fixed={"sketch": "exact", "accuracy": "practical", "singular_tol": 1e-8},
    summary="AdaSketch-Newton with exact solves: Newton's method on the exact augmented Lagrangian",
)  # fmt: skip
@method(
    "adasketch-block", family="constrained", paper=PAPER,
    space={**_PENALTIES, "block_size": Int(2, 64, log=True), "delta": Float(1e-3, 0.5, log=True)},
    fixed={"sketch": "block", "accuracy": "practical", "singular_tol": 1e-8}, defaults={"block_size": 8},
    summary="AdaSketch-Newton, practical accuracy, projections onto several equations at a time",
)  # fmt: skip
@method(
    "adasketch-practical", family="constrained", paper=PAPER,
    space={**_PENALTIES, "delta": Float(1e-3, 0.5, log=True), "sketch": Choice("gaussian", "kaczmarz")},
    fixed={"accuracy": "practical", "singular_tol": 1e-8}, defaults={"sketch": "kaczmarz"},
    summary="AdaSketch-Newton, RK, with an accuracy test that is not conservative",
)  # fmt: skip
@method(
    "adasketch-rk", family="constrained", paper=PAPER, space=_PENALTIES, fixed={"sketch": "kaczmarz"},
    summary="AdaSketch-Newton-RK as in the paper: one equation of the KKT system at a time",
)  # fmt: skip
@method(
    "adasketch-gv", family="constrained", paper=PAPER, space=_PENALTIES, fixed={"sketch": "gaussian"},
    summary="AdaSketch-Newton-GV as in the paper: Gaussian combinations of the KKT system's equations",
)  # fmt: skip
def adasketch(
    statement: Statement,
    *,
    sketch: str = "gaussian",
    accuracy: str = "paper",
    block_size: int = 1,
    theta: float = 1.0,
    eta1: float = 1.0,
    eta2: float = 0.1,
    delta: float = 0.1,
    singular_tol: float = 1e-2,
    max_inner: int = 100_000,
) -> Any:
    """AdaSketch-Newton: see :func:`optimand.numerical.constrained.minimize_equality` for the options.

    Args:
        statement: the problem.
        sketch: how the KKT system is solved.
        accuracy: ``paper`` or ``practical``.
        block_size: equations at a time with ``block``.
        theta: factor of the accuracy.
        eta1: first penalty of the constraints.
        eta2: first penalty of the Lagrangian's gradient.
        delta: first accuracy.
        singular_tol: smallest eigenvalue of ``G Gᵀ`` from which the Jacobian counts as regular.
        max_inner: cap on inner iterations of an outer one.
    """
    from .minimize import solve_problem

    return solve_problem(
        statement.problem(), rng=statement.rng, tol=statement.tol, max_seconds=statement.max_seconds, sketch=sketch,
        accuracy=accuracy, block_size=block_size, theta=theta, eta1=eta1, eta2=eta2, delta=delta,
        singular_tol=singular_tol, max_inner=max_inner,
    )  # fmt: skip


@method("sqp-l1-gmres", family="constrained", space={"mu": Float(0.01, 100.0, log=True)})
def sqp_l1_gmres(statement: Statement, *, mu: float = 1.0, kappa: float = 0.1) -> Any:
    """ℓ1-SQP with GMRES whose accuracy adapts: inexact Newton with the merit function f + μ‖c‖₁.

    Args:
        statement: the problem.
        mu: first weight of the constraints.
        kappa: first relative accuracy.
    """
    from .sqp_l1_gmres import solve_sqp_l1_gmres

    return solve_sqp_l1_gmres(
        statement.problem(), tol=statement.tol, max_seconds=statement.max_seconds, mu=mu, kappa=kappa
    )


@method("slsqp", family="constrained")
def slsqp(statement: Statement, *, maxiter: int = 500) -> Any:
    """SciPy's SLSQP with exact first derivatives.

    Args:
        statement: the problem; ``ftol``, a tolerance on the objective, is the square of its ``tol``.
        maxiter: iterations.
    """
    from .baselines import dense_constraints, scipy_minimize

    return scipy_minimize(
        "SLSQP", statement.fun, statement.x0, jac=statement.grad,
        constraints=dense_constraints(statement.cons, statement.jac),
        options={"ftol": statement.tol**2, "maxiter": maxiter}, max_seconds=statement.max_seconds,
    )  # fmt: skip


@method("trust-constr", family="constrained", space={"radius": Float(0.01, 100.0, log=True)})
def trust_constr(statement: Statement, *, radius: float = 1.0, maxiter: int = 1000) -> Any:
    """SciPy's trust-constr with exact second derivatives.

    Args:
        statement: the problem; ``xtol``, the trust radius at which it gives up, is a hundredth of its ``tol``.
        radius: first trust radius.
        maxiter: iterations.
    """
    from .baselines import scipy_minimize

    stated = statement.scipy()
    options = {"gtol": statement.tol, "xtol": 1e-2 * statement.tol, "initial_tr_radius": radius, "maxiter": maxiter}
    return scipy_minimize(
        "trust-constr",
        stated.pop("fun"),
        stated.pop("x0"),
        options=options,
        max_seconds=statement.max_seconds,
        **stated,
    )


@method("ipopt", family="constrained", space={"mu_init": Float(1e-4, 10.0, log=True)})
def ipopt(statement: Statement, *, mu_init: float = 0.1, maxiter: int = 500) -> Any:
    """Ipopt through cyipopt (extra ``ipopt``) with exact second derivatives.

    Args:
        statement: the problem.
        mu_init: first barrier parameter.
        maxiter: iterations.
    """
    from .baselines import solve_ipopt

    return solve_ipopt(
        statement.problem(), tol=statement.tol, maxiter=maxiter, max_seconds=statement.max_seconds, mu_init=mu_init
    )
