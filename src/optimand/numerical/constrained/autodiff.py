"""Problems stated with torch: every derivative by automatic differentiation, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import LinearConstraint
from scipy.sparse import issparse

from .interop import check_level, pieces_of
from .nlp import EqualityProblem, Vector, finite_vector


def torch_problem(
    fun: Callable[[Any], Any], x0: Any, constraints: Any, lam0: Any = None, name: str = ""
) -> EqualityProblem:
    """An ``EqualityProblem`` whose derivatives come from ``torch.func``.

    Args:
        fun: objective, from a float64 tensor (n,) to a scalar tensor, differentiable twice.
        x0: start, (n,), tensor or array.
        constraints: function from a tensor to a tensor of values, or a list of such functions and SciPy constraints
            with lb == ub whose functions take tensors.
        lam0: start of the multipliers.
        name: for messages and tables.

    Returns:
        The problem, with both ``hess`` and ``hessp``.

    Raises:
        ValueError: an inequality, ``x0`` is not a finite vector, or a value does not depend on x by torch operations.

    Example:
        >>> import torch
        >>> problem = torch_problem(lambda x: (x**4).sum(), [2.0, 1.0], lambda x: x.sum() - 2)
        >>> problem.grad(problem.x0).tolist(), problem.jac(problem.x0).tolist()
        ([32.0, 4.0], [[1.0, 1.0]])
        >>> problem.hess(problem.x0, np.zeros(1)).tolist()
        [[48.0, 0.0], [0.0, 12.0]]
    """
    start = finite_vector("x0", x0.detach().cpu().numpy() if isinstance(x0, torch.Tensor) else x0)
    functions = _functions(constraints)
    _check_depends("fun", fun, start, "; for a constant objective return 0 * x.sum()")
    for function in functions:
        _check_depends("constraints", function, start)

    def objective(x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(fun(x), dtype=x.dtype).reshape(())

    def values(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.as_tensor(function(x), dtype=x.dtype).reshape(-1) for function in functions])

    def lagrangian(x: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        return objective(x) + lam @ values(x)

    def hessp(x: Vector, lam: Vector, v: Vector) -> Vector:
        multipliers, direction = _tensor(lam), _tensor(v)
        slope = torch.func.grad(lambda y: lagrangian(y, multipliers))
        return _array(torch.func.grad(lambda y: slope(y) @ direction)(_tensor(x)))

    gradient = torch.func.grad(objective)
    jacobian = torch.func.jacrev(values)
    hessian = torch.func.jacrev(torch.func.grad(lagrangian))  # reverse mode twice: every operation has it
    return EqualityProblem(
        fun=lambda x: float(objective(_tensor(x))),
        grad=lambda x: _array(gradient(_tensor(x))),
        cons=lambda x: _array(values(_tensor(x))),
        jac=lambda x: _array(jacobian(_tensor(x))),
        hess=lambda x, lam: _array(hessian(_tensor(x), _tensor(lam))),
        hessp=hessp,
        x0=start,
        lam0=lam0,
        name=name,
    )


def _check_depends(name: str, function: Callable[[torch.Tensor], Any], x: Vector, hint: str = "") -> None:
    """ValueError where torch could not differentiate the value: what is detached would pass for a constant."""
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of float(tensor), of which the error says more
        value = function(_tensor(x).requires_grad_())
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        kind = "a detached tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise ValueError(f"{name} must return a tensor that depends on x by torch operations, got {kind}{hint}")


def _functions(constraints: Any) -> list[Callable[[torch.Tensor], Any]]:
    """The values of the constraints; a tuple that begins with a function is a function and its derivatives."""
    with_derivatives = isinstance(constraints, tuple) and constraints and callable(constraints[0])
    several = constraints if isinstance(constraints, (list, tuple)) and not with_derivatives else [constraints]
    if not several:
        pieces_of(several)  # raises
    return [_constraint(one) for one in several]


def _constraint(one: Any) -> Callable[[torch.Tensor], Any]:
    if isinstance(one, LinearConstraint):
        A = _tensor(one.A.toarray() if issparse(one.A) else np.atleast_2d(np.asarray(one.A)))
        offset = -_tensor(np.atleast_1d(pieces_of(one)[0].values(np.zeros(A.shape[1]))))
        return lambda x: A @ x - offset
    if callable(one):
        return one
    if isinstance(one, tuple) and one and callable(one[0]):
        return one[0]
    pieces_of([one])  # says what is wrong with it, if anything
    if isinstance(one, dict):
        return lambda x: one["fun"](x, *one.get("args", ()))
    level = _tensor(np.atleast_1d(one.lb))

    def difference(x: torch.Tensor) -> torch.Tensor:
        found = torch.as_tensor(one.fun(x)).reshape(-1)
        check_level(level.numel(), found.numel())
        return found - level

    return difference


def _tensor(x: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(x, dtype=np.float64))


def _array(x: torch.Tensor) -> Vector:
    return np.asarray(x.detach().cpu().numpy(), dtype=np.float64)
