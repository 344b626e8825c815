"""What this room shares: checks of rows and levels, means of unequal numbers of queries, features of a spec."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.validation import check_number
from optimand.online.engine.contracts import Spec

from .queries import CHUNK, Array, Query, ask


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
