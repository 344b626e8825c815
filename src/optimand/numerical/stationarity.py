"""Measures of how far a point is from solving its problem.

They differ by constants, so a result names the one it reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any


def natural_residual(x: Array, grad: Array, project: Callable[[Array], Array], step: float = 1.0) -> float:
    """The Euclidean norm of ``(x - P(x - step grad)) / step``: 0 at stationary points, ``‖grad‖`` without bounds.

    Args:
        x: the point, shape ``(n,)``; NumPy or torch.
        grad: gradient, or value of a monotone operator, at ``x``.
        project: projection onto the feasible set; see :mod:`optimand.core.projections`.
        step: > 0; at 1 it is what is called the natural residual.

    Example:
        >>> natural_residual(np.array([1.0, 0.0]), np.array([3.0, 4.0]), lambda v: v)
        5.0
    """
    return float((((x - project(x - step * grad)) / step) ** 2).sum() ** 0.5)


def kkt_residual(grad_lagrangian: Array, constraints: Array) -> float:
    """``‖(∇L; c)‖_2`` of a problem with equality constraints.

    Example:
        >>> kkt_residual(np.array([3.0]), np.array([4.0]))
        5.0
    """
    return float(np.hypot(np.linalg.norm(grad_lagrangian), np.linalg.norm(constraints)))


def least_squares_multipliers(grad: Array, jac: Any) -> Array:
    """The multipliers that minimize ``‖∇f + Jᵀ λ‖_2``; those of least norm where there are several.

    Args:
        grad: gradient of the objective, shape ``(n,)``.
        jac: Jacobian of the constraints, shape ``(m, n)``, dense or SciPy-sparse.

    Returns:
        Shape ``(m,)``. They make the residual of a point a property of the point alone, whatever method found it.

    Example:
        >>> least_squares_multipliers(np.array([2.0, 0.0]), np.array([[1.0, 0.0]])).round(12).tolist()
        [-2.0]
    """
    if hasattr(jac, "tocsr"):
        from scipy.sparse.linalg import lsqr

        return lsqr(jac.T, -np.asarray(grad), atol=1e-14, btol=1e-14)[0]
    return np.linalg.lstsq(np.asarray(jac).T, -np.asarray(grad), rcond=None)[0]
