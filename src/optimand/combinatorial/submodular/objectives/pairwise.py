"""Objectives of a symmetric matrix: the log-determinant (how diverse the elements are) and the graph cut."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number

from .base import BLOCK, TOLERANCE, Arrays, Floats, PairwiseRoom, empty_arrays, kernels, make_data
from .facility import check_entries

# Entries of a matrix and of its transpose may differ by this much, relative to the largest entry.
ASYMMETRY = 1e-10


class LogDet(PairwiseRoom):
    """``1/2 log det(I + K_S / sigma²)``: what measurements at ``S`` say about a Gaussian process with kernel ``K``.

    A gain is one triangular solve with the Cholesky factor of ``I + K_S / sigma²``, which grows by a row with each
    member: ``|S|²`` operations instead of ``|S|³``.

    Args:
        kernel: symmetric positive semidefinite, shape ``(n, n)``.
        sigma: standard deviation of the noise, > 0.

    Raises:
        ValueError: the kernel is not square, not symmetric, not finite, or has a negative diagonal entry; in use, it
            turns out not to be positive semidefinite.

    Example:
        >>> f = LogDet([[1.0, 0.0], [0.0, 3.0]], sigma=1.0)
        >>> round(f.value([0, 1]) / math.log(8), 12)
        0.5
    """

    def __init__(self, kernel: Any, sigma: float = 1.0) -> None:
        self.sigma = check_number("sigma", sigma, low=0, low_open=True)
        matrix = symmetric("kernel", kernel)
        if len(matrix) and (matrix.diagonal() < 0).any():
            raise ValueError(f"kernel must be positive semidefinite, got {matrix.diagonal().min():g} on its diagonal")
        super().__init__(None, len(matrix))
        self.data = make_data(kernels().LOG_DET, matrix=matrix, numbers=[self.sigma**-2])

    def check_gain(self, i: int, gain: float) -> float:
        """As for any objective; NaN has one cause here, and the error names it."""
        if math.isnan(gain):
            raise ValueError(
                f"kernel must be positive semidefinite, and is not: the gain of element {self.element(i)!r:.80} is nan"
            )
        return super().check_gain(i, gain)

    def _arrays(self, capacity: int) -> Arrays:
        return empty_arrays(rows=capacity, ids=capacity)


class GraphCut(PairwiseRoom):
    """``sum of s(i, j) over i in V, j in S  -  lam * sum of s(i, j) over i, j in S``: like all, unlike each other.

    Args:
        similarity: symmetric, >= 0, shape ``(n, n)``.
        lam: weight of the redundancy, >= 0. Up to 1/2 no gain is negative, whatever the set.
        k_max: the largest set that will be asked for. A larger ``lam`` is accepted if no gain can be negative up to
            there; None for no limit, and a warning where gains can be negative.

    Raises:
        ValueError: the similarity is no such matrix, or some gain can be negative for sets of at most ``k_max``.

    Example:
        >>> f = GraphCut([[1.0, 0.5], [0.5, 1.0]], lam=0.5)
        >>> f.value([0]), f.value([0, 1])
        (1.0, 1.5)
    """

    def __init__(self, similarity: Any, lam: float = 0.5, k_max: int | None = None) -> None:
        self.lam = check_number("lam", lam, low=0, high=math.inf, high_open=True)
        matrix = symmetric("similarity", similarity)
        check_entries("similarity", matrix)
        super().__init__(None, len(matrix))
        self.k_max = None if k_max is None else check_int("k_max", k_max, low=1)
        sums = matrix.sum(axis=1)
        self._largest = float(sums.max()) if len(sums) else 1.0
        self._check_monotone(matrix, sums)
        self.data = make_data(kernels().GRAPH_CUT, weights=sums, matrix=matrix, numbers=[self.lam])

    def _check_monotone(self, matrix: Floats, sums: Floats) -> None:
        size = len(matrix) if self.k_max is None else min(self.k_max, len(matrix))
        if self.lam <= 0.5 or not size:
            return
        inside = np.concatenate([_most_inside(matrix, at, size) for at in range(0, len(matrix), BLOCK)])
        slack = sums - self.lam * inside
        worst = int(slack.argmin())
        self.monotone = bool(slack[worst] >= -TOLERANCE * self._scale())
        if self.monotone:
            return
        most = float((sums[inside > 0] / inside[inside > 0]).min())
        sizes = "" if self.k_max is None else f" for sets of at most k_max={self.k_max}"
        text = (
            f"with lam={self.lam:g} the gain of element {worst} can be negative{sizes}; it cannot up to lam={most:.6g}"
        )
        if self.k_max is not None:
            raise ValueError(text)
        warnings.warn(f"{text}: no guarantee of greedy or of a dynamic engine holds", UserWarning, stacklevel=4)

    def check_size(self, k: Any, name: str = "k") -> int:
        """``k`` if it is an integer in ``[1, k_max]``; TypeError or ValueError otherwise."""
        return check_int(name, k, low=1, high=self.k_max)

    def _arrays(self, capacity: int) -> Arrays:
        return empty_arrays(ids=capacity)

    def _scale(self) -> float:
        return max(1.0, self._largest)


def _most_inside(matrix: Floats, at: int, size: int) -> Floats:
    """For rows from ``at`` on: the diagonal entry and twice the ``size - 1`` largest others."""
    block = matrix[at : at + BLOCK].copy()
    rows = np.arange(len(block))
    own = block[rows, at + rows]
    block[rows, at + rows] = -1.0
    if size < 2:
        return own
    largest = np.partition(block, len(matrix) - size + 1, axis=1)[:, len(matrix) - size + 1 :]
    found: Floats = own + 2 * largest.clip(min=0).sum(axis=1)
    return found


def symmetric(name: str, matrix: Any) -> Floats:
    """The matrix as float64; ValueError unless it is square, finite and symmetric."""
    array: Floats = np.asarray(matrix, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {array.shape}")
    check_entries(name, array, low=-math.inf)
    if len(array):
        off = float(abs(array - array.T).max())
        if off > ASYMMETRY * max(1.0, float(abs(array).max())):
            raise ValueError(f"{name} must be symmetric, got entries that differ from their mirror images by {off:g}")
    return array
