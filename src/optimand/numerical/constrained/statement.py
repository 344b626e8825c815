"""A problem as the methods of a comparison get it: SciPy's callables, each call counted by whoever made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .nlp import EqualityProblem

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """``min f(x) subject to c(x) = 0`` and what is asked of a method; its own hyperparameters come beside it.

    Attributes:
        fun: ``f(x)``.
        grad: ``∇f(x)``, shape ``(n,)``.
        hess: ``∇²f(x)``, shape ``(n, n)``, dense or SciPy-sparse.
        cons: ``c(x)``, shape ``(m,)``.
        jac: Jacobian of ``c``, shape ``(m, n)``, dense or SciPy-sparse.
        cons_hess: ``cons_hess(x, v)``: the Hessian of ``v·c``.
        x0: start.
        lam0: start of the multipliers.
        tol: KKT residual that is asked for.
        max_seconds: the most time that a method may take.
        rng: all randomness of the method.
    """

    fun: Callable[[Array], float]
    grad: Callable[[Array], Array]
    hess: Callable[[Array], Any]
    cons: Callable[[Array], Array]
    jac: Callable[[Array], Any]
    cons_hess: Callable[[Array, Array], Any]
    x0: Array
    lam0: Array
    tol: float = 1e-6
    max_seconds: float = 60.0
    rng: np.random.Generator | None = None

    def scipy(self) -> dict[str, Any]:
        """Keyword arguments of ``scipy.optimize.minimize`` and of a minimizer in its form."""
        from scipy import optimize

        make_constraint: Any = optimize.NonlinearConstraint
        constraint = make_constraint(self.cons, 0.0, 0.0, jac=self.jac, hess=self.cons_hess)
        return {
            "fun": self.fun, "x0": self.x0.copy(), "jac": self.grad, "hess": self.hess, "constraints": constraint
        }  # fmt: skip

    def problem(self) -> EqualityProblem:
        """The same as an :class:`EqualityProblem`, whose Hessian is the sum of the two."""
        return EqualityProblem(
            fun=self.fun, grad=self.grad, cons=self.cons, jac=self.jac, x0=self.x0, lam0=self.lam0,
            hess=lambda x, lam: self.hess(x) + self.cons_hess(x, lam),
        )  # fmt: skip
