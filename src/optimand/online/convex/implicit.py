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
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from . import losses
from .domains import Array, Ball

GRADIENT_STEPS = 3000
TOLERANCE = 1e-11
# By three inner products: |anchor - center|^2, eta <a, anchor - center>, and |eta a|^2.
Squares = tuple[Array, Array, Array]

SEARCH_STEPS = 200


def guess_error(learner: Any, g: Array, loss: Any) -> Array:
    """How wrong a learner's guess of the gradient ``g`` (R, d) was; with implicit steps the loss is the next guess."""
    if not learner.implicit:
        return np.asarray(g - learner._last)
    check_loss(loss)
    last, learner._last_loss = learner._last_loss, loss
    # Both gradients at the same point: the guess was the last loss, not its gradient elsewhere.
    return g if last is None else g - np.asarray(last.gradient(learner._x))


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

    def done(grown: Array, value: Array, low: Array, high: Array) -> tuple[Array, Array]:
        found = (np.abs(value) <= 1e-14 * radius * grown) | (high - low <= 1e-15 * high) | ~outside
        return found, found

    return slope_at(_crossing(lambda m: _distance(slope_at(m), squares) - radius * m, low, high, 5, done)[2])


def _consistent_slope(loss: Any, prediction: Callable[[Array], Array], z: Array) -> Array:
    """The ``s`` that is a derivative at ``prediction(s)``, which falls with ``s``; ``prediction(0)`` being ``z``.

    ``s - phi'(prediction(s))`` rises at least as fast as ``s``, jumping at kinks, and changes its sign between 0 and
    the derivative at ``z``. False position finds it where the loss is smooth, bisection where it is not.
    """
    first = np.asarray(loss.scalar_gradient(z), dtype=float)
    small = 1e-15 * np.abs(first)
    low, high, _ = _crossing(
        lambda s: loss.scalar_gradient(prediction(s)) - s,
        np.minimum(first, 0.0),
        np.maximum(first, 0.0),
        4,
        lambda s, value, low, high: (high - low <= small, np.abs(value) <= 10 * small),
    )
    return np.asarray(0.5 * (low + high))


def _crossing(
    value_at: Callable[[Array], Array],
    low: Array,
    high: Array,
    period: int,
    done: Callable[[Array, Array, Array, Array], tuple[Array, Array]],
) -> tuple[Array, Array, Array]:
    """Where values that fall from ``low`` to ``high`` cross 0: false position, and in each ``period`` one bisection.

    ``done(point, value, low, high)`` says for each entry whether the search may stop, and whether the point is it.

    Returns:
        Ends of the last interval, and the last point.
    """
    at_low, at_high = value_at(low), value_at(high)
    point = low
    before: Any = np.zeros(low.shape, dtype=np.int8) - 1
    for step in range(SEARCH_STEPS):
        fall = at_low - at_high
        share = np.divide(at_low, fall, out=np.full_like(fall, 0.5), where=fall > 0)
        share = np.where((step % period == period - 1) | ~(share > 0) | ~(share < 1), 0.5, share)
        point = low + share * (high - low)
        value = value_at(point)
        stop, found = done(point, value, low, high)
        if stop.all():
            break
        far = value > 0
        # A side that stays twice counts half (Illinois), so that both close in.
        again = np.where(far == before, 0.5, 1.0)
        at_high = np.where(far, again * at_high, value)
        at_low = np.where(far, value, again * at_low)
        before = far
        low, high = np.where(far | found, point, low), np.where(far & ~found, high, point)
    return low, high, point
