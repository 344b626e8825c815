"""Projections in the norm of a matrix, many at once: ``argmin (z - x)^T H (z - x)`` over a ball or a polytope.

For a ball the multiplier of the constraint solves one equation in one unknown (the secular equation of trust-region
methods), by a compiled loop over Cholesky factors, and by an eigendecomposition where rounding makes these fail; for a
box or the simplex an active-set method goes through sets of binding bounds, all points at once.
"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray

NEWTON_STEPS = 100
# From a point this many radii away the nearest one no longer depends on how far it is, and squares do not overflow.
FAR = 1e100


def nearest_in_ball(x: Array, H: Array, radius: float) -> Array:
    """The nearest points of the ball around 0.

    Args:
        x: points outside the ball, shape ``(R, d)``.
        H: shape ``(R, d, d)``, symmetric positive definite.
        radius: > 0.

    Example:
        >>> H = np.array([[[4.0, 0.0], [0.0, 1.0]]])
        >>> nearest_in_ball(np.array([[2.0, 2.0]]), H, 1.0).round(6).tolist()
        [[0.933345, 0.358981]]
    """
    from .loops import ball_points

    x = x / np.maximum(1.0, np.abs(x).max(1, keepdims=True) / (FAR * radius))
    found = np.empty(x.shape)
    left = np.flatnonzero(~ball_points(x, np.ascontiguousarray(H), radius, found))
    if len(left):
        found[left] = ball_by_eigenvalues(x[left], H[left], radius)
    return found


def ball_by_eigenvalues(x: Array, H: Array, radius: float) -> Array:
    """As :func:`nearest_in_ball`, slower and for matrices of any condition.

    With ``H = Q diag(h) Q^T`` the point is ``Q (h / (h + mu)) Q^T x`` for the ``mu >= 0`` that puts it on the sphere:
    ``1/radius - 1/|z(mu)|`` is convex and falling in ``mu``, so that Newton's steps from the left stay on the left.
    Bisection takes over where rounding makes a step leave the bracket.

    Args:
        x: points outside the ball, shape ``(R, d)``.
        H: shape ``(R, d, d)``, symmetric positive definite.
        radius: > 0.
    """
    values, vectors = np.linalg.eigh(H)
    values = values / values[:, -1:]  # the scale of H does not matter
    weighted = values * np.einsum("rij,ri->rj", vectors, x)
    low = np.zeros(len(x))
    high = np.maximum(np.sqrt((weighted**2).sum(1)) / radius - values[:, 0], 0.0)
    mu = low.copy()
    for _ in range(NEWTON_STEPS):
        shifted = values + mu[:, None]
        z = weighted / shifted
        norm = np.sqrt((z**2).sum(1))
        outside = norm > radius
        low, high = np.where(outside, mu, low), np.where(outside, high, mu)
        slope = (z**2 / shifted).sum(1)
        step = mu + (norm - radius) / radius * norm**2 / slope
        step = np.where((step > low) & (step < high), step, 0.5 * (low + high))
        if (np.abs(step - mu) <= 1e-13 * (1e-3 + step)).all():
            break
        mu = step
    z *= (radius / norm)[:, None]  # on the sphere, where it must be, whatever rounding left
    return np.asarray(np.einsum("rij,rj->ri", vectors, z))


def nearest_in_polytope(x: Array, H: Array, z: Array, lo: Array, hi: Array, total: float | None = None) -> Array:
    """The nearest points with ``lo <= z <= hi`` and, where ``total`` is given, ``sum z = total``.

    A primal active-set method: bounds that hold with equality form the working set; a step goes to the best point on
    it, or as far as the next bound, which joins; at the best point the bound with the most wrong multiplier leaves.
    The objective is strictly convex and falls, so no working set comes twice, up to ties.

    Args:
        x: shape ``(R, d)``.
        H: shape ``(R, d, d)``, symmetric positive definite.
        z: points of the set to begin from, shape ``(R, d)``; the Euclidean projections of ``x`` are near.
        lo, hi: bounds, numbers or of shape ``(d,)``; infinite ones never bind.
        total: what the entries sum to.

    Example:
        >>> H, start = np.array([[[2.0, 1.0], [1.0, 2.0]]]), np.array([[1.0, 0.0]])
        >>> nearest_in_polytope(np.array([[2.0, 0.0]]), H, start, np.zeros(2), np.array([1.0, 9.0])).round(9).tolist()
        [[1.0, 0.5]]
    """
    count, d = x.shape
    H = H / np.abs(np.einsum("rii->ri", H)).max(1)[:, None, None]
    lo, hi = np.broadcast_to(lo, (count, d)), np.broadcast_to(hi, (count, d))
    z = z.copy()
    side = (z >= hi).astype(np.int8) - (z <= lo).astype(np.int8)
    side[lo == hi] = 2  # never to leave
    rows = np.arange(count)
    for _ in range(20 * d + 50):
        direction, multiplier = _direction(x[rows], H[rows], z[rows], side[rows], total)
        here, bound = z[rows], side[rows]
        scale = 1e-12 * (1.0 + np.abs(here).max(1) + np.abs(x[rows]).max(1))
        best = np.abs(direction).max(1) <= scale
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(direction > 0, hi[rows] - here, here - lo[rows]) / np.abs(direction)
        room[(bound != 0) | (direction == 0)] = math.inf
        first = room.argmin(1)
        length = np.minimum(room[np.arange(len(rows)), first], 1.0)
        z[rows] = np.minimum(np.maximum(here + length[:, None] * direction, lo[rows]), hi[rows])
        joins = (length < 1.0) & ~best
        at, which = rows[joins], first[joins]
        up = direction[joins, which] > 0
        side[at, which] = np.where(up, 1, -1)
        z[at, which] = np.where(up, hi[at, which], lo[at, which])
        # A bound is wrong where the objective falls when its entry leaves it.
        wrong = np.where(bound == -1, -multiplier, np.where(bound == 1, multiplier, -math.inf))
        worst = wrong.argmax(1)
        leaves = (length >= 1.0) | best
        leaves &= wrong[np.arange(len(rows)), worst] > scale
        side[rows[leaves], worst[leaves]] = 0
        rows = rows[joins | leaves]
        if not len(rows):
            break
    return z


def _direction(x: Array, H: Array, z: Array, side: Array, total: float | None) -> tuple[Array, Array]:
    """The step to the best point on the working set, and there the derivative by each entry that is held."""
    free = (side == 0).astype(float)
    d = x.shape[1]
    slope = np.einsum("rij,rj->ri", H, z - x)
    system = H * free[:, :, None] * free[:, None, :]
    system[:, np.arange(d), np.arange(d)] += 1.0 - free
    if total is None:
        direction = np.linalg.solve(system, -(free * slope)[..., None])[..., 0]
        return direction, slope + np.einsum("rij,rj->ri", H, direction)
    right = np.stack([-(free * slope), free], -1)
    solved = np.linalg.solve(system, right)
    weight = np.maximum(solved[..., 1].sum(1), 1e-300)
    # Entries that are held count as none; with a single free entry there is no direction at all.
    price = -solved[..., 0].sum(1) / weight
    direction = free * (solved[..., 0] + price[:, None] * solved[..., 1])
    return direction, slope + np.einsum("rij,rj->ri", H, direction) - price[:, None]
