"""Kappas made of kappas: a multiple, a sum, and one kappa per block of a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_number

from .base import Kappa, as_labels, safe_norm
from .elementwise import Quadratic
from .infimal import elementwise_conjugate, nearest_sum, supremum
from .norms import L2


class Scaled(Kappa):
    """K(m) = s K1(m): updates s times as large, and a constraint set of radius s/weight_decay.

    Args:
        kappa: K1, a Kappa, a name or a config.
        s: the factor, positive and finite.
    """

    name = "scaled"

    def __init__(self, kappa: Any, s: float = 1.0) -> None:
        self.kappa = as_kappa(kappa)
        self.s = check_number("s", s, low=0.0, low_open=True, high=math.inf, high_open=True)
        self.elementwise = self.kappa.elementwise
        self.is_norm = self.kappa.is_norm
        self.bounded = self.kappa.bounded

    def _kwargs(self) -> dict[str, Any]:
        return {"kappa": self.kappa.config(), "s": self.s}

    def check(self, m: Tensor) -> None:
        self.kappa.check(m)

    def _value(self, m: Tensor) -> Tensor:
        return self.s * self.kappa._value(m)

    def _grad(self, m: Tensor) -> Tensor:
        return self.s * self.kappa._grad(m)

    def _conj(self, z: Tensor) -> Tensor:
        return self.s * self.kappa._conj(z / self.s)

    def _conj_grad(self, z: Tensor) -> Tensor:
        return self.kappa._conj_grad(z / self.s)

    def _dist(self, z: Tensor) -> Tensor:
        return self.s * self.kappa._dist(z / self.s)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return self.kappa._project(x, self.s * radius)


class Sum(Kappa):
    """K(m) = K1(m) + K2(m) + …: K* is the infimal convolution, its domain the Minkowski sum of the domains.

    With ``Quadratic`` the constraint turns soft: l1 + quadratic penalizes dist(weight_decay x, box)²/2. Closed
    forms serve where there is one (all parts element-wise, all norms, norms with a quadratic); other conjugates
    are found numerically to about 1e-6.

    Args:
        kappas: two or more parts, each a Kappa, a name or a config.
    """

    name = "sum"

    def __init__(self, kappas: Sequence[Any]) -> None:
        self.kappas = _kappas(kappas)
        self.elementwise = all(k.elementwise for k in self.kappas)
        self.is_norm = all(k.is_norm for k in self.kappas)
        self.bounded = all(k.bounded for k in self.kappas)
        self._curvature = sum(s for s in map(_quadratic_factor, self.kappas) if s)
        self._rest = [k for k in self.kappas if not _quadratic_factor(k)]

    def _kwargs(self) -> dict[str, Any]:
        return {"kappas": [k.config() for k in self.kappas]}

    def check(self, m: Tensor) -> None:
        for kappa in self.kappas:
            kappa.check(m)

    def _value(self, m: Tensor) -> Tensor:
        return torch.stack([k._value(m) for k in self.kappas]).sum()

    def _grad(self, m: Tensor) -> Tensor:
        total = self.kappas[0]._grad(m)
        for kappa in self.kappas[1:]:
            total = total + kappa._grad(m)
        return total

    def _conj(self, z: Tensor) -> Tensor:
        if self.is_norm:
            return z.new_zeros(())
        if all(k.is_norm for k in self._rest):
            away = self._away(z)
            return away.square().sum() / (2 * self._curvature)
        if self.elementwise:
            m = elementwise_conjugate(self._grad, z)
            return z.mul(m).sum() - self._value(m)
        return supremum(self, z)[0]

    def _conj_grad(self, z: Tensor) -> Tensor:
        if self.is_norm:
            return torch.zeros_like(z)
        if all(k.is_norm for k in self._rest):
            return self._away(z) / self._curvature
        return elementwise_conjugate(self._grad, z) if self.elementwise else supremum(self, z)[1]

    def _away(self, z: Tensor) -> Tensor:
        """z minus its projection on the domain of the parts that are not quadratic."""
        return z - nearest_sum(self._rest, z, 1.0) if self._rest else z

    def _dist(self, z: Tensor) -> Tensor:
        if not self.bounded:
            return z.new_zeros(())
        balls = sum(r for r in map(_ball_radius, self.kappas) if r)
        others = [k for k in self.kappas if not _ball_radius(k)]
        if balls and not others:
            return (safe_norm(z) - balls).clamp_min(0)
        # A ball of radius r in the sum only shortens the distance by r.
        return (safe_norm(z - nearest_sum(others, z, 1.0)) - balls).clamp_min(0)

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return nearest_sum(self.kappas, x, radius) if self.bounded else x.clone()


class Separable(Kappa):
    """K(m) = sum over blocks b of K_b(m_b): a kappa of its own for each block of a vector.

    Args:
        kappas: one per block, each a Kappa, a name or a config.
        index: the blocks, as groups of flat indices ``[[0, 1], [2]]`` or one block label per element.
        sizes: instead, lengths of consecutive blocks of the flattened tensor.

    Raises:
        ValueError: blocks and kappas differ in number, or the blocks do not cover the tensor.
    """

    name = "separable"

    def __init__(
        self,
        kappas: Sequence[Any],
        index: Sequence[Any] | Tensor | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if (index is None) == (sizes is None):
            raise ValueError(f"give either index or sizes, got index={index!r} and sizes={sizes!r}")
        if sizes is not None:
            index = [label for label, size in enumerate(sizes) for _ in range(int(size))]
        self.labels = as_labels(index)  # type: ignore[arg-type]
        self.kappas = _kappas(kappas, least=1)
        blocks = int(self.labels.max()) + 1
        if blocks != len(self.kappas):
            raise ValueError(f"kappas must hold one kappa per block, got {len(self.kappas)} for {blocks} blocks")
        self.elementwise = False
        self.is_norm = all(k.is_norm for k in self.kappas)
        self.bounded = all(k.bounded for k in self.kappas)
        self._members = [torch.nonzero(self.labels == b).flatten() for b in range(blocks)]

    def _kwargs(self) -> dict[str, Any]:
        return {"kappas": [k.config() for k in self.kappas], "index": self.labels.tolist()}

    def check(self, m: Tensor) -> None:
        if self.labels.numel() != m.numel():
            raise ValueError(f"blocks cover {self.labels.numel()} elements, got a tensor of shape {tuple(m.shape)}")
        for kappa, at in zip(self.kappas, self._members, strict=True):
            kappa.check(m.new_empty(len(at)))

    def _blocks(self, m: Tensor) -> list[tuple[Kappa, Tensor]]:
        self.check(m)
        flat = m.flatten()
        return [(k, flat[at.to(m.device)]) for k, at in zip(self.kappas, self._members, strict=True)]

    def _scatter(self, like: Tensor, parts: list[Tensor]) -> Tensor:
        order = torch.cat(self._members).to(like.device)
        return torch.zeros_like(like).flatten().scatter(0, order, torch.cat(parts)).view_as(like)

    def _value(self, m: Tensor) -> Tensor:
        return torch.stack([k._value(part) for k, part in self._blocks(m)]).sum()

    def _grad(self, m: Tensor) -> Tensor:
        return self._scatter(m, [k._grad(part) for k, part in self._blocks(m)])

    def _conj(self, z: Tensor) -> Tensor:
        return torch.stack([k._conj(part) for k, part in self._blocks(z)]).sum()

    def _conj_grad(self, z: Tensor) -> Tensor:
        return self._scatter(z, [k._conj_grad(part) for k, part in self._blocks(z)])

    def _dist(self, z: Tensor) -> Tensor:
        return safe_norm(torch.stack([k._dist(part) for k, part in self._blocks(z)]))

    def _project(self, x: Tensor, radius: float) -> Tensor:
        return self._scatter(x, [k._project(part, radius) for k, part in self._blocks(x)])


def as_kappa(given: Any) -> Kappa:
    """A Kappa from a Kappa, a name or a config."""
    from .registry import get_kappa

    return get_kappa(given)


def _kappas(given: Sequence[Any], least: int = 2) -> list[Kappa]:
    if isinstance(given, str | Kappa) or len(given) < least:
        raise ValueError(f"kappas must be a sequence of at least {least} kappas, got {given!r}")
    return [as_kappa(k) for k in given]


def _factor(kappa: Kappa, kind: type[Kappa]) -> float:
    """s where the kappa is s times a kappa of this kind, else 0."""
    if isinstance(kappa, kind):
        return 1.0
    return kappa.s * _factor(kappa.kappa, kind) if isinstance(kappa, Scaled) else 0.0


def _quadratic_factor(kappa: Kappa) -> float:
    return _factor(kappa, Quadratic)


def _ball_radius(kappa: Kappa) -> float:
    return _factor(kappa, L2)
