"""Queries of a reward oracle: what they must give back, how often a noisy one is repeated; checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_number

from ..engine.contracts import Spec

Array = np.ndarray
Query = Callable[[Array], Any]

# Answers that are asked for at once, at most.
CHUNK = 1_000_000


def check_features(Phi: Any) -> Array:
    """``Phi`` as a C-ordered float64 array of shape ``(N, d)``.

    Raises:
        TypeError: it holds no numbers.
        ValueError: it has another number of axes, no row or no column, or entries that are not finite.
    """
    try:
        found = np.ascontiguousarray(Phi, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Phi must be a 2-D array of numbers, got a {type(Phi).__name__}: {error}") from error
    if np.ndim(Phi) != 2 or 0 in found.shape:
        raise ValueError(f"Phi must be a 2-D array with a row for each action, got shape {np.shape(Phi)}")
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise ValueError(f"Phi must hold finite numbers, got {found[row][~np.isfinite(found[row])][0]} in row {row}")
    return found


def ask(query: Query, indices: Array) -> Array:
    """The rewards of the actions ``indices``, as a float64 array of the same length.

    Raises:
        OptimandError: ``query`` returns something else, or numbers that are not finite.

    Example:
        >>> ask(lambda indices: 0.5 * indices, np.array([2, 3])).tolist()
        [1.0, 1.5]
    """
    indices = np.asarray(indices, dtype=np.int64)
    try:
        found = np.asarray(query(indices), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OptimandError(f"query must take an array of indices and return their rewards: {error}") from error
    if found.shape != indices.shape:
        raise OptimandError(f"query must return {len(indices)} rewards, one an index, got shape {found.shape}")
    if not np.isfinite(found).all():
        bad = np.flatnonzero(~np.isfinite(found))[0]
        raise OptimandError(f"query must return finite rewards, got {found[bad]} for action {indices[bad]}")
    return found


def ask_means(query: Query, indices: Array, repeats: int) -> Array:
    """Means of ``repeats`` answers for each of the actions ``indices``."""
    if repeats == 1:
        return ask(query, indices)
    step = max(1, CHUNK // repeats)
    parts = [
        ask(query, np.repeat(indices[i : i + step], repeats)).reshape(-1, repeats).mean(axis=1)
        for i in range(0, len(indices), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def repeats_needed(noise: float, eps: float, delta: float, actions: int) -> int:
    """Queries of each of ``actions`` actions after which all means are within ``eps``, but for a chance ``delta``.

    ``ceil(2 sigma² ln(2 Q/delta) / eps²)`` for sigma-sub-Gaussian noise; 1 without noise.

    Example:
        >>> repeats_needed(0.0, 0.1, 0.05, 1277), repeats_needed(0.3, 0.1, 0.05, 1277)
        (1, 196)
    """
    check_number("noise", noise, low=0, high=math.inf, high_open=True)
    check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)
    if noise == 0:
        return 1
    return max(1, math.ceil(2 * noise**2 * math.log(2 * max(actions, 1) / delta) / eps**2))


def check_rows(A: Any, y: Any, flat: bool = True) -> tuple[Array, Array]:
    """Rows ``(n, d)`` and observations ``(n,)`` (or ``(n, T)`` unless ``flat``) as finite float arrays.

    Raises:
        ValueError: they are not finite, or their shapes do not fit.
    """
    rows, found = np.ascontiguousarray(A, dtype=float), np.asarray(y, dtype=float)
    if rows.ndim != 2 or 0 in rows.shape or not np.isfinite(rows).all():
        raise ValueError(f"A must hold finite numbers in a shape (n, d) with n, d >= 1, got shape {rows.shape}")
    if found.ndim not in ((1,) if flat else (1, 2)) or len(found) != len(rows) or not np.isfinite(found).all():
        raise ValueError(f"y must hold {len(rows)} finite numbers, one for each row of A, got shape {found.shape}")
    return rows, found


def check_levels(eps: Any, noise: Any, delta: Any) -> tuple[float, float, float]:
    """Misspecification > 0, noise level >= 0 and failure probability in (0, 1)."""
    return (
        check_number("eps", eps, low=0, low_open=True, high=math.inf, high_open=True),
        check_number("noise", noise, low=0, high=math.inf, high_open=True),
        check_number("delta", delta, low=0, high=1, low_open=True, high_open=True),
    )


def ask_counts(query: Query, indices: Array, counts: Array) -> Array:
    """Mean reward of each of ``indices`` over ``counts`` queries, in calls of bounded size."""
    counts = np.asarray(counts, dtype=np.int64)
    totals, left = np.zeros(len(indices)), counts.copy()
    while left.any():
        taken = np.minimum(left, np.maximum(CHUNK - (np.cumsum(left) - left), 0))
        owner = np.repeat(np.arange(len(indices)), taken)
        totals += np.bincount(owner, ask(query, indices[owner]), minlength=len(indices))
        left -= taken
    return totals / counts


def told_features(spec: Spec) -> Array:
    """Features of the arms, shape ``(K, d)``; those of arms that have none are the rows of the identity."""
    if spec.features is None:
        return np.eye(spec.actions)
    return np.ascontiguousarray(spec.features, dtype=float)
