"""Implicit steps: ``argmin f(x) + |x - anchor|^2 / (2 eta)`` over a convex set, for all repetitions at once.

A step on the loss itself instead of its gradient needs no smoothness (arXiv 2302.04552, non-smooth losses). What a
loss offers decides how the step is found; all losses have ``value(x)`` and ``gradient(x)`` for points ``(R, d)``.

* A loss of a linear model has ``features`` (R, d) and ``scalar_gradient(z)`` of predictions ``z = <features, x>`` of
  shape ``(R,)`` or ``(N, R)``. The solution is ``P(anchor - eta s features)`` for the one number ``s`` which is the
  derivative at its own prediction: a search in one unknown, on any set. Without constraints there are closed forms for
  the squared, absolute, quantile and hinge losses, and for a loss that has
  ``scalar_prox(z, c) = argmin_w phi(w) + (w - z)^2 / (2 c)``.
* Linear losses, and quadratic ones of equal curvature in all directions, have closed forms and need a projection only.
* Any other differentiable loss: accelerated projected gradient steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from . import losses
from .linear_model_step import linear_model_step

Array = np.ndarray

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
    if isinstance(loss, losses.QuadraticLoss | losses.LinearLoss):
        # Level sets are spheres or planes around the solution without constraints: the nearest point is the best.
        return np.asarray(domain.project(loss.prox(anchor, steps)))
    return _gradient_step(loss, anchor, steps, domain)


def _objective(loss: Any, anchor: Array, eta: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    def value(x: Array) -> Array:
        own = np.asarray(loss.value(x), dtype=float)
        if own.shape != x.shape[:1]:
            raise OptimandError(
                f"{type(loss).__name__}.value(x) must have shape (R,) = {x.shape[:1]} at points of shape {x.shape}, "
                f"got {own.shape}"
            )
        return np.asarray(own + ((x - anchor) ** 2).sum(1) / (2 * eta))

    def slope(x: Array) -> Array:
        return np.asarray(loss.gradient(x) + (x - anchor) / eta[:, None])

    return value, slope


def _gradient_step(loss: Any, anchor: Array, eta: Array, domain: Any) -> Array:
    """Accelerated projected gradient steps; the smoothness is found by doubling, momentum restarts where it hurts."""
    value, slope = _objective(loss, anchor, eta)
    x = domain.project(anchor)
    y, momentum, smooth = x, np.ones(len(x)), 1 / eta
    for _ in range(GRADIENT_STEPS):
        g, at_y = slope(y), value(y)
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
    _warn(loss)
    return np.asarray(x)


def _warn(loss: Any) -> None:
    warnings.warn(
        f"an implicit step on {type(loss).__name__} did not reach its tolerance; a loss with a kink must be one of a "
        "linear model",
        RuntimeWarning,
        stacklevel=4,
    )
