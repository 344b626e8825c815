"""Points that regret is measured against: minimisers over a convex set, exact wherever there is a closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from .domains import Array, Ball, Domain, Unconstrained
from .losses import LinearModelLoss

# A linear loss is minimised by projecting a point this many diameters down the slope.
_FAR = 1e9
_SOLVES = 4000


def quadratic_minimiser(domain: Domain, curvature: Any, linear: Array) -> Array:
    """Minimisers of ``(curvature/2) ||x||^2 - <linear, x>`` over a convex set.

    The curvature being the same in all directions, that is the projection of the minimiser without constraints. Where
    it is 0 the set must be bounded, and the value found is within 1e-9 of the least one, relatively.

    Args:
        domain: the set.
        curvature: at least 0, a number or shape ``(N,)``.
        linear: shape ``(N, d)``.

    Raises:
        OptimandError: a linear loss on an unbounded set.

    Example:
        >>> from optimand.online.convex.domains import Ball
        >>> quadratic_minimiser(Ball(1.0), 2.0, np.array([[1.0, 0.0], [0.0, 6.0]])).tolist()
        [[0.5, 0.0], [0.0, 1.0]]
    """
    h = np.broadcast_to(np.asarray(curvature, dtype=float), len(linear))[:, None]
    flat = h[:, 0] == 0
    points = np.divide(linear, h, out=np.zeros_like(linear), where=h > 0)
    if flat.any():
        if not domain.bounded:
            raise OptimandError("a linear loss has no minimiser on an unbounded domain")
        diameter = domain.diameter_in(linear.shape[1])
        size = np.linalg.norm(linear, axis=1, keepdims=True)
        away = np.divide(linear, size, out=np.zeros_like(linear), where=size > 0) * (_FAR * diameter)
        points = np.where(flat[:, None], away, points)
    return domain.project(points)


def outside(domain: Domain, x: Array) -> float:
    """The largest distance of a point ``x`` (N, d) from the set, relative to 1 and its norm; 0 where all are NaN."""
    gap = np.sqrt(((x - domain.project(x)) ** 2).sum(axis=-1)) / (1.0 + np.sqrt((x**2).sum(axis=-1)))
    gap = gap[np.isfinite(gap)]
    return float(gap.max(initial=0.0))


def best_model(
    domain: Domain, loss: LinearModelLoss, counts: Array, start: Array | None = None, tol: float = 1e-9
) -> tuple[Array, Array]:
    """The best fixed linear models on weighted data, one for each row of weights.

    Squared losses on a ball around 0 and without constraints are solved exactly (an eigendecomposition and a scalar
    equation); others by accelerated projected gradients with restarts. Losses with a kink are smoothed in rounds of
    ever smaller width; the value returned is the true loss at the point found, so it is an upper bound of the least.

    Args:
        domain: the set.
        loss: holds the rows, features ``(n, d)`` and targets ``(n,)``.
        counts: how often each row came, shape ``(R, n)``.
        start: points to start from, shape ``(R, d)``; 0 by default.
        tol: relative length of the last step at which it ends.

    Returns:
        The points ``(R, d)`` and their total losses ``(R,)``.

    Example:
        >>> from optimand.online.convex.domains import Ball
        >>> from optimand.online.convex.losses import SquaredLoss
        >>> rows = SquaredLoss(np.eye(2), np.array([0.5, 0.25]))
        >>> best_model(Ball(1.0), rows, np.ones((1, 2)))[0].round(6).tolist()
        [[0.5, 0.25]]
    """
    counts = np.asarray(counts, dtype=float)
    d = loss.features.shape[1]
    x = domain.project(np.zeros((len(counts), d)) if start is None else start)
    if loss.smoothness == 1.0:
        found = least_squares(domain, *weighted_products(loss, counts))
        if found is not None:
            return found, total_loss(loss, counts, found)
    widths = [0.0] if loss.smoothness is not None else (0.3 / 4.0 ** np.arange(7)).tolist()
    best, least = x, total_loss(loss, counts, x)
    for width in widths:
        x = _accelerated(domain, loss, counts, x, width, tol)
        value = total_loss(loss, counts, x)
        better = value < least
        best, least = np.where(better[:, None], x, best), np.where(better, value, least)
    return best, least


def total_loss(loss: LinearModelLoss, counts: Array, x: Array) -> Array:
    """Weighted sums of the losses of the rows at ``x`` (R, d), shape ``(R,)``."""
    return np.einsum("rn,rn->r", counts, loss.scalar_value(x @ loss.features.T))


def weighted_products(loss: LinearModelLoss, counts: Array) -> tuple[Array, Array]:
    """Weighted Gram matrices ``(R, d, d)`` of the features, and their products with the targets ``(R, d)``."""
    d = loss.features.shape[1]
    gram, moment = np.empty((len(counts), d, d)), np.empty((len(counts), d))
    for r, weights in enumerate(counts):  # one by one, so that rounding does not depend on how many there are
        weighted = loss.features * weights[:, None]
        gram[r], moment[r] = weighted.T @ loss.features, weighted.T @ loss.targets
    return gram, moment


def least_squares(domain: Domain, gram: Array, moment: Array) -> Array | None:
    """Minimisers (R, d) of ``x^T gram x / 2 - <moment, x>``; None but for balls around 0 and the whole space.

    Example:
        >>> from optimand.online.convex.domains import Ball
        >>> least_squares(Ball(1.0), np.diag([1.0, 2.0])[None], np.array([[0.5, 0.5]])).round(9).tolist()
        [[0.5, 0.25]]
    """
    free = isinstance(domain, Unconstrained)
    if not free and not (isinstance(domain, Ball) and not domain.center.any()):
        return None
    values, vectors = np.linalg.eigh(gram)
    along = np.einsum("rij,ri->rj", vectors, moment)
    floor = values[:, -1:] * 1e-13 + 1e-150
    keep = values > floor
    along = np.where(keep, along, 0.0)
    solution = np.divide(along, values, out=np.zeros_like(values), where=keep)
    if not isinstance(domain, Ball):
        return np.einsum("rij,rj->ri", vectors, solution)
    radius = domain.radius
    long = np.linalg.norm(solution, axis=1) > radius
    low, high = np.zeros(len(moment)), np.linalg.norm(along, axis=1) / radius + 1e-300
    for _ in range(200):  # the multiplier of the ball by bisection, on the scale that floats have
        middle = 0.5 * (low + high)
        size = np.linalg.norm(along / (np.maximum(values, floor) + middle[:, None]), axis=1)
        low, high = np.where(size > radius, middle, low), np.where(size > radius, high, middle)
    on_sphere = along / (np.maximum(values, floor) + high[:, None])
    return np.einsum("rij,rj->ri", vectors, np.where(long[:, None], on_sphere, solution))


def _accelerated(domain: Domain, loss: LinearModelLoss, counts: Array, x: Array, width: float, tol: float) -> Array:
    features = loss.features
    # The largest eigenvalue of the weighted Gram matrices bounds the curvature.
    gram, _ = weighted_products(loss, counts)
    bend = loss.smoothness if loss.smoothness is not None else 1.0 / width
    step = 1.0 / (bend * np.linalg.eigvalsh(gram)[:, -1:] + 1e-300)
    y, momentum, done = x, np.ones((len(x), 1)), np.zeros((len(x), 1), dtype=bool)
    for _ in range(_SOLVES):
        z = y @ features.T
        if width == 0:
            slope = loss.scalar_gradient(z)
        else:  # the mean of a piecewise constant slope over [z - width, z + width], as a difference of its integral
            slope = (loss.scalar_value(z + width) - loss.scalar_value(z - width)) / (2.0 * width)
        moved = domain.project(y - step * ((counts * slope) @ features))
        back = ((y - moved) * (moved - x)).sum(axis=1, keepdims=True) > 0  # the momentum points uphill
        grown = np.where(back, 1.0, 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)))
        y = np.where(back, moved, moved + (momentum - 1.0) / grown * (moved - x))
        length, size = (np.abs(v).max(axis=1, keepdims=True) for v in (moved - x, moved))
        x, momentum = np.where(done, x, moved), grown
        done = done | (length <= tol * (1e-3 + size))
        if done.all():
            break
    return np.asarray(x)
