"""What is solved: min f(x) subject to c(x) = 0, as a bundle of callables, and its counted evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator

Vector = np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class EqualityProblem:
    """A smooth problem with equality constraints only, and its standard start.

    Args:
        fun: objective, ``fun(x) -> float``.
        grad: its gradient, ``grad(x) -> (n,)``.
        cons: constraint values, ``cons(x) -> (m,)`` with 1 ≤ m ≤ n; the constraints are ``cons(x) = 0``.
        jac: Jacobian of the constraints, ``jac(x) -> (m, n)``: array, scipy sparse matrix, or LinearOperator with
            products from both sides (matrix-free, together with ``hessp``).
        hess: Hessian of the Lagrangian f + lam·c, ``hess(x, lam) -> (n, n)``, array or sparse; None to use ``hessp``.
        hessp: its product with a vector, ``hessp(x, lam, v) -> (n,)``, for matrix-free solves.
        x0: start, (n,).
        lam0: start of the multipliers, (m,); zeros by default.
        name: for messages and tables.
        f_star: the best value known, None where there is none.
        called: what errors call ``grad``, ``jac`` and ``hess``, where they were given under other names; an empty name
            marks a Hessian from differences, too rough to be checked by others.

    Raises:
        ValueError: ``x0`` or ``lam0`` is not a finite vector, or neither ``hess`` nor ``hessp`` is given.
        TypeError: a function is not callable.

    Example:
        >>> problem = EqualityProblem(
        ...     fun=lambda x: x @ x, grad=lambda x: 2 * x, cons=lambda x: np.array([x.sum() - 2]),
        ...     jac=lambda x: np.ones((1, 2)), hess=lambda x, lam: 2 * np.eye(2), x0=[3.0, 0.0])
        >>> problem.n, problem.x0.tolist()
        (2, [3.0, 0.0])
    """

    fun: Callable[[Vector], Any]
    grad: Callable[[Vector], Any]
    cons: Callable[[Vector], Any]
    jac: Callable[[Vector], Any]
    hess: Callable[[Vector, Vector], Any] | None = None
    hessp: Callable[[Vector, Vector, Vector], Any] | None = None
    x0: Any
    lam0: Any = None
    name: str = ""
    f_star: float | None = None
    called: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fun", "grad", "cons", "jac"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be callable, got {type(getattr(self, name)).__name__}")
        if self.hess is None and self.hessp is None:
            raise ValueError("hess or hessp must be given: the method is Newton's")
        object.__setattr__(self, "x0", finite_vector("x0", self.x0))
        if self.lam0 is not None:
            object.__setattr__(self, "lam0", finite_vector("lam0", self.lam0))

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return int(self.x0.size)

    def name_of(self, derivative: str) -> str:
        """What errors call ``grad``, ``jac`` or ``hess``."""
        return self.called.get(derivative, derivative)


def finite_vector(name: str, value: Any, size: int | None = None) -> Vector:
    """``value`` as a new float64 vector; ValueError if it is not a finite, non-empty vector of that size."""
    given = np.asarray(value)
    if given.dtype.kind == "c":
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
    vector = np.array(given, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0 or size not in (None, vector.size):
        expected = "a non-empty vector" if size is None else f"a vector of {size} numbers"
        raise ValueError(f"{name} must be {expected}, got shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite, got {vector[~np.isfinite(vector)][0]} in it")
    return vector


def is_sparse(value: Any) -> bool:
    """SciPy's ``issparse``, as a plain truth value for the type checker."""
    return bool(issparse(value))


def canonical_csr(value: Any) -> Any:
    """A sparse matrix as CSR in float64 without repeated entries; ``value`` stays as it is."""
    matrix = csr_array(value, dtype=np.float64)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _matrix(value: Any) -> Any:
    return canonical_csr(value) if is_sparse(value) else np.asarray(value, dtype=np.float64)


def is_finite(matrix: Any) -> bool:
    """Whether all entries are; of a LinearOperator, those of one product."""
    if isinstance(matrix, LinearOperator):
        return bool(np.isfinite(matrix @ np.ones(matrix.shape[1])).all())
    return bool(np.isfinite(matrix.data if is_sparse(matrix) else matrix).all())


def _number(value: Any) -> float:
    if isinstance(value, float):
        return float(value)
    given = np.asarray(value)
    if given.size != 1 or given.dtype.kind not in "biufO" or value is None:
        raise ValueError(f"fun must return one real number, got {value!r:.80}")
    return float(given.item())


class Point:
    """Values and first derivatives at (x, lam); ``kkt2`` is ‖gL‖² + ‖c‖², the square of the KKT residual."""

    __slots__ = ("J", "c", "c2", "f", "g", "gL", "gL2", "kkt2", "lam", "x")

    def __init__(self, x: Vector, lam: Vector, f: float, c: Vector, g: Vector, J: Any) -> None:
        self.x, self.lam, self.f, self.c, self.g, self.J = x, lam, f, c, g, J
        self.gL = g + J.T @ lam
        self.c2 = float(c @ c)
        self.gL2 = float(self.gL @ self.gL)
        self.kkt2 = self.gL2 + self.c2

    @property
    def kkt(self) -> float:
        """The KKT residual ‖(gL; c)‖."""
        return math.sqrt(self.kkt2)


