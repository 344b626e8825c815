"""Compiled loops over repetitions for what NumPy would do in many small calls a round.

Each has a plain twin that the tests compare it with: :func:`ball_points` the eigendecomposition in
:mod:`optimand.online.convex.metric`, :func:`base_steps` the lines of
:class:`~optimand.online.convex.dynamic_omd.TwoLayer` for any domain. Importing this module imports Numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.compiled import compiled

NEWTON_STEPS = 60


@compiled
def _factor(H: Any, scale: float, mu: float, low: Any) -> bool:
    """Cholesky's factor of ``H / scale + mu I`` into ``low``; False where rounding leaves no positive pivot."""
    for i in range(len(H)):
        for j in range(i + 1):
            s = H[i, j] / scale
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i > j:
                low[i, j] = s / low[j, j]
                continue
            s += mu
            if not s > 1e-14 * (H[i, i] / scale + mu):
                return False
            low[i, i] = math.sqrt(s)
    return True


@compiled
def _forward(low: Any, b: Any, out: Any) -> None:
    for i in range(len(b)):
        s = b[i]
        for k in range(i):
            s -= low[i, k] * out[k]
        out[i] = s / low[i, i]


@compiled
def _backward(low: Any, b: Any, out: Any) -> None:
    for i in range(len(b) - 1, -1, -1):
        s = b[i]
        for k in range(i + 1, len(b)):
            s -= low[k, i] * out[k]
        out[i] = s / low[i, i]


@compiled
def ball_points(x: Any, H: Any, radius: float, out: Any) -> Any:
    """The nearest points of the ball around 0 in the norms of ``H``, by Newton's method on the secular equation.

    Moré and Sorensen's iteration: ``z(mu) = (H + mu I)^{-1} H x`` by Cholesky's factor, and ``mu`` from the left.

    Args:
        x: points outside the ball, shape ``(R, d)``.
        H: shape ``(R, d, d)``, symmetric positive definite.
        radius: > 0.
        out: takes the points, shape ``(R, d)``.

    Returns:
        Where it came to an end, shape ``(R,)``; rounding can keep a matrix of very large condition from it.
    """
    count, d = x.shape
    done = np.zeros(count, dtype=np.bool_)
    low, b, half, z = np.empty((d, d)), np.empty(d), np.empty(d), np.empty(d)
    for r in range(count):
        scale = 0.0
        for i in range(d):
            scale = max(scale, H[r, i, i])
        for i in range(d):
            b[i] = 0.0
            for j in range(d):
                b[i] += H[r, i, j] / scale * x[r, j]
        mu, norm = 0.0, math.inf
        for _ in range(NEWTON_STEPS):
            if not _factor(H[r], scale, mu, low):
                break
            _forward(low, b, half)
            _backward(low, half, z)
            _forward(low, z, half)
            square, slope = 0.0, 0.0
            for i in range(d):
                square += z[i] * z[i]
                slope += half[i] * half[i]
            norm = math.sqrt(square)
            step = (norm - radius) / radius * square / slope
            if norm <= radius * (1 + 1e-14) or step <= 1e-15 * mu:
                done[r] = True
                break
            mu += step
        for i in range(d):
            out[r, i] = z[i] * (radius / norm)  # on the sphere, where it must be, whatever rounding left
    return done


@compiled
def _length(x: Any, center: Any) -> float:
    """The distance of two points, the square of which overflows."""
    top = np.abs(x - center).max()
    return float(top * math.sqrt((((x - center) / top) ** 2).sum()))


@compiled(fastmath={"reassoc", "contract"})  # sums in any order, several entries at once
def base_steps(
    g: Any, hats: Any, played: Any, pool: Any, kappa: float, center: Any, radius: float, lo: Any, hi: Any
) -> Any:
    """The two steps of all base learners of a pool along one gradient.

    Args:
        g: gradients, shape ``(R, d)``.
        hats, played: the points that steps begin from, and those that were played, shape ``(R, N, d)``.
        pool: step sizes, shape ``(N,)``.
        kappa: fee for moving.
        center, radius: of the ball, or an infinite radius and
        lo, hi: the bounds of the box, all of shape ``(d,)``.

    Returns:
        The next ``hats`` and points; ``<g, played>``, ``<g, points>`` and ``kappa |points - played|^2``, ``(R, N)``.
    """
    reps, n, d = hats.shape
    next_hats, points = np.empty_like(hats), np.empty_like(hats)
    paid, ahead, fee = np.empty((reps, n)), np.empty((reps, n)), np.empty((reps, n))
    ball = radius < math.inf
    for r in range(reps):
        slope = g[r]
        for i in range(n):
            for k in range(2):
                start = next_hats[r, i] if k else hats[r, i]
                x = points[r, i] if k else next_hats[r, i]
                square = 0.0
                for j in range(d):
                    x[j] = min(max(start[j] - pool[i] * slope[j], lo[j]), hi[j])
                    square += (x[j] - center[j]) ** 2
                if ball and square > radius * radius:
                    share = radius / (math.sqrt(square) if square < math.inf else _length(x, center))
                    for j in range(d):
                        x[j] = center[j] + (x[j] - center[j]) * share
            point, last = points[r, i], played[r, i]
            before, after, far = 0.0, 0.0, 0.0
            for j in range(d):
                before += slope[j] * last[j]
                after += slope[j] * point[j]
                far += (point[j] - last[j]) ** 2
            paid[r, i], ahead[r, i], fee[r, i] = before, after, kappa * far
    return next_hats, points, paid, ahead, fee


@compiled
def hedge(total: Any, most: Any, points: Any) -> Any:
    """Weights proportional to ``exp(-most total)`` and the weighted means of ``points`` (R, N, d).

    Args:
        total: losses, shape ``(R, N)``.
        most: rates, shape ``(R,)``.
        points: shape ``(R, N, d)``.

    Returns:
        The weights ``(R, N)`` and the means ``(R, d)``.
    """
    reps, n, d = points.shape
    weights, mean = np.empty((reps, n)), np.zeros((reps, d))
    for r in range(reps):
        least = math.inf
        for i in range(n):
            least = min(least, total[r, i])
        whole = 0.0
        for i in range(n):
            weights[r, i] = math.exp(most[r] * (least - total[r, i]))
            whole += weights[r, i]
        for i in range(n):
            weights[r, i] /= whole
            for j in range(d):
                mean[r, j] += weights[r, i] * points[r, i, j]
    return weights, mean
