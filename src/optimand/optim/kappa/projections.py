"""Euclidean projections that only kappas need: capped l1 ball, lp ball; the others are in core.projections."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import safe_norm


def project_box_and_l1(x: Tensor, box: float, radius: float) -> Tensor:
    """The nearest point to x with |x_i| <= box and ‖x‖_1 <= radius.

    It is clip(|x| - tau, 0, box) with the signs of x; the sum is piecewise linear in tau, so tau is found
    exactly on the segment between two of its breakpoints.
    """
    size = x.abs().flatten()
    if size.clamp_max(box).sum() <= radius:
        return x.clamp(-box, box)
    breaks = torch.cat([size.new_zeros(1), size, (size - box).clamp_min(0)]).sort().values
    low, high = 0, len(breaks) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if (size - breaks[middle]).clamp(0, box).sum() > radius:
            low = middle
        else:
            high = middle
    # Who lies where is asked in the middle of the segment: at its ends rounding decides.
    middle_tau = (breaks[low] + breaks[high]) / 2
    full = size - box > middle_tau
    inside = (size > middle_tau) & ~full
    left = (size[inside] - breaks[low]).sum() + box * int(full.sum()) - radius
    tau = breaks[low] + left / max(int(inside.sum()), 1)
    return x.sign() * (size - tau).clamp(0, box).view_as(x)


def project_lp_ball(x: Tensor, p: float, radius: float) -> Tensor:
    """The nearest point to x with ‖x‖_p <= radius, for 1 < p < inf.

    With y = |x|/radius the optimality conditions are z_i + mu z_i^(p-1) = y_i and ‖z‖_p = 1. The multiplier
    equals ‖y - z‖_q (1/p + 1/q = 1), which brackets it; it is found by Brent's method, z(mu) by Newton's.
    """
    from scipy.optimize import brentq  # slow to import, seldom needed

    y = x.abs() / radius
    size = float(safe_norm(y, p))
    if size <= 1 or not math.isfinite(size):
        return x.clone() if size <= 1 else torch.full_like(x, math.nan)
    dual = p / (p - 1)
    narrow = min(1.0, y.numel() ** (1 / dual - 1 / p))

    def excess(mu: float) -> float:
        return float(safe_norm(_shrink(y, p, mu), p)) - 1

    low, high = narrow * (size - 1) * (1 - 1e-9), float(safe_norm(y, dual))
    if low <= 0 or excess(low) <= 0:
        return x / size
    mu = brentq(excess, low, high, xtol=0.25 * low * torch.finfo(torch.float64).eps, rtol=1e-15)
    z = _shrink(y, p, mu)
    return x.sign() * z * (radius / safe_norm(z, p))


def _shrink(y: Tensor, p: float, mu: float) -> Tensor:
    """The solution z >= 0 of z + mu z^(p-1) = y, entry by entry.

    Newton's method on a convex increasing function falls monotonically from any point right of the root:
    so it works on z where p >= 2, and on s = z^(p-1), for which s^(1/(p-1)) + ... is convex, where p < 2.
    """
    power = p - 1 if p >= 2 else 1 / (p - 1)
    linear, curved = (1.0, mu) if p >= 2 else (mu, 1.0)
    t = torch.minimum(y / linear, (y / curved) ** (1 / power))
    for _ in range(60):
        lower = t ** (power - 1)
        step = (linear * t + curved * lower * t - y) / (linear + curved * power * lower)
        t = (t - step).clamp_min(0)
        if not (step.abs() > 4 * torch.finfo(t.dtype).eps * t).any():
            break
    return t if p >= 2 else t**power
