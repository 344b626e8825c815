"""Kappas that see the tensor as one vector, or as groups: norms, sums of largest entries, log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optimand.core.projections import project_l1_ball, project_simplex
from optimand.core.validation import check_int, check_number

from .base import Kappa, Norm, as_labels, safe_norm, scale_of
from .projections import project_box_and_l1, project_lp_ball


class L2(Norm):
    """K(m) = ‖m‖_2: normalized momentum. The tensor stays in the ball ‖x‖_2 <= 1/weight_decay."""

    name = "l2"

    def _value(self, m: Tensor) -> Tensor:
        return safe_norm(m)

    def _grad(self, m: Tensor) -> Tensor:
        r = m / scale_of(m)
        norm = torch.linalg.vector_norm(r)
        return r / torch.where(norm > 0, norm, torch.ones_like(norm))

    def _dist(self, z: Tensor) -> Tensor:
        return (safe_norm(z) - 1).clamp_min(0)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return x / (safe_norm(x) / radius).clamp_min(1)


class Lp(Norm):
    """K(m) = ‖m‖_p for 1 < p < inf: the constraint is the ball ‖x‖_q <= 1/weight_decay with 1/p + 1/q = 1.

    Args:
        p: exponent, strictly between 1 and infinity (use ``L1`` or ``LInf`` at the ends).
    """

    name = "lp"

    def __init__(self, p: float = 1.5) -> None:
        self.p = check_exponent(p)

    def _value(self, m: Tensor) -> Tensor:
        return safe_norm(m, self.p)

    def _grad(self, m: Tensor) -> Tensor:
        size = m.abs() / scale_of(m)
        norm = torch.linalg.vector_norm(size, self.p)
        return m.sign() * (size / torch.where(norm > 0, norm, torch.ones_like(norm))) ** (self.p - 1)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return project_lp_ball(x, self.p / (self.p - 1), radius)


class LInf(Norm):
    """K(m) = max |m_i|: one coordinate moves at a time. The constraint is ‖x‖_1 <= 1/weight_decay (sparse).

    Of several largest coordinates the one of lowest flat index moves.
    """

    name = "linf"

    def _value(self, m: Tensor) -> Tensor:
        return m.abs().amax()

    def _grad(self, m: Tensor) -> Tensor:
        flat = m.flatten()
        at = flat.abs().argmax(0, keepdim=True)
        return torch.zeros_like(flat).scatter(0, at, flat[at].sign()).view_as(m)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return project_l1_ball(x.flatten(), radius).view_as(x)


class TopK(Norm):
    """K(m) = sum of the k largest |m_i|: k coordinates move at a time.

    The constraint is the box |x_i| <= 1/weight_decay together with ‖x‖_1 <= k/weight_decay. Ties take the
    lowest flat indices.

    Args:
        k: how many coordinates move, from 1 to the number of elements.
    """

    name = "top_k"

    def __init__(self, k: int = 1) -> None:
        self.k = check_int("k", k, low=1)

    def check(self, m: Tensor) -> None:
        if self.k > m.numel() > 0:
            raise ValueError(f"k must be at most the number of elements, got k={self.k} for shape {tuple(m.shape)}")

    def _value(self, m: Tensor) -> Tensor:
        self.check(m)
        return m.abs().flatten().topk(self.k).values.sum()

    def _grad(self, m: Tensor) -> Tensor:
        self.check(m)
        flat = m.flatten()
        at = flat.abs().sort(stable=True, descending=True).indices[: self.k]
        return torch.zeros_like(flat).scatter(0, at, flat[at].sign()).view_as(m)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        self.check(x)
        return project_box_and_l1(x, radius, self.k * radius)


class Softmax(Kappa):
    """K(m) = log sum exp(m): the constraint is the simplex, x_i >= 0 and sum x_i = 1/weight_decay.

    K is not odd, so the sign convention of the momentum matters: m accumulates negative gradients.
    """

    name = "softmax"

    def _value(self, m: Tensor) -> Tensor:
        return torch.logsumexp(m.flatten(), 0)

    def _grad(self, m: Tensor) -> Tensor:
        return torch.softmax(m.flatten(), 0).view_as(m)

    def _conj(self, z: Tensor) -> Tensor:
        z = z.clamp_min(0)
        return torch.special.xlogy(z, z).sum()

    def _conj_grad(self, z: Tensor) -> Tensor:
        return z.clamp_min(0).log()

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return project_simplex(x.flatten(), radius).view_as(x)


class GroupL2(Norm):
    """K(m) = sum over groups of ‖m_g‖_2: every group of weights stays in a ball of radius 1/weight_decay.

    Args:
        dim: the groups are the slices along this dimension (0: the rows of a linear layer, the filters of
            a convolution), as in ``torch.nn.utils.parametrizations.weight_norm``. On a vector each entry
            is then its own group, which is ``L1``.
        index: instead, groups of flat indices such as ``[[0, 1], [2]]``, or one group label per element
            such as ``[0, 0, 1]``; every element in exactly one group.

    Raises:
        ValueError: ``index`` leaves an element out, names it twice, or does not fit the tensor.

    Example:
        >>> import torch
        >>> GroupL2(index=[[0, 1], [2]]).grad(torch.tensor([3.0, 4.0, -2.0])).tolist()
        [0.6000000238418579, 0.800000011920929, -1.0]
    """

    name = "group_l2"

    def __init__(self, dim: int = 0, index: Sequence[Any] | Tensor | None = None) -> None:
        self.dim = check_int("dim", dim)
        self.labels = None if index is None else as_labels(index)
        self.groups = 0 if self.labels is None else int(self.labels.max()) + 1

    def _kwargs(self) -> dict[str, Any]:
        return {"dim": self.dim} if self.labels is None else {"index": self.labels.tolist()}

    def check(self, m: Tensor) -> None:
        if self.labels is not None and self.labels.numel() != m.numel():
            raise ValueError(
                f"index must cover every element once, got {self.labels.numel()} labels for shape {tuple(m.shape)}"
            )
        if self.labels is None and m.dim() and not -m.dim() <= self.dim < m.dim():
            raise ValueError(f"dim must be in [{-m.dim()}, {m.dim() - 1}] for shape {tuple(m.shape)}, got {self.dim}")

    def _grad(self, m: Tensor) -> Tensor:
        scale, norm = self._norms(m)
        return (m / scale) / torch.where(norm > 0, norm, torch.ones_like(norm))

    def _value(self, m: Tensor) -> Tensor:
        scale, norm = self._norms(m, once=True)
        return (scale * norm).sum()

    def _dist(self, z: Tensor) -> Tensor:
        scale, norm = self._norms(z, once=True)
        return safe_norm((scale * norm - 1).clamp_min(0))

    def _project(self, x: Tensor, radius: float) -> Tensor:
        scale, norm = self._norms(x)
        return x / (scale * norm / radius).clamp_min(1)

    def _norms(self, m: Tensor, once: bool = False) -> tuple[Tensor, Tensor]:
        """Scale and scaled norm of each group; broadcast against m, or one entry per group if ``once``."""
        self.check(m)
        if self.labels is None:
            others = tuple(d for d in range(m.dim()) if d != self.dim % max(m.dim(), 1))
            if not others:
                return torch.ones_like(m), m.abs()
            scale = scale_of(m, others, keepdim=True)
            return scale, torch.linalg.vector_norm(m / scale, dim=others, keepdim=True)
        labels = self.labels.to(m.device)
        flat = m.flatten()
        largest = flat.new_zeros(self.groups).scatter_reduce(0, labels, flat.detach().abs(), "amax")
        scale = torch.where((largest > 0) & (largest < math.inf), largest, torch.ones_like(largest))
        norm = flat.new_zeros(self.groups).scatter_add(0, labels, (flat / scale[labels]).square()).sqrt()
        return (scale, norm) if once else (scale[labels].view_as(m), norm[labels].view_as(m))


def check_exponent(p: float) -> float:
    """p if it lies strictly between 1 and infinity."""
    p = check_number("p", p, low=1.0)
    if p in (1.0, math.inf):
        raise ValueError(f"p must be strictly between 1 and infinity, got {p:g}; use {'l1' if p == 1 else 'linf'!r}")
    return p
