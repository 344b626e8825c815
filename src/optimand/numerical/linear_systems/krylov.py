"""The loops of conjugate gradients, compiled: plain, and with the product and SSOR in one.

Each takes up to ``count`` steps and returns how many it took and the last p'Ap, which is not positive where the matrix
is not positive definite. ``state`` is (rho, the squared residual norm, the step length) and lets the next call go on.
The matrix comes as in ``sweeps``.
"""

from __future__ import annotations

import numpy as np

from .matrices import Halves, Indices, Matrix, Vector
from .sweeps import ONE, kernel, reduction

Work = tuple[Vector, Vector, Vector]
RHO, SQUARE, LENGTH = range(3)


@reduction
def _product(matrix: Matrix, p: Vector, q: Vector) -> float:
    """Write ``A p`` into ``q``; return p'Ap."""
    indptr, indices, data, _, shift = matrix
    total = 0.0
    for i in range(len(p)):
        s = shift * p[i]
        for e in range(indptr[i], indptr[i + 1]):
            s += data[e] * p[indices[e]]
        q[i] = s
        total += s * p[i]
    return total


@reduction
def _step(length: float, x: Vector, r: Vector, p: Vector, q: Vector) -> float:
    """Move ``x`` along ``p`` and ``r`` along ``-q``; return the squared norm of the new ``r``."""
    square = 0.0
    for i in range(len(x)):
        x[i] += length * p[i]
        value = r[i] - length * q[i]
        r[i] = value
        square += value * value
    return square


@kernel
def plain_steps(
    matrix: Matrix, x: Vector, r: Vector, work: Work, state: Vector, limit: float, count: int
) -> tuple[int, float]:
    """Conjugate gradients; ``p`` is 0 and rho is infinite at first."""
    p, q, _ = work
    curvature = 1.0
    for k in range(count):
        ratio = state[SQUARE] / state[RHO]
        state[RHO] = state[SQUARE]
        for i in range(len(x)):
            p[i] = r[i] + ratio * p[i]
        curvature = _product(matrix, p, q)
        if not curvature > 0.0:
            return k, curvature
        state[SQUARE] = _step(state[RHO] / curvature, x, r, p, q)
        if not state[SQUARE] > limit:
            return k + 1, curvature
    return count, curvature


@reduction
def _transformed_step(length: float, diag: Vector, shift: float, s: Vector, w: Vector, p: Vector) -> float:
    """Update the transformed residual ``s``; return s'Ds."""
    total = 0.0
    for i in range(len(s)):
        value = s[i] - length * (w[i] + p[i])
        s[i] = value
        total += (diag[i] + shift) * value * value
    return total


@kernel
def _forward(
    indices: Indices,
    data: Vector,
    shift: float,
    omega: float,
    length: float,
    ratio: float,
    x: Vector,
    s: Vector,
    g: Vector,
    p: Vector,
) -> None:
    """Take the step that is due, make the next direction ``g`` and solve (D/omega + L) p = g."""
    weight = (2.0 - omega) / omega
    last = 0.0
    e = np.uint64(0)
    for i in range(len(x)):
        middle = data[e] + shift
        scale = omega / middle
        x[i] += length * p[i]
        direction = weight * middle * s[i] + ratio * g[i]
        g[i] = direction
        value = scale * direction
        e += ONE
        j = indices[e]
        while j < i - 1:
            value -= (scale * data[e]) * p[j]
            e += ONE
            j = indices[e]
        if j == i - 1:
            value -= (scale * data[e]) * last
            e += ONE
        p[i] = value
        last = value


@kernel
def _backward(
    indices: Indices, data: Vector, shift: float, omega: float, s: Vector, g: Vector, p: Vector, w: Vector
) -> tuple[float, float]:
    """Solve (D/omega + U) w = g - (2/omega - 1) D p; return g'(w + p) = p'Ap and ||(D/omega + U) s||^2."""
    inverse = 1.0 / omega
    excess = 2.0 * inverse - 1.0
    last = last_s = curvature = square = 0.0
    e = np.uint64(len(data) - 1)
    for i in range(len(s) - 1, -1, -1):
        middle = data[e] + shift
        scale = omega / middle
        value = scale * (g[i] - excess * middle * p[i])
        true = inverse * middle * s[i]
        e -= ONE
        j = indices[e]
        while j > i + 1:
            entry = data[e]
            true += entry * s[j]
            value -= (scale * entry) * w[j]
            e -= ONE
            j = indices[e]
        if j == i + 1:
            entry = data[e]
            true += entry * last_s
            value -= (scale * entry) * last
            e -= ONE
        w[i] = value
        last, last_s = value, s[i]
        square += true * true
        curvature += g[i] * (value + p[i])
    return curvature, square


@kernel
def eisenstat_steps(
    halves: Halves,
    diag: Vector,
    shift: float,
    omega: float,
    x: Vector,
    s: Vector,
    work: Work,
    state: Vector,
    limit: float,
    count: int,
) -> tuple[int, float]:
    """Conjugate gradients on (D/omega + U)^-1 A (D/omega + L)^-1, in which A is never multiplied by.

    Since A = (D/omega + L) + (D/omega + U) - (2/omega - 1) D, the transformed product of ``g`` is ``p + w`` with one
    solve for each triangle. ``s`` is the transformed residual; the true one, (D/omega + U) s, is met in the backward
    solve of the next step. Hence after step k, ``x`` is the iterate k - 1 and the norm in ``state`` is that of its
    residual; the step length is used in the next call or never.
    """
    lower, lower_data, upper, upper_data = halves
    g, p, w = work
    weight = (2.0 - omega) / omega
    curvature = 1.0
    for k in range(count):
        rho = weight * _transformed_step(state[LENGTH], diag, shift, s, w, p)
        _forward(lower, lower_data, shift, omega, state[LENGTH], rho / state[RHO], x, s, g, p)
        curvature, square = _backward(upper, upper_data, shift, omega, s, g, p, w)
        state[RHO], state[SQUARE] = rho, square
        if not square > limit or not curvature > 0.0:
            return k + 1, curvature
        state[LENGTH] = rho / curvature
    return count, curvature
