"""Lion-K as pure functions: one update, and the quantities of its theory.

Chen, Liu, Liang, Liu, "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", arXiv 2310.05898.
The momentum ``m`` accumulates negative gradients here, as in the paper. Tensors of any one shape; ``weight_decay``
is the paper's lambda, ``lr`` its epsilon (the step).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..kappa import Kappa


def lion_k_update(
    x: Tensor,
    m: Tensor,
    grad: Tensor,
    direction: Callable[[Tensor], Tensor],
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    implicit: bool = False,
) -> tuple[Tensor, Tensor]:
    """One step of Lion-K; the inputs stay as they are.

    Args:
        x: parameters.
        m: momentum of negative gradients.
        grad: gradient at ``x``.
        direction: the map dK, such as ``Kappa.grad``.
        lr: step size.
        beta1: weight of the old momentum in the direction.
        beta2: weight of the old momentum in the new one.
        weight_decay: lambda; the constraint set is the domain of K* divided by it.
        implicit: take the decay at the new point, as the discrete theorem does, instead of at the old one.

    Returns:
        The new parameters and the new momentum.
    """
    step = direction(beta1 * m - (1 - beta1) * grad)
    if implicit:
        x = (x + lr * step) / (1 + lr * weight_decay)
    else:
        x = (1 - lr * weight_decay) * x + lr * step
    return x, beta2 * m - (1 - beta2) * grad


def regularizer(kappa: Kappa, x: Tensor, weight_decay: float, tol: float | None = None) -> Tensor:
    """K*(lambda x)/lambda, what Lion-K adds to the loss; 0 where ``weight_decay`` is 0, infinite outside the set.

    Here and below, a point with lambda x within ``tol`` of the domain of K* counts as inside (by default rounding).
    """
    return kappa.conj(weight_decay * x, tol) / weight_decay if weight_decay else x.new_zeros(())


def kkt_score(kappa: Kappa, x: Tensor, grad: Tensor, weight_decay: float, tol: float | None = None) -> Tensor:
    """K(-g) + K*(lambda x) + lambda <x, g>: at least 0, and 0 exactly at the solutions of the constrained problem."""
    return fenchel_young_gap(kappa, x, -grad, weight_decay, tol)


def lyapunov_weight(lr: float, beta1: float, beta2: float, weight_decay: float, implicit: bool = True) -> float:
    """The weight c of the Fenchel-Young gap in the Lyapunov function of the discrete method.

    An explicit step ``lr`` is the implicit step ``lr / (1 - lr * weight_decay)``.
    """
    if not implicit:
        lr = lr / (1 - lr * weight_decay)
    return lr * beta1 / (lr * weight_decay * (1 - beta1) + (1 - beta2))


def fenchel_young_gap(kappa: Kappa, x: Tensor, m: Tensor, weight_decay: float, tol: float | None = None) -> Tensor:
    """K*(lambda x) + K(m) - lambda <x, m>: at least 0, and 0 exactly where lambda x is a subgradient of K at m."""
    pairing = weight_decay * (x * m).sum() if weight_decay else 0.0
    return kappa.conj(weight_decay * x, tol) + kappa.value(m) - pairing


def constraint_distance(kappa: Kappa, x: Tensor, weight_decay: float) -> Tensor:
    """Euclidean distance from x to the constraint set, the closure of the domain of K* divided by lambda."""
    return kappa.dist_domain(weight_decay * x) / weight_decay if weight_decay else torch.zeros_like(x).sum()
