"""Infimal convolution of conjugates: projections onto Minkowski sums and conjugates found numerically."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .base import safe_norm

if TYPE_CHECKING:
    from .base import Kappa


def nearest_sum(kappas: Sequence[Kappa], x: Tensor, radius: float, tol: float = 1e-12, maxiter: int = 20000) -> Tensor:
    """The nearest point to x of the sum of the sets of ``kappas``, each times ``radius``.

    Boxes add up to a box. Otherwise the distance is minimized over one summand at a time, which is the
    projected gradient method with unit step, accelerated with a restart when the distance grows.
    """
    if not any(k.bounded for k in kappas) or len(kappas) == 1:
        return kappas[0]._project(x, radius) if len(kappas) == 1 else x.clone()
    if all(k.elementwise for k in kappas):
        reach = torch.stack([k._project(torch.full_like(x, math.inf), radius) for k in kappas]).sum(0)
        return torch.minimum(torch.maximum(x, -reach), reach)
    if len(kappas) > 2:
        return _nearest_of_many(kappas, x, radius, tol, maxiter)
    first, second = kappas
    u = first._project(x, radius)
    v = second._project(x - u, radius)
    ahead, weight, before = u, 1.0, math.inf
    for _ in range(maxiter):
        v = second._project(x - ahead, radius)
        new = first._project(x - v, radius)
        distance = float(safe_norm(x - new - v))
        if distance > before:
            ahead, weight = u, 1.0
            before = math.inf
            continue
        moved = float(safe_norm(new - ahead))
        next_weight = (1 + math.sqrt(1 + 4 * weight * weight)) / 2
        ahead = new + (weight - 1) / next_weight * (new - u)
        u, weight, before = new, next_weight, distance
        if moved <= tol * radius:
            break
    return u + second._project(x - u, radius)


def _nearest_of_many(kappas: Sequence[Kappa], x: Tensor, radius: float, tol: float, maxiter: int) -> Tensor:
    parts = [torch.zeros_like(x) for _ in kappas]
    total = torch.zeros_like(x)
    for _ in range(maxiter):
        moved = 0.0
        for i, kappa in enumerate(kappas):
            new = kappa._project(x - total + parts[i], radius)
            moved = max(moved, float(safe_norm(new - parts[i])))
            total = total + new - parts[i]
            parts[i] = new
        if moved <= tol * radius:
            break
    return total


def elementwise_conjugate(grad: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The m at which <z, m> - K(m) is largest, for an element-wise K with non-decreasing derivative ``grad``.

    Bisection on grad(m) = z in each coordinate; at a jump of the derivative it ends on the kink.
    """
    reach = torch.ones_like(z)
    for _ in range(60):
        short = (grad(reach) < z) | (grad(-reach) > z)
        if not short.any():
            break
        reach = torch.where(short, reach * 4, reach)
    low, high = -reach, reach
    for _ in range(140):
        middle = (low + high) / 2
        below = grad(middle) < z
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def supremum(kappa: Kappa, z: Tensor, starts: int = 4) -> tuple[Tensor, Tensor]:
    """sup over m of <z, m> - K(m) and a maximizer, by L-BFGS from several starts (0 and z among them).

    For conjugates without a closed form. The value is a lower bound that is accurate to about 1e-6 inside the
    domain of K*.
    """
    from scipy.optimize import minimize  # slow to import, seldom needed

    shape, goal = z.shape, z.detach().double()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        m = torch.from_numpy(flat).view(shape)
        slope = kappa._grad(m) - goal
        return float(kappa._value(m) - (goal * m).sum()), slope.flatten().numpy()

    rng = np.random.default_rng(0)
    flat = goal.flatten().numpy()
    points = [np.zeros_like(flat), flat, *(rng.standard_normal(flat.size) for _ in range(max(starts - 2, 0)))]
    best_value, best = loss(points[0])[0], points[0]
    options: Any = {"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-11}
    for start in points:
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        if found.fun < best_value:
            best_value, best = float(found.fun), found.x
    return z.new_tensor(-best_value), torch.from_numpy(best.copy()).view(shape).to(z)