class Evaluations:
    """Evaluates a problem, checks shapes and counts: ``nfev`` (f and c), ``njev`` (∇f and G), ``nhev`` (H).

    The functions get copies of x and λ, and vectors from them are copied: some write into their argument, some return
    the same array every time.
    """

    def __init__(self, problem: EqualityProblem) -> None:
        self.problem = problem
        self.n = problem.n
        self.nfev = self.njev = self.nhev = 0
        with np.errstate(all="ignore"):
            c = np.asarray(problem.cons(problem.x0.copy()), dtype=np.float64)
        self.m = c.size
        if c.ndim != 1 or self.m == 0:
            raise ValueError(f"constraints must return a vector of at least one value, got shape {c.shape}")
        if self.m > self.n:
            raise ValueError(f"constraints must be at most as many as the unknowns: got m={self.m} > n={self.n}")

    def start(self, x: Vector, lam: Vector) -> Point:
        """The point at the start; ValueError where a function is not finite there."""
        point = self.at(x, lam)
        known: Any = point.J
        if isinstance(known, LinearOperator):  # it shows its values in a product
            known = point.gL
        elif is_sparse(known):
            known = known.tocsr().data
        grad, jac = (self.problem.name_of(name) for name in ("grad", "jac"))
        for name, value in (("fun", point.f), ("constraints", point.c), (grad, point.g), (jac, known)):
            if not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite at the start x0, got {np.asarray(value)}")
        return point

    def at(self, x: Vector, lam: Vector) -> Point:
        """Everything but the Hessian at (x, lam)."""
        problem = self.problem
        self.nfev += 1
        self.njev += 1
        f = _number(problem.fun(x.copy()))
        c = np.array(problem.cons(x.copy()), dtype=np.float64)
        g = np.array(problem.grad(x.copy()), dtype=np.float64)
        J = problem.jac(x.copy())
        if not isinstance(J, LinearOperator):
            J = _matrix(J)
        if c.shape != (self.m,):
            raise ValueError(f"constraints must return {self.m} values everywhere, got shape {c.shape}")
        if g.shape != x.shape:
            grad = problem.name_of("grad")
            raise ValueError(f"{grad} must return a vector of {self.n} numbers, got shape {g.shape}")
        if J.shape != (self.m, self.n):
            hint = "; it looks transposed: rows belong to constraints" if J.shape == (self.n, self.m) else ""
            jac = problem.name_of("jac")
            raise ValueError(f"{jac} must return a matrix of shape {(self.m, self.n)}, got {J.shape}{hint}")
        return Point(x, lam, f, c, g, J)

    def hessian(self, point: Point) -> Any:
        """H(x, lam): array, CSR, or a LinearOperator built on ``hessp``."""
        problem, n = self.problem, self.n
        self.nhev += 1
        x, lam = point.x.copy(), point.lam.copy()
        if problem.hess is None or isinstance(point.J, LinearOperator):
            hessp: Any = problem.hessp
            if hessp is None:
                raise ValueError("hessp must be given where jac returns a LinearOperator")
            return LinearOperator((n, n), matvec=lambda v: hessp(x, lam, v), dtype=np.float64)
        H = _matrix(problem.hess(x, lam))
        if H.shape != (n, n):
            raise ValueError(f"hess must return a matrix of shape {(n, n)}, got {H.shape}")
        return H


def wrong_derivative(problem: EqualityProblem, point: Point, d: Vector) -> str:
    """The derivative that central differences along ``d`` contradict, in words; empty where all agree."""
    length = float(np.linalg.norm(d))
    if not 0 < length < math.inf:
        return ""
    h = d * (6e-6 * max(1.0, float(np.linalg.norm(point.x))) / length)
    ends = (point.x + h, point.x - h)

    def slope(x: Vector) -> Vector:
        J = problem.jac(x.copy())
        J = J if isinstance(J, LinearOperator) else _matrix(J)
        return np.asarray(problem.grad(x.copy()) + J.T @ point.lam, dtype=np.float64)

    def apart(values: Callable[[Vector], Any], claimed: Any, size: float) -> tuple[float, float] | None:
        """The largest disagreement, beyond 1 % and beyond rounding."""
        ahead, behind = (np.atleast_1d(np.asarray(values(x), dtype=np.float64)) for x in ends)
        found, claimed = (ahead - behind) / 2, np.atleast_1d(claimed)
        error = np.abs(found - claimed) - 0.01 * np.maximum(np.abs(found), np.abs(claimed)) - 1e-12 * max(size, 1e-4)
        worst = int(np.argmax(error))
        scale = float(np.linalg.norm(h))
        return (float(claimed[worst]) / scale, float(found[worst]) / scale) if error[worst] > 0 else None

    size = float(np.linalg.norm(point.c))
    checks: list[tuple[str, str, tuple[float, float] | None]] = [
        ("grad", "fun", apart(lambda x: _number(problem.fun(x.copy())), float(point.g @ h), abs(point.f))),
        ("jac", "the constraints", apart(lambda x: problem.cons(x.copy()), point.J @ h, size)),
    ]
    if problem.hess is not None and problem.name_of("hess") and not any(pair for _, _, pair in checks):
        pair = apart(slope, problem.hess(point.x.copy(), point.lam.copy()) @ h, float(np.abs(slope(point.x)).max()))
        checks.append(("hess", "the Lagrangian's gradient", pair))
    for name, of, pair in checks:
        if pair:
            said = f"{pair[0]:.3g} against {pair[1]:.3g} by differences of {of}"
            return f"check the derivatives: along the last step {problem.name_of(name)} gives {said}"
    return ""
