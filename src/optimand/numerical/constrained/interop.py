"""From SciPy's ways of stating a problem to an ``EqualityProblem``; finite differences for missing derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import HessianUpdateStrategy, LinearConstraint, NonlinearConstraint, OptimizeResult
from scipy.optimize._numdiff import approx_derivative
from scipy.sparse import csr_array, issparse, vstack
from scipy.sparse.linalg import LinearOperator

from .nlp import EqualityProblem, Vector, finite_vector

DIFFERENCES = ("2-point", "3-point", "cs")
SECOND_STEP = 5e-4  # relative step for differences of differences: the cube root of the first ones' error


@dataclass
class Piece:
    """One constraint of the user's: values, Jacobian and Σ vᵢ∇²cᵢ, the latter two None or a difference scheme."""

    fun: Callable[[Vector], Any]
    jac: Callable[[Vector], Any] | str | None = None
    hess_vec: Callable[[Vector, Vector], Any] | None = None

    def __post_init__(self) -> None:
        self.supplied = callable(self.jac)
        if not callable(self.jac):
            # unconverted values, because the scheme "cs" is of complex ones
            self.jac = _difference_jacobian(lambda x: np.array(self.fun(x)), self.jac)

    def values(self, x: Vector) -> Vector:
        return np.atleast_1d(np.array(self.fun(x), dtype=np.float64))

    def jacobian(self, x: Vector) -> Any:
        assert callable(self.jac)
        J = self.jac(x)
        return J if issparse(J) or isinstance(J, LinearOperator) else np.atleast_2d(np.asarray(J, dtype=np.float64))

    def curvature(self, x: Vector, v: Vector) -> Any:
        if self.hess_vec is not None:
            return _square("the constraints' hess", self.hess_vec(x, v), x.size)
        return differences_of(lambda y: self.jacobian(y).T @ v, x, not self.supplied)


def _difference_jacobian(values: Callable[[Vector], Any], scheme: Any) -> Callable[[Vector], Vector]:
    """The Jacobian by one of SciPy's difference schemes, 3-point where none is named."""
    if scheme not in (None, False, *DIFFERENCES):
        raise ValueError(f"jac must be a function, True, None or one of {DIFFERENCES}, got {scheme!r:.60}")
    method: Any = scheme or "3-point"
    return lambda x: np.atleast_2d(approx_derivative(values, x, method=method))


def _square(name: str, H: Any, n: int) -> Any:
    """A Hessian of the user's as (n, n); a number will do where n is 1, or where it is 0."""
    if isinstance(H, LinearOperator):
        H = H @ np.eye(n)
    if not issparse(H):
        H = np.asarray(H, dtype=np.float64)
        if H.size == 1 and (n == 1 or (H.ndim == 0 and H == 0)):
            return np.full((n, n), H.item())
    if H.shape != (n, n):
        raise ValueError(f"{name} must return a matrix of shape {(n, n)}, got {H.shape}")
    return H


def differences_of(slope: Callable[[Vector], Vector], x: Vector, twice: bool) -> Vector:
    """The symmetric part of the derivative of ``slope``; larger steps where it comes from differences itself."""
    H = np.atleast_2d(approx_derivative(slope, x, method="3-point", rel_step=SECOND_STEP if twice else None))
    return 0.5 * (H + H.T)


def pieces_of(constraints: Any) -> list[Piece]:
    """The constraints in any accepted form as pieces.

    Raises:
        ValueError: an inequality, or no constraint at all.
        TypeError: an object of another kind.
    """
    if isinstance(constraints, tuple) and constraints and callable(constraints[0]):
        if len(constraints) > 3 or not all(part is None or callable(part) for part in constraints):
            raise TypeError("constraints as a tuple of functions must be (con, con_jac, con_hess_vec)")
        return [Piece(*constraints)]
    if callable(constraints):
        return [Piece(constraints)]
    if isinstance(constraints, (dict, LinearConstraint, NonlinearConstraint)):
        constraints = [constraints]
    if not isinstance(constraints, Iterable):
        raise TypeError(f"constraints must be functions or SciPy constraints, got {type(constraints).__name__}")
    pieces = [_piece(one) for one in constraints]
    if not pieces:
        raise ValueError("constraints must hold at least one equality; without any, use scipy.optimize.minimize")
    return pieces


