"""Least squares from a Gram matrix, free and in a box, for a handful of variables; compiled.

With G = X'X and c = X'y, minimizing |X v - y|^2 is minimizing v'Gv - 2 c'v: the rows are not needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

Array = NDArray[np.float64]

SINGULAR = 1e-11  # eigenvalues and pivots below this share of the largest count as zero
PLAIN = 1e-6  # with all pivots above this share no eigenvalue is near that of SINGULAR
BOX_STEPS = 200  # of the active set; a box problem of 6 variables takes about 5


@compiled
def minimum_norm(gram: Array, cross: Array) -> Array:
    """The least-squares solution of smallest norm.

    Args:
        gram: G, shape ``(m, m)``.
        cross: c, shape ``(m,)``.

    Example:
        >>> minimum_norm(np.array([[2.0, 2.0], [2.0, 2.0]]), np.array([4.0, 4.0])).round(12).tolist()
        [1.0, 1.0]
    """
    size = cross.size
    plain, least_pivot = _solve_free(gram, cross, np.ones(size, dtype=np.bool_))
    if least_pivot > PLAIN:
        return plain  # the only solution, without the eigenvalues, which take longer
    values, vectors = np.linalg.eigh(gram)
    solution = np.zeros(size)
    for k in range(size):
        if values[k] > SINGULAR * values[-1]:
            along = 0.0
            for j in range(size):
                along += vectors[j, k] * cross[j]
            along /= values[k]
            for j in range(size):
                solution[j] += along * vectors[j, k]
    return solution


@compiled
def _solve_free(gram: Array, residual: Array, free: NDArray[np.bool_]) -> tuple[Array, float]:
    """A solution of G p = residual over the free variables, the others 0, by Cholesky; and the least relative pivot.

    A free variable whose pivot vanishes depends on those before it and gets p = 0: the system is consistent, so
    what remains is still solved.
    """
    size = residual.size
    factor = np.zeros((size, size))
    used = np.zeros(size, dtype=np.bool_)
    step = np.zeros(size)
    least = 1.0
    for j in range(size):
        if not free[j]:
            continue
        pivot = gram[j, j]
        for k in range(j):
            pivot -= factor[j, k] * factor[j, k]
        if not pivot > SINGULAR * gram[j, j]:
            factor[j, :] = 0.0
            least = 0.0
            continue
        least = min(least, pivot / gram[j, j])
        used[j] = True
        factor[j, j] = np.sqrt(pivot)
        for i in range(j + 1, size):
            if free[i]:
                value = gram[i, j]
                for k in range(j):
                    value -= factor[i, k] * factor[j, k]
                factor[i, j] = value / factor[j, j]
    for j in range(size):
        if used[j]:
            value = residual[j]
            for k in range(j):
                value -= factor[j, k] * step[k]
            step[j] = value / factor[j, j]
    for j in range(size - 1, -1, -1):
        if used[j]:
            value = step[j]
            for i in range(j + 1, size):
                if used[i]:
                    value -= factor[i, j] * step[i]
            step[j] = value / factor[j, j]
    return step, least


@compiled
def in_box(gram: Array, cross: Array, bound: Array, start: Array) -> Array:
    """A least-squares solution with ``|v_j| <= bound_j``, by an active set.

    Args:
        gram: G, positive semidefinite, shape ``(m, m)``.
        cross: c in the range of G, shape ``(m,)``.
        bound: half widths of the box, not negative, shape ``(m,)``; 0 keeps a variable at 0.
        start: where the search starts, shape ``(m,)``; what lies outside the box is moved to its edge.

    From the start the objective never rises, so the best point so far is what comes back if the steps run out.

    Example:
        >>> in_box(np.eye(2), np.array([3.0, 0.5]), np.ones(2), np.zeros(2)).tolist()
        [1.0, 0.5]
    """
    size = cross.size
    v = np.minimum(np.maximum(start, -bound), bound)
    free = np.abs(v) < bound
    tolerance = 1e-12 * (np.abs(cross).max() + np.abs(gram).max() * bound.max())
    for _ in range(BOX_STEPS):
        residual = cross - _times(gram, v)
        step, _ = _solve_free(gram, residual, free)
        length, blocking = 1.0, -1
        for j in range(size):
            if free[j] and step[j] != 0.0:
                room = (bound[j] - v[j] if step[j] > 0.0 else v[j] + bound[j]) / abs(step[j])
                if room < length:
                    length, blocking = room, j
        for j in range(size):
            if free[j]:
                v[j] = min(max(v[j] + length * step[j], -bound[j]), bound[j])
        if blocking >= 0:
            v[blocking] = bound[blocking] if step[blocking] > 0.0 else -bound[blocking]
            free[blocking] = False
            continue
        residual = cross - _times(gram, v)
        steepest, leaving = tolerance, -1
        for j in range(size):
            inward = -residual[j] if v[j] > 0.0 else residual[j]
            if not free[j] and bound[j] > 0.0 and inward > steepest:
                steepest, leaving = inward, j
        if leaving < 0:
            break
        free[leaving] = True
    return v


@compiled
def _times(gram: Array, v: Array) -> Array:
    product = np.zeros(v.size)
    for i in range(v.size):
        for j in range(v.size):
            product[i] += gram[i, j] * v[j]
    return product


@compiled
def squared_residual(gram: Array, cross: Array, square: float, v: Array) -> float:
    """|X v - y|^2 from G, c and ``square`` = |y|^2; rounding below zero is cut off."""
    value = square
    product = _times(gram, v)
    for i in range(v.size):
        value += v[i] * (product[i] - 2.0 * cross[i])
    return max(value, 0.0)
