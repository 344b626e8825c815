"""What the theory of Lion-K says of a running optimizer: objective, Lyapunov value, KKT score, distance to the set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..base import ElementwiseOptimizer
from ..kappa import Kappa
from ..kernels.gather import arithmetic_dtype
from .functional import constraint_distance, fenchel_young_gap, kkt_score, lyapunov_weight, regularizer


class Diagnostics(ElementwiseOptimizer):
    """The diagnostics of :class:`~optimand.optim.LionK`, computed in at least float32.

    Sums over parameters and groups, because K is the sum of their kappas; each group counts with its own
    ``weight_decay`` and ``lr``.
    """

    def objective(self, loss: float | Tensor) -> float:
        """The composite objective f(x) + K*(lambda x)/lambda that Lion-K minimizes; infinite outside the set.

        Args:
            loss: f at the current parameters.
        """
        total = float(loss.detach() if isinstance(loss, Tensor) else loss)
        for group, kappa, x, _, _ in self._blocks():
            total += float(regularizer(kappa, x, float(group["weight_decay"]), _tolerance(group, x)))
        return total

    def lyapunov(self, loss: float | Tensor) -> float:
        """The Lyapunov value H of the discrete method at the current parameters and momentum; infinite outside the set.

        H exceeds the objective by c (K*(lambda x) + K(m) - lambda <x, m>) >= 0, with
        c = lr beta1 / (lr lambda (1 - beta1) + 1 - beta2). Along the steps it falls up to terms of order lr².

        Args:
            loss: f at the current parameters.
        """
        total = self.objective(loss)
        for group, kappa, x, m, _ in self._blocks():
            lam, implicit = float(group["weight_decay"]), group["decay"] == "implicit"
            beta1, beta2 = group["betas"]
            weight = lyapunov_weight(float(group["lr"]), beta1, beta2, lam, implicit)
            total += weight * float(fenchel_young_gap(kappa, x, m, lam, _tolerance(group, x)))
        return total

    def kkt_score(self) -> float:
        """K(-g) + K*(lambda x) + lambda <x, g> >= 0 from the current gradients; 0 exactly at a solution.

        Raises:
            ValueError: no parameter has a gradient, or one is not finite.
        """
        total, seen = 0.0, False
        for group, kappa, x, _, grad in self._blocks():
            if grad is None:
                continue
            if not bool(torch.isfinite(grad).all()):
                raise ValueError(f"gradients must be finite for the KKT score, got NaN or infinity in {tuple(x.shape)}")
            score = kkt_score(kappa, x, grad, float(group["weight_decay"]), _tolerance(group, x))
            total, seen = total + float(score), True
        if not seen:
            raise ValueError("the KKT score needs gradients: call backward() first")
        return total

    def constraint_violation(self) -> float:
        """Euclidean distance from the parameters to the constraint set, the domain of K* divided by ``weight_decay``.

        It falls by the factor 1 - lr * weight_decay in each step and stays 0 once it is (up to rounding).

        Raises:
            ValueError: every group has ``weight_decay=0``, which makes the set the whole space.
        """
        if not any(float(group["weight_decay"]) > 0 for group in self.param_groups):
            raise ValueError("weight_decay is 0 in every group: the radius of the constraint set is infinite")
        blocks = [(kappa, x, float(group["weight_decay"])) for group, kappa, x, _, _ in self._blocks()]
        return math.hypot(*(float(constraint_distance(kappa, x, lam)) for kappa, x, lam in blocks if lam))

    @torch.no_grad()
    def _blocks(self) -> Iterator[tuple[dict[str, Any], Kappa, Tensor, Tensor, Tensor | None]]:
        """Group, kappa, parameter, momentum of negative gradients and gradient, for every parameter."""
        for group in self.param_groups:
            for p in group["params"]:
                x = (torch.view_as_real(p) if p.is_complex() else p).detach()
                dtype = arithmetic_dtype([x])
                exp_avg = self.state[p].get("exp_avg") if p in self.state else None
                m = torch.zeros_like(x, dtype=dtype) if exp_avg is None else -_real(exp_avg).to(dtype)
                grad = None if p.grad is None else _real(p.grad).to(dtype) * (-1 if group["maximize"] else 1)
                yield group, group["kappa"], x.to(dtype), m, grad


def _real(t: Tensor) -> Tensor:
    t = t.detach()
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def _tolerance(group: dict[str, Any], x: Tensor) -> float:
    """How far off the set rounding may hold parameters: every step adds half a unit, and the decay takes some back."""
    unit = max(torch.finfo(p.dtype).eps for p in group["params"])
    rate = float(group["lr"]) * float(group["weight_decay"])
    return unit * math.sqrt(max(x.numel(), 1)) * (100 + (1 / rate if rate else 0.0))