def _piece(one: Any) -> Piece:
    if isinstance(one, dict):
        return _from_dict(**one)
    if isinstance(one, LinearConstraint):
        A = csr_array(one.A) if issparse(one.A) else np.atleast_2d(np.asarray(one.A, dtype=np.float64))
        n, level = A.shape[1], _level(one, A.shape[0])
        zero = csr_array((n, n)) if issparse(A) else np.zeros((n, n))

        def linear(x: Vector) -> Vector:
            if x.size != n:
                raise ValueError(f"A of the LinearConstraint must have {x.size} columns, got shape {A.shape}")
            return A @ x - level

        return Piece(linear, lambda x: A, lambda x, v: zero)
    if isinstance(one, NonlinearConstraint):
        level = _level(one, None)
        fun: Any = one.fun

        def difference(x: Vector) -> Vector:
            found = np.atleast_1d(fun(x))
            check_level(level.size, found.size)
            return found - level

        return Piece(difference, one.jac, _second(one.hess))
    if callable(one) or (isinstance(one, tuple) and one and callable(one[0])):
        return pieces_of(one)[0]
    raise TypeError(f"constraints must be functions or SciPy constraints, got {type(one).__name__}")


def _from_dict(type: Any = None, fun: Any = None, jac: Any = None, hess: Any = None, args: Any = ()) -> Piece:
    """SciPy's dict, with ``hess(x, v, *args)`` besides."""
    if str(type).lower() != "eq":
        raise ValueError(f"constraints must be equalities: type {type!r} is unsupported")
    if not callable(fun):
        raise TypeError(f"constraints as a dict must have a function as 'fun', got {fun!r:.60}")
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"args of a constraint must be a tuple, got {args!r:.60}")
    second = _second(hess)
    return Piece(
        lambda x: fun(x, *args),
        (lambda x: jac(x, *args)) if callable(jac) else jac,
        second and (lambda x, v: second(x, v, *args)),
    )


def _second(hess: Any) -> Any:
    """A Hessian's function, or None where SciPy's other forms of it ask for an approximation."""
    if callable(hess):
        return hess
    strategy: Any = HessianUpdateStrategy
    if hess is None or isinstance(hess, strategy) or (isinstance(hess, str) and hess in DIFFERENCES):
        return None
    raise ValueError(
        f"hess must be a function, None, one of {DIFFERENCES} or a HessianUpdateStrategy, got {hess!r:.60}"
    )


def check_level(expected: int, found: int) -> None:
    """Raise ValueError unless a constraint has as many values as levels, or there is one level for all."""
    if expected not in (1, found):
        raise ValueError(f"lb and ub of a constraint must be numbers or hold {found} of them, got {expected}")


def _level(one: Any, size: int | None) -> Vector:
    low, high = np.asarray(one.lb, dtype=np.float64), np.asarray(one.ub, dtype=np.float64)
    if not np.all(low == high) or not np.isfinite(low).all():
        raise ValueError(f"constraints must be equalities: inequalities are unsupported, got lb={one.lb}, ub={one.ub}")
    return low if size is None else np.broadcast_to(low, (size,))


def build_problem(
    fun: Callable[..., Any], x0: Any, jac: Any, hess: Any, constraints: Any, lam0: Any = None, args: tuple = ()
) -> EqualityProblem:
    """An ``EqualityProblem`` from what ``minimize_equality`` takes, for NumPy callables."""
    start = finite_vector("x0", x0)
    value, grad, supplied = _objective(fun, jac, args)
    second = _second(hess)
    pieces = pieces_of(constraints)
    sizes = [piece.values(start.copy()).size for piece in pieces]
    ends = np.cumsum(sizes)[:-1]
    one = pieces[0] if len(pieces) == 1 else None

    def cons(x: Vector) -> Vector:
        return one.values(x) if one else np.concatenate([piece.values(x) for piece in pieces])

    def jacobian(x: Vector) -> Any:
        return one.jacobian(x) if one else _stack([piece.jacobian(x) for piece in pieces], sizes, x.size)

    def hessian(x: Vector, lam: Vector) -> Any:
        if second is not None:
            H = _square("hess", second(x, *args), x.size)
        else:
            H = differences_of(grad, x, not supplied)
        for piece, v in zip(pieces, np.split(lam, ends), strict=True):
            H = H + piece.curvature(x, v)
        return H

    exact = supplied and second is not None and all(p.supplied and p.hess_vec is not None for p in pieces)
    called = {"grad": "jac", "jac": "jac of the constraints", "hess": "hess" if exact else ""}
    if sum(sizes) == start.size:
        for piece in pieces:
            _check_square(piece, start)
    return EqualityProblem(
        fun=value, grad=grad, cons=cons, jac=jacobian, hess=hessian, x0=start, lam0=lam0,
        name=getattr(fun, "__name__", ""), called=called,
    )  # fmt: skip


