"""G-optimal designs of actions, and the linear baseline: least squares on such a design, then the greedy action.

Lattimore, Szepesvari and Weisz, "Learning with good feature representations in bandits and in RL with a generative
model" (ICML 2020), show that least squares on a G-optimal design is O(eps √d)-optimal under a uniform misspecification
eps. It is the baseline of "Does sparsity help in learning misspecified linear bandits?" (arXiv 2303.16998, Dong and
Yang). The design is found by Frank-Wolfe with away steps (Todd and Yildirim, 2007), which keep the support small; the
start is the actions of a pivoted QR factorisation rather than random ones, so a design does not depend on a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number

from .queries import Array, Query, ask, ask_counts, check_features, check_levels

_REFRESH = 500


@dataclass(frozen=True)
class Design:
    """A distribution over actions.

    Attributes:
        weights: of the actions in ``support``, shape ``(m,)``, positive, summing to 1.
        support: indices of the actions, rising, shape ``(m,)``.
        value: ``max_a phi(a)' V^{-1} phi(a)`` with ``V = sum weights phi phi'``, in the span of the features.
        rank: dimension of that span; no design has a value below it.
        iterations: Frank-Wolfe steps.
        success: whether ``value <= rank (1 + tol)``.
    """

    weights: Array
    support: Array
    value: float
    rank: int
    iterations: int
    success: bool

    def dense(self, actions: int) -> Array:
        """The weights of all ``actions`` actions, shape ``(actions,)``."""
        found = np.zeros(actions)
        found[self.support] = self.weights
        return found


def g_optimal_design(Phi: Any, tol: float = 0.1, max_iter: int = 20_000, *, max_support: int | None = None) -> Design:
    """A design whose value is within a factor ``1 + tol`` of the best one, the rank of the features.

    Args:
        Phi: features, shape ``(N, d)``; they need not span all of ``R^d``.
        tol: relative excess of the value, > 0.
        max_iter: Frank-Wolfe steps at most.
        max_support: actions at most, at least the rank; the value is then what can be had with so many. At most
            ``rank (rank + 1) / 2`` are used in any case.

    Returns:
        The design, with ``success=False`` where the tolerance was not reached.

    Raises:
        ValueError: ``Phi`` is not finite, not two-dimensional or all zero; another argument is out of its range.

    Reference: Kiefer and Wolfowitz (1960); Todd and Yildirim (2007); arXiv 2303.16998 builds on it.

    Example:
        >>> design = g_optimal_design(np.eye(3))
        >>> round(design.value, 9), design.weights.round(3).tolist()
        (3.0, [0.333, 0.333, 0.333])
    """
    Phi = check_features(Phi)
    check_number("tol", tol, low=0, low_open=True)
    check_int("max_iter", max_iter, low=0)
    C, chosen = span_coordinates(Phi)
    rank = C.shape[1]
    limit = len(Phi) if max_support is None else check_int("max_support", max_support, low=rank)
    return _solve(C, chosen, tol, max_iter, min(limit, rank * (rank + 1) // 2))


def span_coordinates(Phi: Array) -> tuple[Array, Array]:
    """Coordinates ``C`` (N, r) with ``Phi = C Phi[rows]``, and the ``r`` independent ``rows``.

    The rows come from a QR factorisation with pivoting, so entries of ``C`` stay small however ill-conditioned the
    features are. ValueError where all features are zero.
    """
    from scipy.linalg import qr, solve_triangular

    R, order = qr(Phi.T, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))
    if diagonal[0] == 0:
        raise ValueError("Phi must have a row that is not zero, got zeros only")
    rank = int((diagonal > diagonal[0] * max(Phi.shape) * np.finfo(float).eps).sum())
    C = np.empty((len(Phi), rank))
    C[order] = solve_triangular(R[:rank, :rank], R[:rank]).T
    rows = np.asarray(order[:rank], dtype=np.int64)
    C[rows] = np.eye(rank)
    return C, rows


def _solve(C: Array, rows: Array, tol: float, max_iter: int, limit: int) -> Design:
    from .frank_wolfe import frank_wolfe

    rank = C.shape[1]
    weights = np.zeros(len(C))
    weights[rows] = 1 / rank
    iterations, good = 0, False
    while True:
        weights /= weights.sum()
        W, g = _forms(C, weights)
        good = bool(g.max() <= rank * (1 + tol))
        if good or iterations >= max_iter:
            break
        done, _ = frank_wolfe(C, weights, g, W, tol, max_iter - iterations, limit, _REFRESH)
        if done == 0:
            break
        iterations += done
    support = np.flatnonzero(weights)
    return Design(weights[support], support, float(g.max()), rank, iterations, good)


def _forms(C: Array, weights: Array) -> tuple[Array, Array]:
    support = np.flatnonzero(weights)
    root = np.linalg.qr(C[support] * np.sqrt(weights[support])[:, None], mode="r")
    inverse = np.linalg.inv(root)
    return np.ascontiguousarray(inverse @ inverse.T), np.square(C @ inverse).sum(axis=1)


def amplification(Phi: Array, rows: Array, weights: Array) -> Array:
    """How much least squares can enlarge bounded errors: ``sum_b w_b |phi(a)' V^{-1} phi(b)|``, shape ``(N,)``.

    Weighted least squares on ``rows`` with errors of at most eps predicts action ``a`` within eps times this number;
    it is at most ``√(phi(a)' V^{-1} phi(a))`` for weights that sum to 1, and infinite outside the span of the rows.

    Args:
        Phi: features, shape ``(N, d)``.
        rows: features that least squares sees, shape ``(m, d)``.
        weights: of the rows, positive, shape ``(m,)``.
    """
    root = np.sqrt(weights)
    inverse = np.linalg.pinv(rows * root[:, None], rcond=1e-12)
    found = np.empty(len(Phi))
    step = max(1, 4_000_000 // max(len(rows), 1))
    for first in range(0, len(Phi), step):
        part = Phi[first : first + step]
        found[first : first + step] = np.abs(part @ inverse * root).sum(axis=1)
        missed = np.abs(part - (part @ inverse) @ (rows * root[:, None])).max(axis=1)
        found[first : first + step][missed > 1e-8 * (1 + np.abs(part).max())] = math.inf
    return found


def least_squares(rows: Array, weights: Array, rewards: Array) -> Array:
    """Weighted least squares, the shortest solution where there are several; shape ``(d,)``."""
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(rows * root[:, None], rewards * root, rcond=1e-12)[0])


def gdesign_search(
    query: Query,
    Phi: Any,
    eps: float,
    *,
    n_queries: int | None = None,
    noise: float = 0.0,
    delta: float = 0.05,
    tol: float = 0.1,
    design: Design | None = None,
) -> Any:
    """Search for a good action with a linear model fitted on a G-optimal design.

    Without noise the guarantee is ``2 (1 + L) eps`` with ``L`` the amplification, at most ``2 (1 + √(d (1 + tol)))
    eps``; with noise its width is added, which is at most ``eps`` by default.

    Args:
        query: takes indices (repeats allowed) and returns as many rewards.
        Phi: features, shape ``(N, d)``; rows of any length.
        eps: bound of the misspecification, > 0.
        n_queries: without noise, actions to query at most (at least the rank of ``Phi``); with noise as many queries as
            that in all, but at least one for each action of the design.
        noise: sub-Gaussian level of the rewards' noise.
        delta: probability with which the noise may break the guarantee.
        tol: of the design.
        design: one that is there already, from :func:`g_optimal_design`; it is not checked against ``n_queries`` and
            ``tol``.

    Returns:
        OptimizeResult with ``x`` (index), ``fun`` (its predicted reward), ``nfev`` (queries), ``n_actions`` (actions
        queried), ``bound`` (suboptimality guaranteed, in units of eps), ``theta``, ``design``, ``success`` and
        ``message``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: ``query`` returns something else than one finite number for each index.

    Reference: Lattimore et al. (2020); baseline of arXiv 2303.16998.

    Example:
        >>> Phi = np.eye(4)
        >>> found = gdesign_search(lambda i: np.array([0.1, 0.9, 0.2, 0.0])[i], Phi, eps=0.05)
        >>> found.x, found.nfev, round(found.bound, 9)
        (1, 4, 4.0)
    """
    from scipy.optimize import OptimizeResult

    Phi = check_features(Phi)
    eps, noise, delta = check_levels(eps, noise, delta)
    if design is not None:
        _check_design(design, Phi)
    if n_queries is not None:
        check_int("n_queries", n_queries, low=span_coordinates(Phi)[1].size if design is None else design.rank)
    if design is None:
        design = g_optimal_design(Phi, tol, max_support=None if noise else n_queries)
    rows, weights, spread, nfev = Phi[design.support], design.weights, 0.0, len(design.support)
    if noise:
        level = math.log(2 * len(Phi) / delta)
        n = math.ceil(2 * noise**2 * design.value * level / eps**2) if n_queries is None else n_queries
        counts = np.ceil(weights * n - 1e-9).astype(np.int64)
        if n_queries is not None and counts.sum() > n:  # shares are rounded up
            counts = np.ceil(weights * max(n - len(rows), 1) - 1e-9).astype(np.int64)
        nfev, weights = int(counts.sum()), counts / counts.sum()
        rewards = ask_counts(query, design.support, counts)
        inverse = np.linalg.pinv((rows.T * counts) @ rows, rcond=1e-12, hermitian=True)
        spread = noise * math.sqrt(2 * level * float(np.einsum("ij,jk,ik->i", Phi, inverse, Phi).max()))
    else:
        rewards = ask(query, design.support)
    theta = least_squares(rows, weights, rewards)
    predicted = Phi @ theta
    best = int(np.argmax(predicted))
    bound = 2 * (1 + (eps * float(amplification(Phi, rows, weights).max()) + spread) / eps)
    certain = "with probability 1 - delta " if noise else ""
    return OptimizeResult(  # type: ignore[call-arg]
        x=best, fun=float(predicted[best]), nfev=nfev, n_actions=len(rows), bound=bound, theta=theta, design=design,
        success=True,
        message=f"greedy action of a linear model from {len(rows)} actions; {certain}within {bound:.3g} eps of the "
        "best one",
    )  # fmt: skip


def _check_design(design: Any, Phi: Array) -> None:
    if not isinstance(design, Design):
        raise TypeError(f"design must be a Design as of g_optimal_design, got {design!r:.60}")
    if design.support[-1] >= len(Phi) or design.rank > Phi.shape[1]:
        raise ValueError(
            f"design must be for the rows of Phi, shape {Phi.shape}, got one of rank {design.rank} with action "
            f"{design.support[-1]}"
        )
