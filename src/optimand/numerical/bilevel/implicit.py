"""Hypergradients by second derivatives, as baselines: implicit differentiation, its limit for many lower solutions, and
differentiation through the steps of a lower solver.

    ∇psi = ∇_x f - ∇²_xy g v,   ∇²_yy g v = ∇_y f

with conjugate gradients for v where the lower Hessian is positive definite, and a pseudo-inverse where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.validation import check_int, check_number

Array = Any
Product = Callable[[Array], Array]


def conjugate_gradients(
    product: Product, b: Array, start: Array | None = None, *, tol: float = 1e-10, maxiter: int = 100
) -> tuple[Array, float, int]:
    """Solve ``A v = b`` for a positive semidefinite matrix given by its products.

    Args:
        product: ``v -> A v``.
        b: right side, of any shape.
        start: first v; zero by default.
        tol: residual to reach, relative to ``‖b‖``.
        maxiter: cap on products.

    Returns:
        v, its relative residual, and the products used. Where there is no curvature left the last v is returned: for a
        singular matrix, a right side in its range and a start at zero, the solution of least norm.

    Example:
        >>> v, residual, n = conjugate_gradients(lambda v: np.array([2.0, 4.0]) * v, np.array([2.0, 2.0]))
        >>> v.round(12).tolist(), n
        ([1.0, 0.5], 2)
    """
    size = math.sqrt(float(np.vdot(b, b)))
    if start is None:
        v, r, used = np.zeros_like(b), b, 0
    else:
        v, r, used = start, b - product(start), 1
    p, rr, steepest = r, float(np.vdot(r, r)), 0.0
    while used < maxiter and math.sqrt(rr) > tol * size:
        Ap = product(p)
        used += 1
        curvature = float(np.vdot(p, Ap))
        along = curvature / float(np.vdot(p, p))
        steepest = max(steepest, along)
        if not along > 1e-12 * steepest:
            break
        a = rr / curvature
        v, r = v + a * p, r - a * Ap
        new = float(np.vdot(r, r))
        p, rr = r + (new / rr) * p, new
    return v, math.sqrt(rr) / size if size > 0 else 0.0, used


def implicit_hypergradient(
    f_x: Array,
    f_y: Array,
    hessian: Product,
    mixed: Product,
    *,
    start: Array | None = None,
    free: Array | None = None,
    tol: float = 1e-10,
    maxiter: int = 100,
) -> tuple[Array, Array]:
    """Hypergradient by the implicit function theorem, with conjugate gradients.

    Args:
        f_x, f_y: upper gradients at (x, y), y solving the lower level.
        hessian: ``v -> ∇²_yy g v``.
        mixed: ``v -> ∇²_xy g v``, of the shape of x.
        start: first v, such as the last step's.
        free: 1 where a coordinate of y is inside its bounds and 0 where it sits on one; None without bounds.
        tol: relative residual of the linear system.
        maxiter: cap on products with the Hessian, >= 1.

    Returns:
        The hypergradient and v.

    Raises:
        ValueError: ``tol`` or ``maxiter`` is out of range.

    Reference: Pedregosa, "Hyperparameter optimization with approximate gradient",
    ICML 2016.

    Example:
        For f = (y - 1)²/2 + x²/4 and g = (y - 2x)²/2 at x = 1, y = 2:

        >>> one = np.ones(1)
        >>> implicit_hypergradient(0.5 * one, one, lambda v: v, lambda v: -2 * v)[0].tolist()
        [2.5]
    """
    check_number("tol", tol, low=0)
    check_int("maxiter", maxiter, low=1)
    if free is None:
        v, _, _ = conjugate_gradients(hessian, f_y, start, tol=tol, maxiter=maxiter)
    else:
        begin = None if start is None else free * start
        v, _, _ = conjugate_gradients(lambda w: free * hessian(w), free * f_y, begin, tol=tol, maxiter=maxiter)
    return f_x - mixed(v), v


def limit_hypergradient(
    f_x: Any, f_y: Any, hessian: Any, mixed: Any, active: Any = None, *, rcond: float = 1e-10
) -> Array:
    """Limit of the penalty gradient as sigma falls to 0, also for many lower solutions and active constraints.

    ``∇_x f - ∇²_xy g w`` with ``(w, ·) = K† (∇_y f, 0)``, where K is the lower Hessian bordered by the gradients of the
    active constraints (``[[H, Aᵀ], [A, 0]]``) and † the pseudo-inverse. Holds at the lower solution y that is best
    for f, where ``∇_y f`` lies in the range of the border matrix.

    Args:
        f_x, f_y: upper gradients at (x, y), shapes (n,) and (m,).
        hessian: of the lower Lagrangian in y, shape (m, m).
        mixed: ``∇²_xy g``, shape (n, m).
        active: gradients of the active lower constraints, one a row, shape (r, m); None for none.
        rcond: singular values below ``rcond`` times the largest count as zero.

    Returns:
        Shape (n,).

    Raises:
        ValueError: shapes that do not match.

    Reference: arXiv 2309.01753, gradient of the hyper-objective.

    Example:
        For g = (y_1 + y_2 - x)²/2 and f = ‖y - (1, -2)‖²/2 at x = 3, where y = (3, 0):

        >>> limit_hypergradient([0.0], [2.0, 2.0], np.ones((2, 2)), -np.ones((1, 2))).round(12).tolist()
        [2.0]
    """
    f_x, f_y, hessian, mixed = (np.asarray(a, dtype=np.float64) for a in (f_x, f_y, hessian, mixed))
    m = len(f_y)
    if hessian.shape != (m, m) or mixed.shape != (len(f_x), m):
        raise ValueError(
            f"hessian and mixed must have shapes {(m, m)} and {(len(f_x), m)}, got {hessian.shape} and {mixed.shape}"
        )
    rows = np.zeros((0, m)) if active is None else np.asarray(active, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != m:
        raise ValueError(f"active must have shape (r, {m}), got {rows.shape}")
    r = len(rows)
    border = np.block([[hessian, rows.T], [rows, np.zeros((r, r))]])
    solution = np.linalg.pinv(border, rcond=rcond, hermitian=True) @ np.concatenate([f_y, np.zeros(r)])
    return f_x - mixed @ solution[:m]


def unrolled_hypergradient(
    f_x: Array,
    f_y: Array,
    path: Sequence[Array],
    gamma: float,
    second_order: Callable[[Array], tuple[Any, Any]],
    free: Sequence[Array] | None = None,
) -> Array:
    """Gradient of ``x -> f(x, y_T(x))`` where ``y_(t+1) = P(y_t - gamma ∇_y g(x, y_t))`` from a fixed ``y_0``.

    Args:
        f_x, f_y: upper gradients at (x, y_T).
        path: the points y_0, …, y_(T-1): memory that grows with T.
        gamma: step size of the solver.
        second_order: ``y -> (v -> ∇²_yy g v, v -> ∇²_xy g v)``.
        free: for each step 1 where the projection onto bounds let a coordinate pass, else 0; None without bounds.

    Returns:
        The gradient, of the shape of x.

    Reference: Franceschi, Donini, Frasconi, Pontil, "Forward and reverse gradient-based hyperparameter
    optimization", ICML 2017, Algorithm 1.

    Example:
        One exact step on g = (y - 2x)²/2, f = (y - 1)²/2 at x = 1:

        >>> one = np.ones(1)
        >>> unrolled_hypergradient(0 * one, one, [0 * one], 1.0, lambda y: (lambda v: v, lambda v: -2 * v)).tolist()
        [2.0]
    """
    total, adjoint = f_x, f_y
    for t in range(len(path) - 1, -1, -1):
        if free is not None:
            adjoint = free[t] * adjoint
        hessian, mixed = second_order(path[t])
        total = total - gamma * mixed(adjoint)
        adjoint = adjoint - gamma * hessian(adjoint)
    return np.asarray(total)
