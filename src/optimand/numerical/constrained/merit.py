"""The smooth exact augmented Lagrangian of Hong et al. (arXiv 2305.18379): the merit function of AdaSketch-Newton.

𝓛(x, λ) = f + λᵀc + (η₁/2)‖c‖² + (η₂/2)‖gL‖², with gL = ∇f + Gᵀλ. Its gradient holds the Hessian H of the
Lagrangian, not that of f: they differ where λ ≠ 0 and c is curved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import check_number

from .nlp import EqualityProblem, Evaluations, Point, Vector, finite_vector


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

    def gradient(self, eta1: float, eta2: float) -> Vector:
        """∇𝓛, the x part first."""
        total = self.fixed_part + eta2 * self.eta2_part
        total[: self.n] += eta1 * self.eta1_part
        return total


def exact_augmented_lagrangian(
    problem: EqualityProblem, x: Any, lam: Any, eta1: float = 1.0, eta2: float = 0.1
) -> tuple[float, Vector, Vector]:
    """Value and gradient of the exact augmented Lagrangian.

    Args:
        problem: with ``hess`` or ``hessp``.
        x: where, (n,).
        lam: multipliers, (m,).
        eta1: weight of ‖c‖²/2, at least 0.
        eta2: weight of ‖∇f + Gᵀλ‖²/2, at least 0.

    Returns:
        (𝓛, ∇ₓ𝓛 of shape (n,), ∇_λ𝓛 of shape (m,)), where ∇ₓ = gL + η₂ H gL + η₁ Gᵀc and ∇_λ = c + η₂ G gL.

    Raises:
        ValueError: a shape does not fit, or a weight is negative.

    Reference:
        Hong, Na, Mahoney, Kolar, ICML 2023, arXiv 2305.18379, the exact augmented Lagrangian.

    Example:
        >>> hs6 = EqualityProblem(
        ...     fun=lambda x: (1 - x[0]) ** 2, grad=lambda x: np.array([2 * (x[0] - 1), 0.0]),
        ...     cons=lambda x: np.array([10 * (x[1] - x[0] ** 2)]), jac=lambda x: np.array([[-20 * x[0], 10.0]]),
        ...     hess=lambda x, lam: np.diag([2 - 20 * lam[0], 0.0]), x0=[-1.2, 1.0])
        >>> value, gx, gl = exact_augmented_lagrangian(hs6, [-1.2, 1.0], [0.5])
        >>> round(value, 3), gx.round(2).tolist(), gl.round(2).tolist()
        (16.458, [-104.08, -39.0], [18.84])
    """
    check_number("eta1", eta1, low=0)
    check_number("eta2", eta2, low=0)
    evaluations = Evaluations(problem)
    point = evaluations.at(finite_vector("x", x, problem.n), finite_vector("lam", lam, evaluations.m))
    slope = MeritSlope(point, evaluations.hessian(point)).gradient(eta1, eta2)
    return merit(point, eta1, eta2), slope[: problem.n], slope[problem.n :]
