"""Element-wise kappas as formulas for the fused kernels: an element costs one more function in Lion's pass.

Each formula is a derivative of an odd function of the averaged gradient, written under the rules of
:mod:`optimand.optim.kernels`; ``shape`` is the kappa's one parameter. The conjugates and sets live in
:mod:`optimand.optim.kappa`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kappa import L1, DeadZone, Huber, Kappa, LogCosh, Quadratic, Relativistic, Scaled
from ..kernels import Kernel, absolute, like, sign, sqrt, tanh, where

SCALARS = ("lr", "decay", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "shape")


def lion_k(p, g, exp_avg, lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, shape):  # type: ignore[no-untyped-def]
    """One step; ``exp_avg`` averages gradients, and ``direction`` is odd, so it enters with a minus."""
    c = beta1 * exp_avg + one_minus_beta1 * g
    moved = p * decay - lr * direction(c, shape)  # type: ignore[name-defined]  # noqa: F821
    return moved, beta2 * exp_avg + one_minus_beta2 * g


def l1(c, shape):  # type: ignore[no-untyped-def]
    return sign(c)


def dead_zone(c, shape):  # type: ignore[no-untyped-def]
    return where(absolute(c) > shape, sign(c), like(c, 0.0))


def huber(c, shape):  # type: ignore[no-untyped-def]
    return where(c > shape, like(c, 1.0), where(c < -shape, like(c, -1.0), c / shape))


def relativistic(c, shape):  # type: ignore[no-untyped-def]
    """c / sqrt(c² + e²) with ``shape`` 1/e; beyond 1e9 e the result is 1 in any precision, and squares stay finite."""
    u = shape * c
    t = where(u > like(c, 1e9), like(c, 1e9), where(u < like(c, -1e9), like(c, -1e9), u))
    return t / sqrt(like(c, 1.0) + t * t)


def log_cosh(c, shape):  # type: ignore[no-untyped-def]
    return tanh(shape * c)


def log_cosh_float32(c, shape):  # type: ignore[no-untyped-def]
    """tanh to within 3 units in the last place of float32, in operations that vectorize.

    Four terms of Lambert's continued fraction at a quarter of the argument, then tanh(2u) = 2ab / (a² + b²) of
    tanh(u) = a/b twice; beyond 9.02 the result is 1.
    """
    u = like(c, 0.25) * shape * c
    x = where(u > like(c, 2.255), like(c, 2.255), where(u < like(c, -2.255), like(c, -2.255), u))
    y = x * x
    a = x * (like(c, 105.0) + like(c, 10.0) * y)
    b = like(c, 105.0) + y * (like(c, 45.0) + y)
    a, b = like(c, 2.0) * a * b, a * a + b * b
    return like(c, 2.0) * a * b / (a * a + b * b)


def quadratic(c, shape):  # type: ignore[no-untyped-def]
    return c


def quotient(c, shape):  # type: ignore[no-untyped-def]
    """The direction of a norm: ``shape`` is the norm of the vector that ``c`` belongs to."""
    return c / shape


DIRECTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (l1, dead_zone, huber, relativistic, log_cosh, log_cosh_float32, quadratic, quotient)
}
# The update with each direction.
KERNELS = {name: Kernel(lion_k, states=("exp_avg",), functions={"direction": f}) for name, f in DIRECTIONS.items()}


def formula_of(kappa: Kappa) -> tuple[str, float] | None:
    """The direction's name and its parameter for an element-wise kappa, or None where there is no formula."""
    match kappa:
        case L1():
            return "l1", 0.0
        case DeadZone():
            return "dead_zone", kappa.e
        case Huber():
            return "huber", kappa.e
        case Relativistic():
            return "relativistic", min(1 / kappa.e, 1e30)
        case LogCosh():
            return "log_cosh", kappa.a
        case Quadratic():
            return "quadratic", 0.0
    return None


def unscale(kappa: Kappa) -> tuple[Kappa, float]:
    """The kappa inside any number of ``Scaled``, and the product of their factors."""
    if not isinstance(kappa, Scaled):
        return kappa, 1.0
    inner, factor = unscale(kappa.kappa)
    return inner, kappa.s * factor


def scalars(group: dict[str, Any], factor: float, shape: float) -> tuple[Any, ...]:
    """A row of the kernel's scalars; the implicit form is the explicit one with a shorter step.

    Args:
        group: hyperparameters; ``lr`` is a number or a 0-d tensor.
        factor: multiplies the direction.
        shape: the direction's parameter.
    """
    lr, weight_decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
    if group["decay"] == "implicit":
        step, decay = lr / (1 + lr * weight_decay), 1 / (1 + lr * weight_decay)
    else:
        step, decay = lr, 1 - lr * weight_decay
    return step * factor, decay, beta1, 1 - beta1, beta2, 1 - beta2, shape
