"""Problems as published: the formulas as text, their exact derivatives by symbolic differentiation.

The text of a formula stands beside its source as it is printed there; SymPy differentiates it once and writes plain
Python functions for value, gradient, Jacobian and Hessian of the Lagrangian.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nlp import EqualityProblem
from .expressions import parse

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Formula:
    """A problem ``min f(x) subject to c(x) = 0`` in the notation of its source.

    Attributes:
        name: its name in the collection it is from.
        f: the objective, a formula in ``x1, x2, …`` ("0" where only ``c(x) = 0`` is to be solved); what a formula may
            hold is said in :func:`optimand.numerical.constrained.problems.expressions.parse`.
        c: the constraints' left-hand sides.
        x0: the standard start.
        f_star: the objective at the solution that solvers find from there; None where it has no meaning.
        recorded: outer iterations that the authors' result files give for the Gaussian sketch; None without a record,
            or where their solver stopped because the Jacobian became singular.

    Example:
        >>> circle = Formula("circle", "x1 + x2", ("x1**2 + x2**2 - 2",), (2.0, 1.0), -2.0)
        >>> problem = circle.problem()
        >>> float(problem.fun(problem.x0)), problem.cons(problem.x0).tolist(), problem.jac(problem.x0).tolist()
        (3.0, [3.0], [[4.0, 2.0]])
    """

    name: str
    f: str
    c: tuple[str, ...]
    x0: tuple[float, ...]
    f_star: float | None = None
    recorded: int | None = None

    @property
    def equations_only(self) -> bool:
        """Whether there is no objective."""
        return self.f == "0"

    def problem(self) -> EqualityProblem:
        """The problem with exact first and second derivatives; the multipliers start at zero."""
        functions = _functions(self.f, self.c, len(self.x0))
        return EqualityProblem(
            **functions, x0=np.array(self.x0), lam0=np.zeros(len(self.c)), name=self.name, f_star=self.f_star
        )


def _finite_range(evaluate: Callable[..., Any], shape: tuple[int, ...]) -> Callable[..., Array]:
    """An array from a function on Python floats, which raises where NumPy's would overflow to infinity."""
    if shape == ():
        overflown: Any = math.inf
        convert: Callable[[Any], Any] = float
    else:
        overflown = np.full(shape, math.inf)

        def convert(value: Any) -> Array:
            return np.array(value, dtype=np.float64).reshape(shape)

    def function(*arguments: Array) -> Any:
        try:
            return convert(evaluate(*[number for array in arguments for number in array.tolist()]))
        except (OverflowError, ValueError, ZeroDivisionError):
            return overflown if shape == () else overflown.copy()

    return function


@functools.lru_cache(maxsize=256)
def _functions(f: str, c: tuple[str, ...], n: int) -> dict[str, Any]:
    """The functions of an :class:`EqualityProblem`, compiled from formulas."""
    import sympy  # type: ignore[import-untyped]

    m = len(c)
    xs = sympy.symbols(f"x1:{n + 1}")
    lams = sympy.symbols(f"lam1:{m + 1}")
    objective = parse(f, n)
    constraints = [parse(text, n) for text in c]
    lagrangian = objective + sum(lam * g for lam, g in zip(lams, constraints, strict=True))

    def made(arguments: Sequence[Any], value: Any, shape: tuple[int, ...]) -> Callable[..., Array]:
        return _finite_range(sympy.lambdify(arguments, value, modules="math", cse=True), shape)

    gradient = [objective.diff(x) for x in xs]
    jacobian = [[g.diff(x) for x in xs] for g in constraints]
    slope = [lagrangian.diff(x) for x in xs]
    hessian = [[slope[max(i, j)].diff(xs[min(i, j)]) for j in range(n)] for i in range(n)]
    return {
        "fun": made(xs, objective, ()),
        "grad": made(xs, gradient, (n,)),
        "cons": made(xs, constraints, (m,)),
        "jac": made(xs, jacobian, (m, n)),
        "hess": made([*xs, *lams], hessian, (n, n)),
    }
