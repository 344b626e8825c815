"""Kappas that are sums over coordinates: their constraint set is the box |x_i| <= 1 / weight_decay."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optimand.core.validation import check_number

from .base import Kappa, Norm, safe_norm


class _Box(Kappa):
    """A sum over coordinates whose conjugate lives on [-1, 1] in each."""

    elementwise = True

    def _dist(self, z: Tensor) -> Tensor:
        return safe_norm((z.abs() - 1).clamp_min(0))

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return x.clamp(-radius, radius)


class L1(_Box, Norm):
    """K(m) = sum |m_i|: Lion. Weights stay in the box |x_i| <= 1/weight_decay.

    Example:
        >>> import torch
        >>> L1().grad(torch.tensor([0.3, 0.0, -2.0])).tolist()
        [1.0, 0.0, -1.0]
    """

    name = "l1"

    def _value(self, m: Tensor) -> Tensor:
        return m.abs().sum()

    def _grad(self, m: Tensor) -> Tensor:
        return m.sign()


class DeadZone(_Box):
    """K(m) = sum max(|m_i| - e, 0): the box with an l1 penalty e |x_i|, which makes weights sparse.

    Args:
        e: half-width of the zone in which a coordinate rests, at least 0 (0 is ``L1``).
    """

    name = "dead_zone"

    def __init__(self, e: float = 0.1) -> None:
        self.e = check_number("e", e, low=0.0, high=math.inf, high_open=True)

    def _value(self, m: Tensor) -> Tensor:
        return (m.abs() - self.e).clamp_min(0).sum()

    def _grad(self, m: Tensor) -> Tensor:
        return m.sign() * (m.abs() > self.e)

    def _conj(self, z: Tensor) -> Tensor:
        return self.e * z.abs().sum()

    def _conj_grad(self, z: Tensor) -> Tensor:
        return self.e * z.sign()


class Huber(_Box):
    """K(m) = sum of m²/(2e) where |m| <= e, |m| - e/2 elsewhere: the box with a ridge (e weight_decay / 2) x².

    Args:
        e: where the parabola ends, positive.
    """

    name = "huber"

    def __init__(self, e: float = 1.0) -> None:
        self.e = check_number("e", e, low=0.0, low_open=True, high=math.inf, high_open=True)

    def _value(self, m: Tensor) -> Tensor:
        size = m.abs()
        inner = size.clamp_max(self.e)
        return (inner * (inner / self.e) / 2 + (size - inner)).sum()

    def _grad(self, m: Tensor) -> Tensor:
        return (m / self.e).clamp(-1, 1)

    def _conj(self, z: Tensor) -> Tensor:
        return self.e / 2 * z.square().sum()

    def _conj_grad(self, z: Tensor) -> Tensor:
        return self.e * z


class Relativistic(_Box):
    """K(m) = sum sqrt(m_i² + e²): a smooth Lion whose box has a barrier.

    Args:
        e: smoothing, positive; the limit 0 is ``L1``.
    """

    name = "relativistic"

    def __init__(self, e: float = 1.0) -> None:
        self.e = check_number("e", e, low=0.0, low_open=True, high=math.inf, high_open=True)

    def _value(self, m: Tensor) -> Tensor:
        return torch.hypot(m, m.new_tensor(self.e)).sum()

    def _grad(self, m: Tensor) -> Tensor:
        return m / torch.hypot(m, m.new_tensor(self.e))

    def _conj(self, z: Tensor) -> Tensor:
        return -self.e * ((1 - z) * (1 + z)).clamp_min(0).sqrt().sum()

    def _conj_grad(self, z: Tensor) -> Tensor:
        return self.e * z / ((1 - z) * (1 + z)).clamp_min(0).sqrt()


class LogCosh(_Box):
    """K(m) = sum log(cosh(a m_i)) / a: tanh updates, and an entropy as the barrier of the box.

    Args:
        a: steepness, positive; the limit of large ``a`` is ``L1``.
    """

    name = "log_cosh"

    def __init__(self, a: float = 1.0) -> None:
        self.a = check_number("a", a, low=0.0, low_open=True, high=math.inf, high_open=True)

    def _value(self, m: Tensor) -> Tensor:
        u = (self.a * m).abs()
        # Two forms: the first loses all digits near 0, the second overflows far from it.
        far = u + torch.log1p(torch.exp(-2 * u)) - math.log(2)
        near = torch.log1p(2 * torch.sinh(u.clamp_max(1) / 2).square())
        return torch.where(u > 1, far, near).sum() / self.a

    def _grad(self, m: Tensor) -> Tensor:
        return torch.tanh(self.a * m)

    def _conj(self, z: Tensor) -> Tensor:
        z = z.clamp(-1, 1)
        return (torch.special.xlog1py(1 + z, z) + torch.special.xlog1py(1 - z, -z)).sum() / (2 * self.a)

    def _conj_grad(self, z: Tensor) -> Tensor:
        return torch.atanh(z.clamp(-1, 1)) / self.a


class Quadratic(Kappa):
    """K(m) = |m|²/2: momentum with an l2 penalty (weight_decay / 2) |x|², no constraint."""

    name = "quadratic"
    elementwise = True
    bounded = False

    def _value(self, m: Tensor) -> Tensor:
        return m.square().sum() / 2

    def _grad(self, m: Tensor) -> Tensor:
        return m.clone()

    def _conj(self, z: Tensor) -> Tensor:
        return z.square().sum() / 2

    def _conj_grad(self, z: Tensor) -> Tensor:
        return z.clone()

    def _dist(self, z: Tensor) -> Tensor:
        return z.new_zeros(())

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return x.clone()
