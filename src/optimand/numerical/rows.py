"""Rows of a matrix in compiled loops, dense or compressed alike."""

from __future__ import annotations

from typing import Any

from optimand.core.compiled import compiled

# Sums may be reordered, so that they vectorize; NaN and infinity keep their meaning.
REORDER: Any = {"reassoc", "contract", "nsz"}
Rows = tuple[Any, Any, Any]


def rows_of(A: Any) -> Rows:
    """What the loops take for a matrix: entries, column numbers and starts of rows; (A, None, None) if it is dense.

    Example:
        >>> import numpy as np
        >>> rows_of(np.eye(1))
        (array([[1.]]), None, None)
    """
    return (A.data, A.indices, A.indptr) if hasattr(A, "indptr") else (A, None, None)


@compiled(fastmath=REORDER, forceinline=True)
def row_dot(data: Any, indices: Any, starts: Any, i: int, x: Any) -> Any:
    """The product of row ``i`` with ``x``."""
    total = 0.0
    if data.ndim == 2:
        for k in range(data.shape[1]):
            total += data[i, k] * x[k]
    else:
        for k in range(starts[i], starts[i + 1]):
            total += data[k] * x[indices[k]]
    return total


@compiled(fastmath=REORDER, forceinline=True)
def add_row(data: Any, indices: Any, starts: Any, i: int, factor: float, out: Any, divisor: float = 1.0) -> None:
    """``out += factor * row i / divisor``."""
    if data.ndim == 2:
        for k in range(data.shape[1]):
            out[k] += factor * data[i, k] / divisor
    else:
        for k in range(starts[i], starts[i + 1]):
            out[indices[k]] += factor * data[k] / divisor
