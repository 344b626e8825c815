"""Facility location: how well the chosen elements stand for all points, each point by the one most similar to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Arrays, Objective, empty_arrays, kernels, make_data


class FacilityLocation(Objective):
    """``sum over points p of the largest similarity(p, e), e chosen``; 0 for the empty set.

    Args:
        similarity: >= 0, shape ``(points, elements)``; usually square and symmetric. A SciPy sparse matrix keeps only
            what it stores, the rest being 0.

    Raises:
        ValueError: it is no matrix, or an entry is negative or not finite.

    Example:
        >>> f = FacilityLocation([[3.0, 1.0], [0.0, 2.0]])
        >>> f.value([0]), f.value([0, 1])
        (3.0, 5.0)
    """

    def __init__(self, similarity: Any) -> None:
        k = kernels()
        if hasattr(similarity, "tocsc"):
            csc = similarity.tocsc()  # a row for each element
            if not csc.has_canonical_format:
                csc = csc.copy()  # the caller's matrix may be in this form already
                csc.sum_duplicates()
            check_entries("similarity", csc.data)
            self.points, n = csc.shape
            self.data = make_data(k.FACILITY_SPARSE, indptr=csc.indptr, indices=csc.indices, weights=csc.data)
        else:
            matrix = np.asarray(similarity, dtype=np.float64)
            if matrix.ndim != 2:
                raise ValueError(f"similarity must be a matrix (points, elements), got shape {matrix.shape}")
            check_entries("similarity", matrix)
            self.points, n = matrix.shape
            self.data = make_data(k.FACILITY, matrix=matrix.T)
        super().__init__(None, n)

    def _arrays(self, capacity: int) -> Arrays:
        return empty_arrays(vector=self.points)


def check_entries(name: str, entries: Any, low: float = 0.0) -> None:
    """ValueError unless all are finite and at least ``low``."""
    if not entries.size:
        return
    smallest, largest = float(entries.min()), float(entries.max())
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ValueError(f"{name} must be finite, got {smallest if not np.isfinite(smallest) else largest}")
    if smallest < low:
        raise ValueError(f"{name} must be at least {low:g}, got {smallest:g}")
