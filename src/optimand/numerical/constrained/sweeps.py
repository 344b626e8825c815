"""The inner loops of sketch-and-project, compiled: Kaczmarz, Gaussian and block sketches, dense and CSR.

Each loop runs until ``steps`` updates are made or the squared residual, looked at every ``every`` updates, is at most
``target``; it changes x in place and returns (updates made, squared residual). The random numbers come from NumPy's
own Generator, so they continue from one call to the next and are the same with and without the compiler.
"""

from __future__ import annotations

import numpy as np

from optimand.core.compiled import compiled

from ..rows import REORDER, add_row, row_dot


@compiled(fastmath=REORDER)
def _residual(data, indices, indptr, b, x):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(b.size):
        s = row_dot(data, indices, indptr, i, x) - b[i]
        total += s * s
    return total


@compiled
def _draw_row(cumulative, rows, rng):  # type: ignore[no-untyped-def]
    u = rng.random()
    if cumulative.size == 0:
        return min(int(u * rows), rows - 1)
    return min(int(np.searchsorted(cumulative, u, side="right")), rows - 1)


@compiled(fastmath=REORDER)
def kaczmarz(data, indices, indptr, b, x, norms, cumulative, rng, steps, every, target):  # type: ignore[no-untyped-def]
    """Rows one by one, drawn uniformly or, where ``cumulative`` is not empty, by these cumulative probabilities."""
    done = 0
    residual = 0.0
    while True:
        for _ in range(min(every, steps - done)):
            i = _draw_row(cumulative, b.size, rng)
            if norms[i] > 0:
                s = row_dot(data, indices, indptr, i, x) - b[i]
                add_row(data, indices, indptr, i, -s, x, norms[i])
            done += 1
        residual = _residual(data, indices, indptr, b, x)
        if done >= steps or residual <= target:
            break
    return done, residual


@compiled(fastmath=REORDER)
def _project_on_vector(u, sb, x):  # type: ignore[no-untyped-def]
    """x moves to the hyperplane uᵀx = sb."""
    uu = 0.0
    ux = 0.0
    for j in range(u.size):
        uu += u[j] * u[j]
        ux += u[j] * x[j]
    if uu > 0:
        coefficient = (ux - sb) / uu
        for j in range(u.size):
            x[j] -= coefficient * u[j]


@compiled(fastmath=REORDER)
def gaussian(data, indices, indptr, b, x, rng, steps, every, target):  # type: ignore[no-untyped-def]
    """One Gaussian vector s after another. sᵀ(Ax − b) = (Aᵀs)ᵀx − sᵀb, so no residual needs to be kept."""
    u = np.empty(x.size)
    done = 0
    residual = 0.0
    while True:
        for _ in range(min(every, steps - done)):
            u[:] = 0.0
            sb = 0.0
            for i in range(b.size):
                s = rng.standard_normal()
                sb += s * b[i]
                add_row(data, indices, indptr, i, s, u)
            _project_on_vector(u, sb, x)
            done += 1
        residual = _residual(data, indices, indptr, b, x)
        if done >= steps or residual <= target:
            break
    return done, residual


@compiled
def _draw_block(order, block, rng):  # type: ignore[no-untyped-def]
    """The first ``block`` entries of ``order`` become a uniform draw without replacement."""
    for t in range(block):
        j = t + min(int(rng.random() * (order.size - t)), order.size - t - 1)
        order[t], order[j] = order[j], order[t]


@compiled(fastmath=REORDER)
def _project_on_block(R, rhs, x):  # type: ignore[no-untyped-def]
    """x moves to {Rx = rhs}: Cholesky of R Rᵀ; a row that depends on those before it drops out."""
    k = rhs.size
    L = np.dot(R, R.T)
    y = np.dot(R, x) - rhs
    for i in range(k):
        size = L[i, i]
        for j in range(i + 1):
            s = L[i, j]
            for t in range(j):
                s -= L[i, t] * L[j, t]
            if j < i:
                L[i, j] = s / L[j, j] if L[j, j] > 0 else 0.0
            else:
                L[i, i] = np.sqrt(s) if s > 1e-13 * size else 0.0
        s = y[i]
        for t in range(i):
            s -= L[i, t] * y[t]
        y[i] = s / L[i, i] if L[i, i] > 0 else 0.0
    for i in range(k - 1, -1, -1):
        y[i] = y[i] / L[i, i] if L[i, i] > 0 else 0.0
        for t in range(i):
            y[t] -= L[i, t] * y[i]
    for i in range(k):
        for j in range(x.size):
            x[j] -= y[i] * R[i, j]


@compiled
def block(data, indices, indptr, b, x, size, rng, steps, every, target):  # type: ignore[no-untyped-def]
    """``size`` rows at a time, uniform without replacement, each block's equations solved exactly."""
    order = np.arange(b.size)
    R = np.empty((size, x.size))
    rhs = np.empty(size)
    done = 0
    residual = 0.0
    while True:
        for _ in range(min(every, steps - done)):
            _draw_block(order, size, rng)
            R[:, :] = 0.0
            for t in range(size):
                add_row(data, indices, indptr, order[t], 1.0, R[t])
                rhs[t] = b[order[t]]
            _project_on_block(R, rhs, x)
            done += 1
        residual = _residual(data, indices, indptr, b, x)
        if done >= steps or residual <= target:
            break
    return done, residual