def _objective(fun: Callable[..., Any], jac: Any, args: tuple) -> tuple[Callable, Callable, bool]:
    """Value and gradient as functions of x alone, and whether the gradient is the user's."""
    if not callable(fun):
        raise TypeError(f"fun must be callable, got {type(fun).__name__}")
    if jac is True:
        joint = _Joint(fun, args)
        return (lambda x: joint(x)[0]), (lambda x: np.array(joint(x)[1], dtype=np.float64)), True

    def value(x: Vector) -> Any:
        return fun(x, *args)

    if callable(jac):
        return value, (lambda x: np.array(jac(x, *args), dtype=np.float64)), True
    differences = _difference_jacobian(lambda x: np.ravel(value(x)), jac)
    return value, (lambda x: differences(x)[0]), False


class _Joint:
    """A function that returns value and gradient, called once for both."""

    def __init__(self, fun: Callable[..., Any], args: tuple) -> None:
        self.fun, self.args = fun, args
        self.x = np.zeros(0)
        self.found: Any = None

    def __call__(self, x: Vector) -> Any:
        if not np.array_equal(x, self.x):
            self.x = x.copy()
            self.found = self.fun(x, *self.args)
            if not isinstance(self.found, (tuple, list)) or len(self.found) != 2:
                raise TypeError(f"fun must return (value, gradient) where jac is True, got {self.found!r:.60}")
        return self.found


def _stack(parts: list[Any], sizes: list[int], n: int) -> Any:
    if any(isinstance(part, LinearOperator) for part in parts):
        raise ValueError("constraints must be a single one where its Jacobian is a LinearOperator")
    for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if part.shape != (size, n):
            raise ValueError(f"jac of constraint {i} must return a matrix of shape {(size, n)}, got {part.shape}")
    if any(issparse(part) for part in parts):
        return vstack([csr_array(part) for part in parts], format="csr")
    return np.vstack(parts)


def _check_square(piece: Piece, x: Vector) -> None:
    """A square Jacobian shows no transposition by its shape; its action in one direction does."""
    if not piece.supplied:
        return
    J = piece.jacobian(x.copy())
    if J.shape[0] != J.shape[1] or isinstance(J, LinearOperator):
        return
    v = np.cos(np.arange(1.0, x.size + 1) ** 2)
    step = 1e-6 * max(1.0, float(np.abs(x).max()))
    action = (piece.values(x + step * v) - piece.values(x - step * v)) / (2 * step)
    scale = 1e-3 * max(float(np.linalg.norm(action)), 1e-12)
    if np.linalg.norm(J @ v - action) > scale and np.linalg.norm(J.T @ v - action) <= scale:
        raise ValueError(
            "jac of the constraints looks transposed: rows must belong to constraints, columns to unknowns"
        )


def adasketch_newton(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Any = None,
    **options: Any,
) -> OptimizeResult:
    """AdaSketch-Newton as a ``method`` of ``scipy.optimize.minimize``.

    Args:
        fun: objective, ``fun(x, *args)``.
        x0: start, (n,).
        args: further arguments of fun, jac, hess and hessp.
        jac: as in SciPy.
        hess: ``hess(x, *args)``, the objective's; its own strings and update strategies mean finite differences.
        hessp: ``hessp(x, p, *args)``, used where ``hess`` is no function.
        bounds: must be None.
        constraints: SciPy constraints, equalities only.
        callback: as in SciPy.
        options: those of ``minimize_equality``.

    Raises:
        ValueError: bounds or inequalities are given, or as in ``minimize_equality``.

    Example:
        >>> from scipy.optimize import minimize, LinearConstraint
        >>> found = minimize(lambda x: x @ x, [3.0, 0.0], method=adasketch_newton,
        ...                  constraints=LinearConstraint([[1, 1]], 2, 2), options={"sketch": "exact"})
        >>> found.x.round(5).tolist()
        [1.0, 1.0]
    """
    from .minimize import USERS, solve_problem

    if bounds is not None:
        raise ValueError("bounds must be None: inequalities are unsupported")
    second = hess
    if not callable(hess) and callable(hessp):

        def second(x: Vector, *rest: Any) -> Vector:
            return np.column_stack([hessp(x, column, *rest) for column in np.eye(x.size)])

    lam0, disp = options.pop("lam0", None), options.pop("disp", False)
    problem = build_problem(fun, x0, jac, second, constraints, lam0, tuple(args))
    found = solve_problem(problem, callback=callback, **{**USERS, **options})
    if disp:
        print(found.message)
    return found
