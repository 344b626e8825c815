"""Linear models that are best in the sup norm, dense or on few columns, and what few columns can say about many.

A misspecification is bounded in the sup norm, so the level of the best fit in that norm is what data prove about it.
All of it is linear programming, by HiGHS through SciPy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_int

from .queries import Array, check_rows

# Supports that a search over all of them may have, unless the caller allows more.
MAX_SUBSETS = 200_000
_CHUNK = 4096
# Rounds of sharper and sharper bounds, each for the supports that the ones before left.
_ROUNDS = (1, 10, 60)
# Levels that differ by less, relatively, are the same.
_LEVEL = 1e-9


def chebyshev_fit(A: Any, y: Any, widths: Any = 0.0) -> tuple[Array, float]:
    """The linear model with the smallest largest residual, by linear programming.

    Args:
        A: rows, shape ``(n, d)``.
        y: observations, shape ``(n,)``.
        widths: how much of each residual is free of charge (noise), a number or shape ``(n,)``.

    Returns:
        Coefficients ``(d,)`` and ``max(0, max_i |y_i - A_i theta| - widths_i)``: no linear model comes nearer, so it is
        a lower bound of the misspecification.

    Raises:
        OptimandError: the linear program could not be solved.

    Example:
        >>> theta, level = chebyshev_fit([[1.0], [1.0]], [0.0, 1.0])
        >>> theta.round(6).tolist(), round(level, 6)
        ([0.5], 0.5)
    """
    from scipy.optimize import linprog

    A, y = check_rows(A, y)
    free = np.broadcast_to(np.asarray(widths, dtype=float), len(y))
    n, d = A.shape
    matrix = np.block([[A, -np.ones((n, 1))], [-A, -np.ones((n, 1))]])
    bounds = [(None, None)] * d + [(0, None)]
    cost = np.append(np.zeros(d), 1.0)
    found = linprog(cost, A_ub=matrix, b_ub=np.concatenate([y + free, free - y]), bounds=bounds, method="highs")
    if found.status != 0 or found.x is None:
        raise OptimandError(f"the best fit in the sup norm was not found: {found.message}")
    theta = np.asarray(found.x[:d])
    return theta, max(float((np.abs(y - A @ theta) - free).max()), 0.0)


def supports(d: int, s: int, chunk: int = _CHUNK) -> Iterator[Array]:
    """All supports of size ``s`` in lexicographic order, in arrays of at most ``chunk`` rows."""
    every = itertools.combinations(range(d), s)
    while part := list(itertools.islice(every, chunk)):
        yield np.array(part, dtype=np.int64)


def subset_bounds(A: Array, y: Array, chosen: Array, rounds: int = 1) -> Array:
    """For each support of ``chosen`` (T, s) a level that no model on it can go below, shape ``(T,)``.

    By duality, every ``u`` that is orthogonal to the columns bounds the largest residual by ``<u, y> / |u|_1``. With
    ``r`` the residual of least squares with weights ``w``, ``u = w r`` is such; Lawson's weights ``w |r|`` for the next
    round bring the bound near the level itself.

    Reference: Lawson (1961), on weighted least squares for best fits in the sup norm.
    """
    parts = [_lawson(A, y, chosen[i : i + _CHUNK], rounds) for i in range(0, len(chosen), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _lawson(A: Array, y: Array, chosen: Array, rounds: int) -> Array:
    if chosen.shape[1] >= len(A):
        return np.zeros(len(chosen))
    columns = A[:, chosen].transpose(1, 0, 2)
    weights = np.full((len(chosen), len(A)), 1 / len(A))
    found = np.zeros(len(chosen))
    for _ in range(rounds):
        root = np.sqrt(weights)
        q = np.linalg.qr(columns * root[:, :, None])[0]
        target = root * y
        missed = target - np.einsum("tnk,tk->tn", q, np.einsum("tnk,tn->tk", q, target))
        u = root * missed
        total = np.abs(u).sum(axis=1)
        # Where the fit is exact, what is left is rounding and says nothing.
        told = total > 1e-9 * (weights @ np.abs(y))
        value = np.einsum("tn,n->t", u, y) / np.where(told, total, 1.0)
        found = np.maximum(found, np.where(told, value, 0.0))
        following = root * np.abs(missed)
        weights = np.where(told[:, None], following / np.where(told, total, 1.0)[:, None], weights)
    return found


def best_subset(A: Any, y: Any, s: int, *, widths: Any = 0.0, max_subsets: int = MAX_SUBSETS) -> tuple[Array, float]:
    """The ``s``-sparse model with the smallest largest residual, exactly.

    Supports are tried in the order of lower bounds by weighted least squares, and a linear program is solved only where
    the bound is below the best level found, which leaves a few of them.

    Args:
        A: rows, shape ``(n, d)``.
        y: observations, shape ``(n,)``.
        s: columns at most, in ``[1, d]``.
        widths: as for :func:`chebyshev_fit`.
        max_subsets: refuse to look at more supports than this.

    Returns:
        Coefficients ``(d,)`` and the largest residual beyond ``widths``.

    Raises:
        ValueError: there are more than ``max_subsets`` supports, or an argument is out of its range.

    Example:
        >>> best_subset([[1.0, 0.0], [1.0, 1.0]], [0.0, 2.0], 1)[0].round(6).tolist()
        [0.0, 2.0]
    """
    A, y = check_rows(A, y)
    check_int("s", s, low=1, high=A.shape[1])
    total = math.comb(A.shape[1], s)
    if total > max_subsets:
        raise ValueError(
            f"s={s} of d={A.shape[1]} columns make {total} supports, more than max_subsets={max_subsets}: allow more, "
            "or use the estimator 'omp'"
        )
    chosen = np.concatenate(list(supports(A.shape[1], s)))
    most = float(np.max(widths))
    best, level = np.zeros(A.shape[1]), math.inf
    bounds = np.zeros(0)

    def try_support(t: int) -> None:
        nonlocal best, level
        values, found = chebyshev_fit(A[:, chosen[t]], y, widths)
        if found < level:
            best, level = np.zeros(A.shape[1]), found
            best[chosen[t]] = values

    for rounds in _ROUNDS:
        bounds = subset_bounds(A, y, chosen, rounds) - most
        try_support(int(bounds.argmin()))
        kept = np.maximum(bounds, 0) < level * (1 - _LEVEL)
        chosen, bounds = chosen[kept], bounds[kept]
        if not len(chosen):
            break
    for t in np.argsort(bounds, kind="stable").tolist():
        if max(bounds[t], 0) >= level * (1 - _LEVEL):
            break
        try_support(t)
    return best, level


def restricted_eigenvalue(A: Array, k: int, max_subsets: int = 20_000) -> float:
    """A number that is at most ``min |A h|² / (n |h|²)`` over vectors ``h`` with ``k`` nonzero entries; may be 0.

    Exact where there are few supports; else the better of the smallest eigenvalue and Gershgorin's bound by the
    coherence of the columns.
    """
    n, d = A.shape
    k = min(k, d)
    G = A.T @ A / n
    if math.comb(d, k) <= max_subsets:
        smallest = min(
            float(np.linalg.eigvalsh(G[part[:, :, None], part[:, None, :]])[:, 0].min()) for part in supports(d, k)
        )
        return max(smallest - 1e-12 * float(np.trace(G)), 0.0)
    off = np.sort(np.abs(G - np.diag(np.diag(G))), axis=1)[:, ::-1][:, : k - 1].sum(axis=1)
    whole = float(np.linalg.eigvalsh(G)[0]) if n >= d else 0.0
    return max(float((np.diag(G) - off).min()), whole - 1e-12 * float(np.trace(G)), 0.0)
