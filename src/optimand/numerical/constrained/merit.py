"""The smooth exact augmented Lagrangian of Hong et al. (arXiv 2305.18379): the merit function of AdaSketch-Newton.

𝓛(x, λ) = f + λᵀc + (η₁/2)‖c‖² + (η₂/2)‖gL‖², with gL = ∇f + Gᵀλ. Its gradient holds the Hessian H of the
Lagrangian, not that of f: they differ where λ ≠ 0 and c is curved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .nlp import Point, Vector


def merit(point: Point, eta1: float, eta2: float) -> float:
    """𝓛 at a point from what is known there."""
    return point.f + float(point.lam @ point.c) + 0.5 * eta1 * point.c2 + 0.5 * eta2 * point.gL2


class MeritSlope:
    """∇𝓛ᵀd for one d after another and any (η₁, η₂): the parts of the gradient that need products, made once."""

    __slots__ = ("eta1_part", "eta2_part", "fixed_part", "n")

    def __init__(self, point: Point, H: Any) -> None:
        self.n = point.x.size
        self.fixed_part = np.concatenate((point.gL, point.c))
        self.eta1_part = point.J.T @ point.c
        self.eta2_part = np.concatenate((H @ point.gL, point.J @ point.gL))

    def along(self, d: Vector) -> tuple[float, float, float]:
        """The slope along d as (a, a1, a2): it is a + η₁ a1 + η₂ a2."""
        return float(self.fixed_part @ d), float(self.eta1_part @ d[: self.n]), float(self.eta2_part @ d)
