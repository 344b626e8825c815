"""Compiled blocks of the variance-reduced methods on matrix games.

A block is the run of iterations between two evaluations of the whole operator; within it no work is done that
grows with the number of entries of the payoff matrix. A point is ``u = (x, y)`` with ``x`` of length n, ``y`` of m.
"""

from __future__ import annotations

import math
from typing import Any

from optimand.core.compiled import compiled

from ..rows import REORDER, Rows, add_row


@compiled
def _project_on_largest(a: Any, out: Any) -> float:
    """The projection of entries so large that 1 is lost beside them: the largest alone; NaN if it is not finite."""
    largest = a.argmax()
    out[:] = 0.0
    out[largest] = 1.0 if math.isfinite(a[largest]) else math.nan
    return float(a[largest])


@compiled(fastmath=REORDER)
def project_simplex_near(a: Any, out: Any, threshold: float) -> float:
    """Project ``a`` onto the probability simplex, into ``out``, and return the threshold subtracted.

    Newton's method on ``sum max(a_i - t, 0) = 1``, whose left side is convex and piecewise linear in t: from any
    start the second iterate is left of the root, and from there it finds the root in finitely many steps. Started
    at the threshold of a nearby point it takes two or three sweeps and needs no sorting.

    Args:
        a: shape ``(n,)``.
        out: shape ``(n,)``, written.
        threshold: where to start, any number.
    """
    size = a.shape[0]
    before = -1.0
    for _ in range(size + 8):
        total = 0.0
        count = 0.0
        for i in range(size):
            over = a[i] - threshold
            if over > 0.0:
                total += over
                count += 1.0
        if count == 0.0:
            if before == -2.0:
                return _project_on_largest(a, out)
            threshold = a.max() - 1.0
            before = -2.0
            continue
        threshold += (total - 1.0) / count
        if count == before:
            break  # the same entries twice: that was the root, and the second step mended the rounding of the first
        before = count
    for i in range(size):
        over = a[i] - threshold
        out[i] = over if over > 0.0 else 0.0
    return threshold


@compiled(fastmath=REORDER)
def forb(
    A: Rows, AT: Rows, rows: Any, columns: Any, row_steps: Any, column_steps: Any,
    z: Any, w: Any, lagged: Any, base: Any, keep: float, argument: Any, thresholds: Any,
) -> None:  # fmt: skip
    """Iterations of VR-FoRB on a game, ``z`` changed in place.

    ``z <- J(keep z + base - tau [F_q(z) - F_q(w_lagged)])``, with ``w_lagged = lagged`` in the first iteration and
    ``w`` in the others.

    Args:
        A, AT: the matrix and its transpose, both in rows; see :func:`~optimand.numerical.rows.rows_of`.
        rows, columns: what each iteration draws.
        row_steps, column_steps: tau over the probabilities of rows and of columns.
        z, w, lagged: shape ``(n + m,)``.
        base: two rows, the constant part in the first iteration and in the others.
        keep: factor of z.
        argument: work space; at the end the last argument of the projections.
        thresholds: those of the two projections, kept from one iteration to the next.
    """
    n = column_steps.shape[0]
    for t in range(rows.shape[0]):
        i, j = rows[t], columns[t]
        anchor = lagged if t == 0 else w
        constant = base[0 if t == 0 else 1]
        for k in range(z.shape[0]):
            argument[k] = keep * z[k] + constant[k]
        change = row_steps[i] * (z[n + i] - anchor[n + i])
        if change != 0.0:
            add_row(A[0], A[1], A[2], i, -change, argument[:n])
        change = column_steps[j] * (z[j] - anchor[j])
        if change != 0.0:
            add_row(AT[0], AT[1], AT[2], j, change, argument[n:])
        thresholds[0] = project_simplex_near(argument[:n], z[:n], thresholds[0])
        thresholds[1] = project_simplex_near(argument[n:], z[n:], thresholds[1])


@compiled(fastmath=REORDER)
def svrg_eg(
    A: Rows, AT: Rows, rows: Any, columns: Any, row_steps: Any, column_steps: Any,
    z: Any, w: Any, base: Any, keep: float, argument: Any, half: Any, thresholds: Any,
) -> None:  # fmt: skip
    """Iterations of the variance-reduced extragradient on a game, ``z`` changed in place.

    ``h = J(keep z + base)``, ``z <- J(keep z + base - tau [F_q(h) - F_q(w)])`` with ``base = (1 - keep) w - tau F(w)``.
    """
    n = column_steps.shape[0]
    for t in range(rows.shape[0]):
        i, j = rows[t], columns[t]
        for k in range(z.shape[0]):
            argument[k] = keep * z[k] + base[k]
        thresholds[0] = project_simplex_near(argument[:n], half[:n], thresholds[0])
        thresholds[1] = project_simplex_near(argument[n:], half[n:], thresholds[1])
        change = row_steps[i] * (half[n + i] - w[n + i])
        if change != 0.0:
            add_row(A[0], A[1], A[2], i, -change, argument[:n])
        change = column_steps[j] * (half[j] - w[j])
        if change != 0.0:
            add_row(AT[0], AT[1], AT[2], j, change, argument[n:])
        thresholds[2] = project_simplex_near(argument[:n], z[:n], thresholds[2])
        thresholds[3] = project_simplex_near(argument[n:], z[n:], thresholds[3])
