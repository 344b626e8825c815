"""The family ``constrained``: its methods are minimizers for equality constraints in SciPy's form."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.validation import OptimandError

from .loop import Statement, run_method

# What SciPy hands to a callable given as ``method=``; everything else in a signature is a hyperparameter.
STANDARD = ("fun", "x0", "args", "jac", "hess", "hessp", "bounds", "constraints", "callback")
ASKED = ("tol", "rng", "max_seconds")
_EXPECTED = (
    "expected a minimizer in the form that scipy.optimize.minimize takes as method=: "
    "minimizer(fun, x0, args=(), *, jac, hess, constraints, **options) -> OptimizeResult"
)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's minimizer into a method.

    Args:
        name: what the method is to be called.
        obj: a callable that ``scipy.optimize.minimize`` takes as ``method=``. It gets the objective, its gradient and
            Hessian, one ``NonlinearConstraint`` with Jacobian and Hessian, and of ``tol``, ``rng`` and ``max_seconds``
            those that its signature names. Its other keyword parameters are hyperparameters.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or fails on a small problem.

    Example:
        >>> from scipy.optimize import minimize
        >>> def mine(fun, x0, args=(), jac=None, constraints=(), maxiter=50, **options):
        ...     return minimize(fun, x0, jac=jac, method="SLSQP", constraints=constraints, options={"maxiter": maxiter})
        >>> adopt("mine", mine).defaults
        {'maxiter': 50}
    """
    named, takes_any = _keywords(obj)
    missing = [key for key in ("jac", "constraints") if key not in named and not takes_any]

    def trial(method: Method) -> None:
        if missing:
            raise OptimandError(f"method {name!r} takes no {' and no '.join(missing)}; {_EXPECTED}")
        _on_a_small_problem(method)

    return adoption.adopt(
        name,
        obj,
        family="constrained",
        takes="objective and start",
        expected=_EXPECTED,
        on="a small problem",
        trial=trial,
        build=functools.partial(_minimize, obj, named, takes_any),
        given=(*STANDARD, *ASKED),
        leading=2,  # whatever they are called: the objective and the start
    )


def _keywords(obj: Any) -> tuple[set[str], bool]:
    """The parameters that a minimizer names, and whether it takes any other; none where there is no signature."""
    try:
        parameters = inspect.signature(obj).parameters.values()
    except (TypeError, ValueError):
        return set(), False
    return {p.name for p in parameters}, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _minimize(
    minimizer: Callable[..., Any], named: set[str], takes_any: bool, statement: Statement, **hyper: Any
) -> Any:
    """Hand a statement to a minimizer in SciPy's form; at the top, so that a method made of it can be pickled."""
    stated = statement.scipy()
    fun, x0 = stated.pop("fun"), stated.pop("x0")
    rest = {key: value for key, value in stated.items() if takes_any or key in named}
    asked = {key: getattr(statement, key) for key in ASKED if key in named}
    with warnings.catch_warnings():
        # SciPy's SLSQP warns that it does not use the constraint's Hessian, which is offered to all
        warnings.filterwarnings("ignore", message="Constraint options")
        return minimizer(fun, x0, **rest, **asked, **hyper)


def _on_a_small_problem(method: Method, hyper: Mapping[str, Any] | None = None) -> Any:
    from .problems import equality_problem

    return run_method(equality_problem("hs28"), method.build, hyper or method.defaults, budget=500, max_seconds=5.0)


def describe(method: Method) -> dict[str, str]:
    """Facts about a method, found by solving HS28, a convex quadratic program in three variables.

    Args:
        method: of this family.

    Returns:
        ``solves hs28`` with the oracle calls that took, and what kinds of calls the method makes.

    Raises:
        Exception: whatever the method raises.
    """
    trace = _on_a_small_problem(method)
    solved = bool(trace.residuals) and trace.residuals[-1] <= 1e-4
    return {
        "solves hs28": f"in {trace.counter.total:g} oracle calls" if solved else "no",
        "asks for": ", ".join(sorted(trace.counter.by_kind)),
    }


add_family(
    Family(
        name="constrained",
        guide="constrained.md",
        summary="minimize under equality constraints: SQP and Newton methods on published problems, data and a PDE",
        adopt=adopt,
        describe=describe,
        methods=("adasketch-practical", "adasketch-exact", "sqp-l1-gmres", "slsqp", "trust-constr"),
    )
)
