"""Constants of an operator, exact where its form allows and estimated from pairs of points else; the choice by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from optimand.core.validation import check_int

from .operators import AffineOperator, Array, FiniteSumOperator


@dataclass(frozen=True)
class Constants:
    """Constants of a finite sum.

    Attributes:
        L_full: Lipschitz constant of the mean ``F``.
        L_mean: mean-square Lipschitz constant of the components, at least ``L_full``.
        L_cocoercive: of cocoercivity on average; infinite where the operator is not cocoercive.
        exact: whether they are computed from the operator's form; else they are lower bounds from samples.
        L_own: of cocoercivity of the mean itself, ``<F(u) - F(v), u - v> >= ‖F(u) - F(v)‖² / L_own``; at most
            ``L_cocoercive``, which is what a method with full evaluations needs.
        monotone: whether ``<F(u) - F(v), u - v> >= 0`` held.

    Example:
        >>> Constants(1.0, 2.0, 4.0, exact=True).monotone
        True
    """

    L_full: float
    L_mean: float
    L_cocoercive: float
    exact: bool
    L_own: float = math.inf
    monotone: bool = True


def estimate_constants(
    op: FiniteSumOperator, points: Any = None, rng: Any = 0, *, pairs: int = 4, components: int = 64
) -> Constants:
    """Constants of an operator.

    Exact, and without evaluations, for affine operators (``L_cocoercive`` is the largest generalized eigenvalue of
    the mean of ``B_iᵀ B_i`` against the symmetric part of the mean of ``B_i``) and for matrix games (spectral and
    Frobenius norm). For other operators the largest ratios over pairs of points, which are lower bounds; their
    evaluations are counted.

    Args:
        op: the operator.
        points: shape ``(k, dim)`` or ``(dim,)``, where the solution is looked for; by default standard normal ones
            (then ``op.dim`` must be known).
        rng: seed or generator, for the pairs and the components.
        pairs: pairs of points, >= 1.
        components: at most so many components are looked at for each pair.

    Raises:
        ValueError: neither points nor ``op.dim`` are given, or a value is not finite.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Assumptions 1 to 3.

    Example:
        >>> found = estimate_constants(FiniteSumOperator.from_matrix_game([[3.0, 0.0], [0.0, 4.0]]))
        >>> found.L_full, found.L_mean, found.L_cocoercive, found.exact
        (4.0, 5.0, inf, True)
    """
    if isinstance(op, AffineOperator):
        return op.constants
    if op.structure == "game":
        assert op.L is not None
        assert op.L_mean is not None
        return Constants(op.L, op.L_mean, math.inf, exact=True)
    check_int("pairs", pairs, low=1)
    check_int("components", components, low=1)
    rng = np.random.default_rng(rng)
    if points is None:
        if op.dim is None:
            raise ValueError("points must be given where op.dim is unknown, got None")
        points = rng.standard_normal((pairs, op.dim))
    anchors = np.atleast_2d(np.asarray(points, dtype=np.float64))
    full, mean, cocoercive, own, monotone = 0.0, 0.0, 0.0, 0.0, True
    for k in range(pairs):
        u = anchors[k % len(anchors)]
        found = _ratios(op, u, rng, components)
        full, mean, cocoercive, own = (max(a, b) for a, b in zip((full, mean, cocoercive, own), found, strict=False))
        monotone = monotone and found[4]
    if not full > 0:
        raise ValueError("F must change from point to point for its constants to be estimated, got a constant operator")
    return Constants(full, max(mean, full), cocoercive, exact=False, L_own=own, monotone=monotone)


def _ratios(op: FiniteSumOperator, u: Array, rng: np.random.Generator, components: int) -> tuple[Any, ...]:
    """The largest ratios along some directions at ``u``, each the last one's image: those where ``F`` changes most."""
    scale = max(1.0, float(np.linalg.norm(u)))
    direction = rng.standard_normal(len(u))
    here = op.full(u)
    full = mean = cocoercive = own = 0.0
    monotone = True
    for _ in range(4):
        move = direction * (scale / max(float(np.linalg.norm(direction)), 1e-300))
        change = op.full(u + move) - here
        if not np.isfinite(change).all():
            raise ValueError("F must be finite around the points, got values that are not")
        full = max(full, float(np.linalg.norm(change)) / scale)
        inner = float(change @ move)
        spread = _mean_square(op, u, u + move, rng, components)
        mean = max(mean, math.sqrt(spread) / scale)
        tiny = 1e-10 * float(np.linalg.norm(change)) * scale
        monotone = monotone and inner >= -tiny
        if spread > 0:
            cocoercive = max(cocoercive, spread / inner if inner > tiny else math.inf)
        if change.any():
            own = max(own, float(change @ change) / inner if inner > tiny else math.inf)
        if not change.any():
            break
        direction = change
    return full, mean, cocoercive, own, monotone


