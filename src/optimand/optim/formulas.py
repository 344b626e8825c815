"""Classic update rules as element-wise formulas, shared by the optimizers that build on them.

Each stands once here for every path: full-precision states, 8-bit states, and the state-full part of a subspace
method. The native kernels (``kernels/native``) repeat these operations in this order, so that all paths agree bit
for bit. Scalars are worked out once a step, in float64.
"""

from __future__ import annotations

import math
from typing import Any

from .kernels import Kernel, maximum, sqrt


def adam(  # type: ignore[no-untyped-def]
    p, g, exp_avg, exp_avg_sq, l2, decay, step, beta1, one_minus_beta1, beta2, one_minus_beta2, eps
):
    """One element of Adam (``l2``) and AdamW (``decay``), bias corrections folded into ``step`` and ``eps``."""
    g = g + l2 * p
    m = beta1 * exp_avg + one_minus_beta1 * g
    v = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    return p * decay - step * m / (sqrt(v) + eps), m, v


def amsgrad(  # type: ignore[no-untyped-def]
    p, g, exp_avg, exp_avg_sq, max_exp_avg_sq, l2, decay, step, beta1, one_minus_beta1, beta2, one_minus_beta2, eps
):
    """One element of Adam and AdamW with the running maximum of the second moment in the denominator."""
    g = g + l2 * p
    m = beta1 * exp_avg + one_minus_beta1 * g
    v = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    largest = maximum(max_exp_avg_sq, v)
    return p * decay - step * m / (sqrt(largest) + eps), m, v, largest


def sgd(  # type: ignore[no-untyped-def]
    p, g, momentum_buffer, l2, scale, decay, lr, momentum, weight, of_grad, of_buffer
):
    """One element of SGD with momentum.

    ``scale`` is 1, or LARS's trust ratio; ``weight`` is 1 in the first step and ``1 - dampening`` then; the
    direction is ``of_grad * g + of_buffer * buffer``: (0, 1), or (1, momentum) for Nesterov's.
    """
    g = scale * (g + l2 * p)
    buffer = momentum * momentum_buffer + weight * g
    return p * decay - lr * (of_grad * g + of_buffer * buffer), buffer


def rmsprop(p, g, square_avg, l2, alpha, one_minus_alpha, lr, eps):  # type: ignore[no-untyped-def]
    """One element of RMSprop."""
    g = g + l2 * p
    v = alpha * square_avg + one_minus_alpha * (g * g)
    return p - lr * g / (sqrt(v) + eps), v


def rmsprop_momentum(  # type: ignore[no-untyped-def]
    p, g, momentum_buffer, square_avg, l2, alpha, one_minus_alpha, lr, eps, momentum
):
    """One element of RMSprop with momentum."""
    g = g + l2 * p
    v = alpha * square_avg + one_minus_alpha * (g * g)
    buffer = momentum * momentum_buffer + g / (sqrt(v) + eps)
    return p - lr * buffer, buffer, v


def adagrad(p, g, sum, l2, lr, eps):  # type: ignore[no-untyped-def]  # "sum" is torch's name of the state
    """One element of Adagrad."""
    g = g + l2 * p
    total = sum + g * g
    return p - lr * g / (sqrt(total) + eps), total


def ademamix(  # type: ignore[no-untyped-def]
    p, g, exp_avg, exp_avg_slow, exp_avg_sq, decay, step, slow_step, beta1, one_minus_beta1, beta2, one_minus_beta2,
    beta3, one_minus_beta3, eps,
):  # fmt: skip
    """One element of AdEMAMix; ``slow_step`` is ``alpha`` times the learning rate, uncorrected for bias."""
    m = beta1 * exp_avg + one_minus_beta1 * g
    slow = beta3 * exp_avg_slow + one_minus_beta3 * g
    v = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    return p * decay - (step * m + slow_step * slow) / (sqrt(v) + eps), m, slow, v


def lamb(  # type: ignore[no-untyped-def]
    p, g, exp_avg, exp_avg_sq, weight_decay, lr, debias1, debias2, beta1, one_minus_beta1, beta2, one_minus_beta2, eps
):
    """One element of LAMB; ``lr`` includes the tensor's trust ratio, ``debias2`` is ``1 / sqrt(1 - beta2^t)``."""
    m = beta1 * exp_avg + one_minus_beta1 * g
    v = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    return p - lr * (debias1 * m / (debias2 * sqrt(v) + eps) + weight_decay * p), m, v


ADAM = Kernel(adam, states=("exp_avg", "exp_avg_sq"))
AMSGRAD = Kernel(amsgrad, states=("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))
SGD = Kernel(sgd, states=("momentum_buffer",))
RMSPROP = Kernel(rmsprop, states=("square_avg",))
RMSPROP_MOMENTUM = Kernel(rmsprop_momentum, states=("momentum_buffer", "square_avg"))
ADAGRAD = Kernel(adagrad, states=("sum",))
ADEMAMIX = Kernel(ademamix, states=("exp_avg", "exp_avg_slow", "exp_avg_sq"))
LAMB = Kernel(lamb, states=("exp_avg", "exp_avg_sq"))


def adam_scalars(
    lr: Any,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: Any,
    *,
    decoupled: bool = True,
    correct_bias: bool = True,
) -> tuple[Any, ...]:
    """The scalars of :data:`ADAM` and :data:`AMSGRAD` in step ``step`` (from 1).

    ``m / c1 / (sqrt(v) / s2 + eps)`` is ``(s2 / c1) m / (sqrt(v) + s2 eps)``, which saves a division an element.

    Example:
        >>> step = adam_scalars(0.1, (0.9, 0.999), 0.0, 0.0, 1)[2]
        >>> round(step, 6)  # 0.1 * sqrt(1 - 0.999) / (1 - 0.9)
        0.031623
    """
    beta1, beta2 = betas
    root, size = 1.0, lr
    if correct_bias:
        root = (1.0 - beta2**step) ** 0.5 if not isinstance(step, float | int) else math.sqrt(1.0 - beta2**step)
        size = lr * root / (1.0 - beta1**step)
    decay = 1.0 - lr * weight_decay if decoupled else 1.0
    l2 = 0.0 if decoupled else weight_decay
    return l2, decay, size, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps * root
