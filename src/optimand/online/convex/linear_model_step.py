"""Implicit steps on losses of a linear model, by a search in one unknown.

The step ``argmin phi(<a, x>) + |x - anchor|^2 / (2 eta)`` over a convex set is ``P(anchor - eta s a)`` for the number
``s`` which is a derivative of ``phi`` at the prediction of that very point. Without constraints the squared, absolute,
quantile and hinge losses have closed forms; with them the search goes on, on any set, and fast on a ball.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import losses
from .domains import Array, Ball

# By three inner products: |anchor - center|^2, eta <a, anchor - center>, and |eta a|^2.
Squares = tuple[Array, Array, Array]

SEARCH_STEPS = 200


def prox_squared(z: Array, c: Array, y: Array) -> Array:
    """``argmin_w (w - y)^2 / 2 + (w - z)^2 / (2 c)``.

    Example:
        >>> float(prox_squared(np.array(0.0), np.array(1.0), np.array(4.0)))
        2.0
    """
    return np.asarray((z + c * y) / (1 + c))


def prox_quantile(z: Array, c: Array, y: Array, quantile: float) -> Array:
    """``argmin_w max(q (y - w), (q - 1)(y - w)) + (w - z)^2 / (2 c)``: a step of fixed length that ends at ``y``.

    Example:
        >>> prox_quantile(np.array([0.0, 5.0]), np.array([1.0, 9.0]), np.array([4.0, 4.0]), 0.75).tolist()
        [0.75, 4.0]
    """
    return np.asarray(np.where(z > y, np.maximum(z - c * (1 - quantile), y), np.minimum(z + c * quantile, y)))


def prox_absolute(z: Array, c: Array, y: Array) -> Array:
    """``argmin_w |w - y| + (w - z)^2 / (2 c)``.

    Example:
        >>> prox_absolute(np.array([0.0, 5.0]), np.array([1.0, 9.0]), np.array([4.0, 4.0])).tolist()
        [1.0, 4.0]
    """
    return prox_quantile(z, 2 * c, y, 0.5)


def prox_hinge(z: Array, c: Array, y: Array) -> Array:
    """``argmin_w max(0, 1 - y w) + (w - z)^2 / (2 c)`` for labels -1 and 1.

    Example:
        >>> prox_hinge(np.array([0.0, 2.0]), np.array([0.25, 1.0]), np.array([-1.0, 1.0])).tolist()
        [-0.25, 2.0]
    """
    margin = y * z
    return np.asarray(y * np.where(margin < 1, np.minimum(margin + c, 1.0), margin))


_FORMS = {losses.SquaredLoss: prox_squared, losses.AbsoluteLoss: prox_absolute, losses.HingeLoss: prox_hinge}


def _closed_form(loss: Any) -> Callable[[Array, Array], Array] | None:
    own = getattr(loss, "scalar_prox", None)
    if own is not None:
        return own
    if type(loss) is losses.QuantileLoss:
        return lambda z, c: prox_quantile(z, c, loss.targets, loss.quantile)
    form = _FORMS.get(type(loss))
    return None if form is None else lambda z, c: form(z, c, loss.targets)


def linear_model_step(loss: Any, anchor: Array, eta: Array, domain: Any) -> Array:
    """The points ``argmin_{x in domain} loss(x) + |x - anchor|^2 / (2 eta)`` for a loss of a linear model.

    Args:
        loss: with ``features`` (R, d) and ``scalar_gradient(z)``.
        anchor: points of the domain, shape ``(..., R, d)``.
        eta: > 0, shape ``(..., R)``.
        domain: a convex set with ``project``.
    """
    features = np.asarray(loss.features, dtype=float)
    z = np.einsum("rd,...rd->...r", features, anchor)
    size = np.einsum("rd,rd->r", features, features)
    c = eta * size
    prox = _closed_form(loss)
    if prox is not None:
        slope = _slope_of(prox, z, c)
    else:
        slope = _consistent_slope(loss, lambda s: z - c * s, z)
    pull = eta[..., None] * features
    free = anchor - slope[..., None] * pull
    inside: Array = domain.project(free)
    outside = (np.abs(inside - free) > 1e-14 * (1 + np.abs(free))).any(-1)
    if not outside.any():
        return inside
    # With the constraint the same holds of the projected point: s must be the derivative at <features, P(...)>.
    if not isinstance(domain, Ball):
        slope = _consistent_slope(
            loss, lambda s: np.einsum("rd,...rd->...r", features, domain.project(anchor - s[..., None] * pull)), z
        )
    else:
        # On a ball all of it is a function of a few inner products.
        shifted = anchor - domain.center
        pairs = eta * (z - np.einsum("rd,...d->...r", features, np.broadcast_to(domain.center, anchor.shape[-1:])))
        squares = np.einsum("...d,...d->...", shifted, shifted), pairs, eta**2 * size
        if prox is not None:
            first = np.asarray(loss.scalar_gradient(z), dtype=float)
            slope = _slope_on_ball(prox, z, c, squares, domain.radius, first, outside)
        else:
            slope = _consistent_slope(loss, lambda s: _prediction_on_ball(s, z, c, squares, pairs / eta, domain), z)
    searched: Array = domain.project(anchor - slope[..., None] * pull)
    return np.where(outside[..., None], searched, inside)


def _slope_of(prox: Callable[[Array, Array], Array], z: Array, c: Array) -> Array:
    c = np.broadcast_to(c, z.shape)
    return np.divide(z - prox(z, c), c, out=np.zeros_like(z), where=c > 0)


def _distance(s: Array, squares: Squares) -> Array:
    """``|anchor - center - s eta a|`` from the squares of both parts and their product."""
    return np.sqrt(np.maximum(squares[0] - 2 * s * squares[1] + s * s * squares[2], 0.0))


def _prediction_on_ball(s: Array, z: Array, c: Array, squares: Squares, product: Array, ball: Ball) -> Array:
    """``<a, P(anchor - s eta a)>``, with ``product = <a, anchor - center>``."""
    share = ball.radius / np.maximum(_distance(s, squares), ball.radius)
    return np.asarray((z - product) + share * (product - s * c))


def _slope_on_ball(
    prox: Callable[[Array, Array], Array], z: Array, c: Array, squares: Squares, radius: float, first: Array,
    outside: Array,
) -> Array:  # fmt: skip
    """The derivative at the constrained step, for losses with a closed form: a search for the ball's multiplier ``m``.

    The step is the one without constraint from the anchor and with ``eta`` both shrunk by ``1 + m``, for the ``m``
    which puts it on the sphere; its distance from the center falls with ``m`` and has no jumps, not even at kinks.
    """
    product = np.divide(squares[1] * c, squares[2], out=np.zeros_like(z), where=squares[2] > 0)  # <a, anchor - center>
    base = z - product

    def slope_at(grown: Array) -> Array:
        return _slope_of(prox, base + product / grown, c / grown)

    low = np.ones_like(z)
    high = np.maximum((np.sqrt(squares[0]) + np.abs(first) * np.sqrt(squares[2])) / radius, 1.0) * (1 + 1e-12)
    at_low = _distance(slope_at(low), squares) - radius * low
    at_high = _distance(slope_at(high), squares) - radius * high
    grown, before = low, np.zeros(z.shape, dtype=np.int8) - 1
    for step in range(SEARCH_STEPS):
        fall = at_low - at_high
        share = np.divide(at_low, fall, out=np.full_like(fall, 0.5), where=fall > 0)
        share = np.where((step % 5 == 4) | ~(share > 0) | ~(share < 1), 0.5, share)
        grown = low + share * (high - low)
        value = _distance(slope_at(grown), squares) - radius * grown
        done = (np.abs(value) <= 1e-14 * radius * grown) | (high - low <= 1e-15 * high) | ~outside
        if done.all():
            break
        far = value > 0
        again = np.where(far == before, 0.5, 1.0)
        at_high = np.where(far, again * at_high, value)
        at_low = np.where(far, value, again * at_low)
        before = far
        low, high = np.where(far | done, grown, low), np.where(far & ~done, high, grown)
    return slope_at(grown)


def _consistent_slope(loss: Any, prediction: Callable[[Array], Array], z: Array) -> Array:
    """The ``s`` that is a derivative at ``prediction(s)``, which falls with ``s``; ``prediction(0)`` being ``z``.

    ``s - phi'(prediction(s))`` rises at least as fast as ``s``, jumping at kinks, and changes its sign between 0 and
    the derivative at ``z``. False position finds it where the loss is smooth, bisection where it is not.
    """
    first = np.asarray(loss.scalar_gradient(z), dtype=float)
    low, high = np.minimum(first, 0.0), np.maximum(first, 0.0)
    at_low = low - loss.scalar_gradient(prediction(low))
    at_high = high - loss.scalar_gradient(prediction(high))
    small = 1e-15 * np.abs(first)
    before = np.zeros(z.shape, dtype=np.int8) - 1
    for step in range(SEARCH_STEPS):
        width = high - low
        if (width <= small).all():
            break
        rise = at_high - at_low
        share = np.divide(-at_low, rise, out=np.full_like(rise, 0.5), where=rise > 0)
        share = np.where((step % 4 == 3) | ~(share > 0) | ~(share < 1), 0.5, share)
        middle = low + share * width
        value = middle - loss.scalar_gradient(prediction(middle))
        left = value < 0
        # A side that stays twice counts half (Illinois), so that both close in.
        again = np.where(left == before, 0.5, 1.0)
        at_high = np.where(left, again * at_high, value)
        at_low = np.where(left, value, again * at_low)
        before = left
        found = np.abs(value) <= 10 * small
        low, high = np.where(left | found, middle, low), np.where(left & ~found, high, middle)
    return np.asarray(0.5 * (low + high))