def _mean_square(op: FiniteSumOperator, u: Array, v: Array, rng: np.random.Generator, components: int) -> float:
    """``E ‖F_i(u) - F_i(v)‖²``, over all components where they are few and equally likely."""
    everyone = op.n <= components and op.component_cost == 1.0 and op._sampler is None
    chosen = np.arange(op.n) if everyone else op.sample(rng, components)
    changes = [op.batch(u, [i]) - op.batch(v, [i]) for i in chosen]
    return float(np.mean([change @ change for change in changes]))


def affine_constants(op: AffineOperator) -> Constants:
    """The exact constants of an affine operator; see :func:`estimate_constants`."""
    squares = np.einsum("nki,nkj->ij", op.B, op.B) / op.n
    symmetric = (op.B_mean + op.B_mean.T) / 2
    full = float(np.linalg.norm(op.B_mean, 2))
    mean = math.sqrt(max(float(np.linalg.eigvalsh(squares)[-1]), 0.0))
    if mean == 0:
        raise ValueError("F must change from point to point for its constants to be estimated, got a constant operator")
    values, vectors = np.linalg.eigh(symmetric)
    tiny = 1e-12 * mean * len(values)
    monotone = bool(values[0] >= -tiny)
    flat = vectors[:, values <= tiny]
    # Where the symmetric part vanishes, the components must vanish too.
    if not monotone or (flat.size and float(np.abs(squares @ flat).max()) > 1e-10 * mean**2):
        return Constants(full, mean, math.inf, exact=True, monotone=monotone)
    basis = vectors[:, values > tiny]
    against = basis.T @ symmetric @ basis
    top, own = (
        float(scipy.linalg.eigvalsh(basis.T @ square @ basis, against)[-1])
        for square in (squares, op.B_mean.T @ op.B_mean)
    )
    return Constants(full, mean, top, exact=True, L_own=own)


def choose_method(op: FiniteSumOperator, u0: Any, rng: Any = 0) -> str:
    """The method that ``auto`` stands for: the one that should need the fewest passes.

    Sampling pays where the components are about as smooth as their mean, so the choice is by
    ``spread = L_mean / (L √n)``, n being the effective number of components. It is at least ``1/√n``, and at most 1
    where all components are equally likely (in sparse games it can be more):

    - a matrix game: ``vr-halpern-inexact`` up to a spread of 0.45, else ``eg``;
    - another operator whose ``L_mean`` is known: ``svrg-eg`` up to a spread of 0.55, else ``eg``;
    - another operator, its constants estimated (a cheap look at ``u0``): the methods that correct estimates as they
      go, ``vr-halpern-inexact`` for 200 components or more and up to a spread of 0.15, else ``eg``.

    The limits were set on some 130 games, cocoercive sums, support vector machines and markets. On 98 others
    ``auto`` was within 1.5 times the fewest passes of any method here on 90 to a residual of 1e-2 and on 94 to 1e-3
    (worst 1.9 and 2.2). ``vr-halpern`` (Algorithm 1) never needed the fewest, ``eag`` once, so neither is chosen. The
    table is in the page on monotone inclusions; ``benchmarks/monotone.py --choice SEED`` makes it for other draws.

    Passes are not time: where a component is a call from Python and the whole operator a fast matrix product, ``eg``
    can be quicker all the same.

    Args:
        op: the operator; the evaluations of an estimate are counted, and its constants stay unknown, so that the
            method chosen does not take the estimate for granted.
        u0: where, shape ``(dim,)``.
        rng: seed or generator, for the estimate.

    Example:
        >>> import numpy as np
        >>> choose_method(FiniteSumOperator.from_matrix_game(np.ones((100, 100))), np.full(200, 0.01))
        'vr-halpern-inexact'
    """
    L, mean = op.L, op.L_mean
    if L is None or mean is None:
        found = estimate_constants(op, u0, rng, pairs=1, components=32)
        L, mean = L or found.L_full, mean or found.L_mean
    spread = mean / (L * math.sqrt(op.n_effective))
    if op.structure == "game":
        return "vr-halpern-inexact" if spread <= 0.45 else "eg"
    if op.L_mean is not None:
        return "svrg-eg" if spread <= 0.55 else "eg"
    return "vr-halpern-inexact" if op.n >= 200 and spread <= 0.15 else "eg"
