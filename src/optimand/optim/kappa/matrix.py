"""Kappas of the singular values of a matrix: the nuclear norm (Muon) and the Schatten norms.

A tensor of more than two dimensions counts as the matrix of its first dimension against all the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int

from .base import Norm, as_matrix, safe_norm
from .norms import check_exponent
from .projections import project_lp_ball

# Quintic of Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"): it inflates
# small singular values fastest, at the price of ending anywhere in about [0.7, 1.2] instead of at 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)


class _Spectral(Norm):
    """A norm of the vector of singular values."""

    def check(self, m: Tensor) -> None:
        if m.dim() < 2:
            raise ValueError(
                f"kappa {self.name!r} needs a matrix, got shape {tuple(m.shape)}; use 'l1' or 'l2' for such parameters"
            )

    def _singular_values(self, m: Tensor) -> Tensor:
        self.check(m)
        matrix = as_matrix(m)
        return torch.linalg.svdvals(torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)) + (matrix * 0).sum()

    def _project(self, x: Tensor, radius: float) -> Tensor:
        self.check(x)
        u, sigma, vh = safe_svd(as_matrix(x))
        # Only the excess is rebuilt from factors: a point inside comes back bit for bit.
        excess = sigma - self._project_values(sigma, radius)
        return x - ((u * excess) @ vh).view_as(x)

    def _dist(self, z: Tensor) -> Tensor:
        sigma = self._singular_values(z)
        return safe_norm(sigma - self._project_values(sigma, 1.0))

    def _project_values(self, sigma: Tensor, radius: float) -> Tensor:
        raise NotImplementedError


class Nuclear(_Spectral):
    """K(M) = sum of singular values: Muon. The spectral norm of a weight matrix stays below 1/weight_decay.

    The subgradient is the polar factor U V^T over the non-zero singular values.

    Args:
        method: ``svd`` (exact) or ``newton_schulz`` (matrix products only, singular values in about
            [0.7, 1.2] instead of 1, so the bound on the spectral norm becomes about 1.2/weight_decay).
        steps: iterations of ``newton_schulz``, at least 1.

    Raises:
        ValueError: the tensor has fewer than two dimensions.

    References:
        Chen, Li, Liu, "Muon Optimizes Under Spectral Norm Constraints", arXiv 2506.15054.

    Example:
        >>> Nuclear().grad(torch.diag(torch.tensor([3.0, -0.5]))).abs().round().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    name = "nuclear"

    def __init__(self, method: str = "svd", steps: int = 5) -> None:
        self.method = check_choice("method", method, ("svd", "newton_schulz"))
        self.steps = check_int("steps", steps, low=1)

    def _value(self, m: Tensor) -> Tensor:
        return self._singular_values(m).sum()

    def _grad(self, m: Tensor) -> Tensor:
        self.check(m)
        matrix = as_matrix(m)
        polar = polar_factor(matrix) if self.method == "svd" else newton_schulz(matrix, self.steps)
        return polar.view(m.shape)

    def _project_values(self, sigma: Tensor, radius: float) -> Tensor:
        return sigma.clamp_max(radius)


class Schatten(_Spectral):
    """K(M) = ‖sigma‖_p for 1 < p < inf: the Schatten-q norm of the matrix stays below 1/weight_decay, 1/p + 1/q = 1.

    Args:
        p: exponent, strictly between 1 (``Nuclear``) and infinity.
    """

    name = "schatten"

    def __init__(self, p: float = 2.0) -> None:
        self.p = check_exponent(p)

    def _value(self, m: Tensor) -> Tensor:
        return safe_norm(self._singular_values(m), self.p)

    def _grad(self, m: Tensor) -> Tensor:
        self.check(m)
        u, sigma, vh = safe_svd(as_matrix(m))
        kept = torch.where(sigma > rank_tolerance(m, sigma), sigma, torch.zeros_like(sigma))
        scaled = kept / torch.where(kept[0] > 0, kept[0], torch.ones_like(kept[0]))
        norm = torch.linalg.vector_norm(scaled, self.p)
        weights = (scaled / torch.where(norm > 0, norm, torch.ones_like(norm))) ** (self.p - 1)
        return ((u * weights) @ vh).view(m.shape)

    def _project_values(self, sigma: Tensor, radius: float) -> Tensor:
        return project_lp_ball(sigma, self.p / (self.p - 1), radius)


def safe_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The thin SVD; NaN throughout where an entry is not finite, for which LAPACK would raise."""
    poison = (matrix * 0).sum()
    u, sigma, vh = torch.linalg.svd(torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0), full_matrices=False)
    return u + poison, sigma + poison, vh


def rank_tolerance(m: Tensor, sigma: Tensor) -> Tensor:
    """Singular values up to this size are rounding noise: max(shape) * ulp * largest."""
    return max(as_matrix(m).shape) * torch.finfo(sigma.dtype).eps * sigma[0]


def polar_factor(matrix: Tensor) -> Tensor:
    """U V^T of the matrix over its non-zero singular values (0 for the zero matrix)."""
    u, sigma, vh = safe_svd(matrix)
    return (u * (sigma > rank_tolerance(matrix, sigma))) @ vh


def newton_schulz(matrix: Tensor, steps: int = 5) -> Tensor:
    """An approximate polar factor by the quintic Newton-Schulz iteration of Muon.

    Args:
        matrix: of any shape, float32 or float64.
        steps: iterations; each costs three matrix products of the smaller side.

    Returns:
        U diag(s) V^T with s in about [0.7, 1.2] where the singular values were not tiny against their norm.
    """
    a, b, c = _QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    norm = safe_norm(wide)
    x = wide / torch.where(norm > 0, norm, torch.ones_like(norm))
    for _ in range(steps):
        gram = x @ x.T
        poly = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, poly, x, beta=a)
    return x if wide is matrix else x.T.contiguous()
