"""Similarities between rows of a table, for facility location, log-determinant and graph cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import check_choice, check_number

from .base import Floats

METRICS = ("squared", "rbf", "cosine")


def similarity(x: Any, metric: str = "squared", *, gamma: float | None = None) -> Floats:
    """Similarities between all pairs of rows, each >= 0.

    Args:
        x: shape ``(n, d)``, finite.
        metric: ``squared``, the largest squared distance less the squared distance; ``rbf``,
            ``exp(-gamma distance²)``; ``cosine``, the cosine of the angle with negative ones made 0.
        gamma: for ``rbf``, > 0; None for one over the median squared distance between different rows.

    Returns:
        Shape ``(n, n)``, symmetric.

    Raises:
        ValueError: ``x`` is no finite table, the metric unknown.

    Example:
        >>> similarity([[0.0], [1.0], [3.0]]).tolist()
        [[9.0, 8.0, 0.0], [8.0, 9.0, 5.0], [0.0, 5.0, 9.0]]
    """
    check_choice("metric", metric, METRICS)
    table = check_table(x, "x")
    scale = None if gamma is None else check_number("gamma", gamma, low=0, low_open=True, high=1e300)
    return cross_similarity(table, table, metric, scale)


def similarity_scale(x: Floats, metric: str) -> float:
    """What a metric takes from a table: the largest squared distance, or ``gamma`` of ``rbf``; 1 for ``cosine``."""
    if metric == "cosine":
        return 1.0
    return _scale(_squared_distances(x, x), metric)


def cross_similarity(x: Floats, y: Floats, metric: str, scale: float | None) -> Floats:
    """Similarities of rows of ``x`` with rows of ``y``, none below 0; ``scale`` of :func:`similarity_scale`."""
    if metric == "cosine":
        cosines: Floats = np.clip(_unit(x) @ _unit(y).T, 0.0, 1.0)
        return _mended(cosines, x, y)
    distances = _squared_distances(x, y)
    if scale is None:
        scale = _scale(distances, metric)
    found: Floats = np.exp(-scale * distances) if metric == "rbf" else np.clip(scale - distances, 0.0, None)
    return found


def _scale(distances: Floats, metric: str) -> float:
    if metric == "squared":
        return float(distances.max(initial=0.0))
    apart = distances[distances > 0]
    return 1.0 / float(np.median(apart)) if len(apart) else 1.0


def _unit(x: Floats) -> Floats:
    norms = np.linalg.norm(x, axis=1)
    found: Floats = x / np.where(norms > 0, norms, 1.0)[:, None]
    return found


def _squared_distances(x: Floats, y: Floats) -> Floats:
    found: Floats = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * (x @ y.T)
    np.clip(found, 0.0, None, out=found)
    return _mended(found, x, y, 0.0)


def _mended(matrix: Floats, x: Floats, y: Floats, diagonal: float | None = None) -> Floats:
    """A matrix of a table with itself made exactly symmetric, which rounding may leave it not quite."""
    if x is y:
        matrix = (matrix + matrix.T) / 2
        if diagonal is not None:
            np.fill_diagonal(matrix, diagonal)
    return matrix


def check_table(x: Any, name: str = "X") -> Floats:
    """``x`` as a float64 table; ValueError unless it is one with finite entries."""
    table: Floats = np.asarray(x, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"{name} must be a table (rows, features), got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} must be finite, got {table[~np.isfinite(table)][0]}")
    return table
