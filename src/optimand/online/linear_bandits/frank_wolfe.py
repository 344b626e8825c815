"""The compiled loop of the design solver: Frank-Wolfe steps towards and away from single actions.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled

# Weights below this are rounding: such actions leave the design.
_NOTHING = 1e-9


@compiled(fastmath={"reassoc", "contract"})
def _move(C: Any, g: Any, W: Any, i: int, step: float, w: Any) -> None:
    """Give action ``i`` the share ``step`` of the design: update the inverse ``W`` and ``g``, all by rank one."""
    n, d = C.shape
    for j in range(d):
        s = 0.0
        for k in range(d):
            s += W[j, k] * C[i, k]
        w[j] = s
    q = 0.0
    for j in range(d):
        q += w[j] * C[i, j]
    ratio = step / (1.0 - step)
    scale = 1.0 / (1.0 - step)
    shrink = ratio / (1.0 + ratio * q)
    for j in range(d):
        for k in range(d):
            W[j, k] = (W[j, k] - shrink * w[j] * w[k]) * scale
    for a in range(n):
        s = 0.0
        for k in range(d):
            s += C[a, k] * w[k]
        g[a] = max((g[a] - shrink * s * s) * scale, 0.0)


@compiled
def frank_wolfe(
    C: Any, weights: Any, g: Any, W: Any, tol: float, max_iter: int, max_support: int, refresh: int
) -> tuple[int, bool]:
    """Raise ``log det V`` until ``max g <= d (1 + tol)``; returns iterations and whether the tolerance was reached.

    ``C`` are the actions' coordinates (n, d), ``weights`` (n,) the design, ``W`` the inverse of its matrix and ``g``
    the forms ``c' W c``; the last three are updated in place. Stops after ``refresh`` iterations, so that the caller
    can recompute ``W`` and ``g`` before rounding adds up.
    """
    n, d = C.shape
    w = np.empty(d)
    size = 0
    for a in range(n):
        size += weights[a] > 0.0
    for done in range(min(max_iter, refresh)):
        up, down = -1, -1
        for a in range(n):
            if (size < max_support or weights[a] > 0.0) and (up < 0 or g[a] > g[up]):
                up = a
            if weights[a] > 0.0 and (down < 0 or g[a] < g[down]):
                down = a
        highest = g.max()
        if highest <= d * (1.0 + tol):
            return done, True
        rise, fall = g[up] / d - 1.0, 1.0 - g[down] / d
        if max(rise, fall) <= 1e-12:
            return done, False  # the best design on as many actions as are allowed
        if rise >= fall:
            chosen = up
            step = rise / (g[up] - 1.0)
        else:
            chosen = down
            # The whole weight is taken where the objective rises all the way.
            most = -weights[down] / (1.0 - weights[down])
            step = most if g[down] <= 1.0 else max(-fall / (g[down] - 1.0), most)
        size -= weights[chosen] > 0.0
        left = step + (1.0 - step) * weights[chosen]
        if left < _NOTHING and step < 0.0:
            step, left = -weights[chosen] / (1.0 - weights[chosen]), 0.0
        for a in range(n):
            weights[a] *= 1.0 - step
        weights[chosen] = left
        size += left > 0.0
        _move(C, g, W, chosen, step, w)
    return min(max_iter, refresh), False
