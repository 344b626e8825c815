"""Implicit steps: ``argmin f(x) + |x - anchor|^2 / (2 eta)`` over a convex set, for all repetitions at once.

A step on the loss itself instead of its gradient needs no smoothness (arXiv 2302.04552, non-smooth losses). What a
loss offers decides how the step is found; all losses have ``value(x)`` and ``gradient(x)`` for points ``(R, d)``.

* A loss of a linear model has ``features`` (R, d) and ``scalar_gradient(z)`` of predictions ``z = <features, x>`` of
  shape ``(R,)`` or ``(N, R)``. The solution is ``P(anchor - eta s features)`` for the one number ``s`` which is the
  derivative at its own prediction: a search in one unknown, on any set. Without constraints there are closed forms for
  the squared, absolute, quantile and hinge losses, and for a loss that has
  ``scalar_prox(z, c) = argmin_w phi(w) + (w - z)^2 / (2 c)``.
* A loss with ``prox(x, eta)``, its step without constraints: that is the solution where it is in the set. On a ball a
  multiplier is searched for otherwise; quadratic losses of equal curvature in all directions need a projection only.
* Any other differentiable loss: accelerated projected gradient steps.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from . import losses
from .domains import Array, Ball
from .linear_model_step import SEARCH_STEPS, linear_model_step

GRADIENT_STEPS = 3000
TOLERANCE = 1e-11


def check_loss(loss: Any) -> None:
    """OptimandError unless ``loss`` is an object that implicit steps can be made on."""
    if loss is None:
        raise OptimandError("implicit steps need the round's loss as an object: update(loss=…), got a gradient alone")
    missing = [name for name in ("value", "gradient") if not callable(getattr(loss, name, None))]
    if missing:
        raise OptimandError(f"a loss needs value(x) and gradient(x), {type(loss).__name__} lacks {', '.join(missing)}")


def implicit_step(loss: Any, anchor: Array, eta: Any, domain: Any) -> Array:
    """The points ``argmin_{x in domain} loss(x) + |x - anchor|^2 / (2 eta)``.

    Args:
        loss: see above; convex.
        anchor: points of the domain, shape ``(R, d)``, or ``(N, R, d)`` for several steps on the same losses.
        eta: > 0, a number or an array that broadcasts to the shape of ``anchor`` without its last axis.
        domain: a convex set with ``project``.

    Returns:
        The shape of ``anchor``.

    Example:
        >>> from optimand.online.convex.domains import Ball
        >>> loss = losses.AbsoluteLoss(np.array([[1.0, 1.0]]), np.array([1.0]))
        >>> implicit_step(loss, np.zeros((1, 2)), 5.0, Ball(1.0)).tolist()
        [[0.5, 0.5]]
    """
    steps = np.broadcast_to(np.asarray(eta, dtype=float), anchor.shape[:-1])
    if hasattr(loss, "features") and hasattr(loss, "scalar_gradient"):
        return linear_model_step(loss, anchor, steps, domain)
    if anchor.ndim == 3:
        return np.stack([implicit_step(loss, a, e, domain) for a, e in zip(anchor, steps, strict=True)])
    if hasattr(loss, "prox"):
        free = np.asarray(loss.prox(anchor, steps), dtype=float)
        inside = domain.project(free)
        if isinstance(loss, losses.QuadraticLoss | losses.LinearLoss):
            return inside  # level sets are spheres or planes around the solution, so the nearest point is the best
        if np.abs(inside - free).max() <= 1e-14 * (1 + np.abs(free).max()):
            return inside
        if isinstance(domain, Ball):
            return _ball_step(loss, anchor, steps, domain, free)
    return _gradient_step(loss, anchor, steps, domain)


def _ball_step(loss: Any, anchor: Array, eta: Array, ball: Ball, free: Array) -> Array:
    """The step on a ball by the multiplier ``m`` of ``|x - center|^2 <= radius^2``, which moves anchor and step."""

    def point(m: Array) -> Array:
        share = 1 / (1 + m)
        moved = (anchor + m[:, None] * ball.center) * share[:, None]
        return np.asarray(loss.prox(moved, eta * share), dtype=float)

    def length(x: Array) -> Array:
        return np.sqrt(((x - ball.center) ** 2).sum(1))

    outside = length(free) > ball.radius
    low, high = np.zeros(len(free)), np.ones(len(free))
    for _ in range(200):
        far = outside & (length(point(high)) > ball.radius)
        if not far.any():
            break
        low, high = np.where(far, high, low), np.where(far, 4 * high, high)
    for _ in range(SEARCH_STEPS):
        if (high - low <= 4e-16 * high).all():
            break
        middle = 0.5 * (low + high)
        far = length(point(middle)) > ball.radius
        low, high = np.where(far, middle, low), np.where(far, high, middle)
    return np.where(outside[:, None], ball.project(point(high)), free)


def _gradient_step(loss: Any, anchor: Array, eta: Array, domain: Any) -> Array:
    """Accelerated projected gradient steps; the smoothness is found by doubling, momentum restarts where it hurts."""

    def value(x: Array) -> Array:
        own = np.asarray(loss.value(x), dtype=float)
        if own.shape != x.shape[:1]:
            raise OptimandError(
                f"{type(loss).__name__}.value(x) must have shape (R,) = {x.shape[:1]} at points of shape {x.shape}, "
                f"got {own.shape}"
            )
        return np.asarray(own + ((x - anchor) ** 2).sum(1) / (2 * eta))

    x = domain.project(anchor)
    y, momentum, smooth = x, np.ones(len(x)), 1 / eta
    for _ in range(GRADIENT_STEPS):
        g, at_y = np.asarray(loss.gradient(y) + (y - anchor) / eta[:, None]), value(y)
        for _ in range(60):
            tried = domain.project(y - g / smooth[:, None])
            gap = tried - y
            room = at_y + np.einsum("rd,rd->r", g, gap) + 0.5 * smooth * (gap**2).sum(1)
            steep = value(tried) > room + 1e-14 * (1 + np.abs(at_y))
            if not steep.any():
                break
            smooth = np.where(steep, 2 * smooth, smooth)
        if (np.abs(gap).max(1) * smooth * eta <= TOLERANCE * (1 + np.abs(tried).max(1))).all():
            return np.asarray(tried)
        back = np.einsum("rd,rd->r", -gap, tried - x) > 0
        following = np.where(back, 1.0, 0.5 * (1 + np.sqrt(1 + 4 * momentum**2)))
        weight = np.where(back, 0.0, (momentum - 1) / following)
        y = tried + weight[:, None] * (tried - x)
        x, momentum = tried, following
    warnings.warn(
        f"an implicit step on {type(loss).__name__} did not reach its tolerance; a loss with a kink must offer prox(x, "
        "eta) or be a loss of a linear model",
        RuntimeWarning,
        stacklevel=3,
    )
    return np.asarray(x)
