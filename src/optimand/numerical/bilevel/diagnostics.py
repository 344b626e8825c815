"""Whether a point of a penalty method can be trusted: stationarity, lower gaps, and signs that the penalty fails."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.validation import check_number
from ..stationarity import natural_residual
from .oracle import PairedOracle, checked_projection
from .penalty import hypergradient
from .schedules import Curvature

Array = Any
GROWTH_LIMIT = 1.5


class PenaltyWarning(UserWarning):
    """The penalty function says little about the bilevel problem at this point, or the upper variable does nothing."""


@dataclass(frozen=True)
class Diagnosis:
    """Measures of a point (x, y, z).

    Attributes:
        mapping: ``‖x - P(x - a G)‖ / a``, with G the penalty gradient at (x, y, z).
        gap_y, gap_z: the same for ``sigma f + g`` at y and for ``g`` at z.
        gradient_norm: ``‖G‖``.
        finite: whether all gradients are finite.
    """

    mapping: float
    gap_y: float
    gap_z: float
    gradient_norm: float
    finite: bool

    def stationary(self, tol: float, sigma: float) -> bool:
        """Whether the mapping is at most ``tol`` and both gaps at most ``sigma tol``."""
        return self.finite and self.mapping <= tol and max(self.gap_y, self.gap_z) <= sigma * tol


def diagnose(
    oracle: PairedOracle,
    x: Array,
    y: Array,
    z: Array,
    sigma: float,
    project_x: Any = None,
    project_y: Any = None,
    *,
    alpha: float = 1.0,
    gamma: float = 1.0,
) -> Diagnosis:
    """Stationarity and lower gaps of a point, on all data.

    Args:
        oracle: the problem.
        x, y, z: the point.
        sigma: penalty, > 0.
        project_x, project_y: sets or projections.
        alpha, gamma: steps in the gradient mappings, > 0.

    Raises:
        ValueError: ``sigma``, ``alpha`` or ``gamma`` is not positive.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> found = diagnose(LevelOracle(f, g, (), ()), np.float64(1), np.float64(1.5), np.float64(2), 1.0)
        >>> found.mapping, found.gap_y, found.gap_z
        (1.5, 0.0, 0.0)
    """
    for name, value in (("sigma", sigma), ("alpha", alpha), ("gamma", gamma)):
        check_number(name, value, low=0, low_open=True)
    onto_x, onto_y = checked_projection("project_x", project_x), checked_projection("project_y", project_y)
    h_y, g_z = oracle.lower(x, y, z, sigma)
    gradient = oracle.upper(x, y, z, sigma)
    return Diagnosis(
        mapping=natural_residual(x, gradient, onto_x, alpha),
        gap_y=natural_residual(y, h_y, onto_y, gamma),
        gap_z=natural_residual(z, g_z, onto_y, gamma),
        gradient_norm=float(np.linalg.norm(gradient)),
        finite=all(bool(np.isfinite(a).all()) for a in (h_y, g_z, gradient)),
    )


def penalty_growth(
    oracle: PairedOracle,
    x: Array,
    sigma: float,
    y0: Array,
    z0: Array | None = None,
    project_y: Any = None,
    *,
    warn: bool = True,
    **solving: Any,
) -> float:
    """Ratio of the norms of the penalty gradients at ``sigma / 2`` and at ``sigma``, both lower problems solved.

    Near 1 where the penalty function has a limit; near 2 where its gradient grows like 1/sigma, as where the lower
    solutions jump with x. Then a stationary point of psi_sigma is no sign of one of psi. NaN where a lower problem is
    not solved to the tolerance: its error would be divided by sigma.

    Args:
        oracle: the problem.
        x: upper variable.
        sigma: penalty, > 0.
        y0, z0, project_y, solving: see :func:`optimand.numerical.bilevel.hypergradient`.
        warn: whether to warn with :class:`PenaltyWarning` where the ratio exceeds 1.5.

    Raises:
        ValueError: ``sigma`` is not positive.

    Reference: arXiv 2309.01753: without continuity of the lower solutions the gradient of psi need not exist.

    Example:
        On f = x² + y², g = x y, y in [-1, 1], psi jumps at x = 0:

        >>> from optimand.core.projections import Box
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: x**2 + y**2, lambda x, y: 2 * x, lambda x, y: 2 * y)
        >>> g = Level(lambda x, y: x * y, lambda x, y: y, lambda x, y: x)
        >>> ratio = penalty_growth(
        ...     LevelOracle(f, g, (), ()), np.float64(0.01), 0.1, np.float64(0), project_y=Box(-1, 1), warn=False)
        >>> round(ratio, 2)
        1.89
    """
    half = hypergradient(oracle, x, sigma / 2, y0, z0, project_y, **solving)
    full = hypergradient(oracle, x, sigma, half.y, half.z, project_y, **solving)
    if not (half.success and full.success):
        return math.nan
    ratio = _ratio(half.grad, full.grad)
    if warn and ratio > GROWTH_LIMIT:
        warnings.warn(growth_text(ratio, sigma), PenaltyWarning, stacklevel=2)
    return ratio


def _ratio(top: Array, bottom: Array) -> float:
    size = float(np.linalg.norm(bottom))
    if size > 0:
        return float(np.linalg.norm(top)) / size
    return math.inf if np.any(top) else 1.0


def confirmed_growth(
    oracle: PairedOracle,
    x: Array,
    sigma: float,
    y0: Array,
    z0: Array,
    project_y: Any = None,
    *,
    floor: float = 1e-8,
    **solving: Any,
) -> float:
    """The ratio of :func:`penalty_growth` where the growth goes on, and 1 where the gradients converge.

    At a stationary point of psi_sigma the gradient at sigma vanishes and that at sigma / 2 is O(sigma), so the ratio
    says nothing. The differences of the gradients at sigma, sigma / 2 and sigma / 4 do: they halve where the gradients
    converge, and double where these grow like 1/sigma.

    Args:
        oracle, x, sigma, y0, z0, project_y, solving: see :func:`penalty_growth`.
        floor: gradients that differ by less count as converged.

    Example:
        >>> from optimand.numerical.bilevel import Level, LevelOracle
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2, lambda x, y: 0 * x, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> start = np.float64(0)
        >>> confirmed_growth(LevelOracle(f, g, (), ()), np.float64(0.5001), 0.1, start, start)
        1.0
    """
    gradients = []
    y, z = y0, z0
    for divisor in (1, 2, 4):
        found = hypergradient(oracle, x, sigma / divisor, y, z, project_y, **solving)
        if not found.success:
            return math.nan
        gradients.append(found.grad)
        y, z = found.y, found.z
    full, half, quarter = gradients
    if not float(np.linalg.norm(quarter - half)) > max(float(np.linalg.norm(half - full)), floor):
        return 1.0
    return _ratio(half, full)


DOMINANCE_LIMIT = 10.0


def dominance(oracle: PairedOracle, x: Array, y: Array, z: Array, sigma: float) -> float:
    """How many times larger the curvature in y of ``sigma f + g`` is than that of g; 1 where g is (nearly) linear."""
    curvature = Curvature()
    curvature.look(lambda points: oracle.lower(x, points[0], points[1], sigma), [y, z])
    both, lower = curvature.values
    return both / lower if lower > 1e-8 * both else 1.0


def growth_text(ratio: float, sigma: float, dominance: float = 1.0) -> str:
    """The warning's words.

    Args:
        ratio: of the gradients at ``sigma / 2`` and at ``sigma``.
        sigma: penalty.
        dominance: see :func:`dominance`; where it is large, y follows f instead of g.
    """
    text = f"penalty gradient grows like 1/sigma: {ratio:.3g} times larger at sigma = {sigma / 2:g} than at {sigma:g}; "
    if dominance > DOMINANCE_LIMIT:
        return text + (
            f"sigma f outweighs g, whose curvature is {dominance:.3g} times smaller than that of sigma f + g: scale f "
            "down, or take a smaller sigma"
        )
    return text + "the lower solutions may jump with x, and psi may have no gradient here"


NO_DEPENDENCE = (
    "neither f nor g depends on the upper variable here: the x-gradients of both are zero, and x will not move"
)
