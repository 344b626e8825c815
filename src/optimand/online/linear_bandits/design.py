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
    found: Array = np.linalg.lstsq(rows * root[:, None], rewards * root, rcond=1e-12)[0]
    return found


def gdesign_search(
    query: Query,
    Phi: Any,
    eps: float,
    *,
    n_queries: int | None = None,
    noise: float = 0.0,
    delta: float = 0.05,
    seed: int = 0,
    phases: bool = False,
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
        n_queries: without noise, actions to query at most (at least the rank of ``Phi``); with noise queries
            in all, at most so many but at least one for each action of the design: as many as that in one shot, or what
            the phases need.
        noise: sub-Gaussian level of the rewards' noise.
        delta: probability with which the noise may break the guarantee.
        seed: not used, as nothing is random; there because all searches take it.
        phases: halve the width again and again (noise), eliminating actions that are too far from the best one, with
            a design for those left.
        tol: of the design.
        design: one for all actions that is there already, from :func:`g_optimal_design`; it is not checked against
            ``n_queries`` and ``tol``.

    Returns:
        OptimizeResult with ``x`` (index), ``fun`` (its predicted reward), ``nfev`` (queries), ``n_actions`` (actions
        queried), ``bound`` (suboptimality guaranteed, in units of eps), ``theta``, ``design``, ``survivors``,
        ``success`` and ``message``.

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
    Phi = check_features(Phi)
    eps, noise, delta = check_levels(eps, noise, delta)
    check_int("seed", seed, low=0)
    if design is not None:
        _check_design(design, Phi)
    if n_queries is not None:
        check_int("n_queries", n_queries, low=span_coordinates(Phi)[1].size if design is None else design.rank)
    state = _Search(query, Phi, eps, noise, tol, n_queries, phases)
    alive, phase = np.arange(len(Phi)), 1
    while True:
        width = eps
        log_term = math.log(2 * len(Phi) / delta)
        if phases and noise:
            # Phases end at the width eps; the first is wide enough for a handful of queries of each action.
            width = max(eps, noise / 2 ** (phase - 1))
            log_term = math.log(2 * len(Phi) * phase * (phase + 1) / delta)
        state.fit(alive, width, log_term, design if phase == 1 else None)
        left = alive[state.predicted >= state.predicted.max() - 2 * state.width]
        same, done = len(left) == len(alive), not phases or (noise > 0 and width <= eps) or len(left) == 1
        if done or (same and not noise) or state.spent():
            break
        alive, phase = left, phase + 1
    return state.result(alive, len(left), phase)


def _check_design(design: Any, Phi: Array) -> None:
    if not isinstance(design, Design):
        raise TypeError(f"design must be a Design as of g_optimal_design, got {design!r:.60}")
    if design.support[-1] >= len(Phi) or design.rank > Phi.shape[1]:
        raise ValueError(
            f"design must be for the rows of Phi, shape {Phi.shape}, got one of rank {design.rank} with action "
            f"{design.support[-1]}"
        )


class _Search:
    """Designs, queries and fits of :func:`gdesign_search`."""

    def __init__(
        self, query: Query, Phi: Array, eps: float, noise: float, tol: float, n_queries: int | None, phases: bool
    ) -> None:  # fmt: skip
        self.phases = phases
        self.query, self.Phi, self.eps, self.noise, self.tol, self.budget = query, Phi, eps, noise, tol, n_queries
        self.nfev = 0
        self.answers: dict[int, float] = {}
        self.seen: set[int] = set()

    def fit(self, alive: Array, width: float, log_term: float, design: Design | None = None) -> None:
        """Query a design for the actions ``alive`` and predict their rewards within ``self.width``."""
        Phi = self.Phi[alive]
        if design is None:
            most = None
            if self.budget is not None and not self.noise:
                rank = span_coordinates(Phi)[1].size
                most = max(self.budget - self.nfev, rank)
            design = g_optimal_design(Phi, self.tol, max_support=most)
        rows = alive[design.support]
        if self.noise:
            n = math.ceil(2 * self.noise**2 * design.value * log_term / width**2)
            left = n if self.budget is None else self.budget - self.nfev
            n = max(min(n, left) if self.phases else left, 1)
            counts = np.ceil(design.weights * n - 1e-9).astype(np.int64)
            if self.budget is not None and counts.sum() > left:  # shares are rounded up
                counts = np.ceil(design.weights * max(left - len(rows), 1) - 1e-9).astype(np.int64)
            weights = counts / counts.sum()
            rewards = ask_counts(self.query, rows, counts)
            self.nfev += int(counts.sum())
            V = (self.Phi[rows].T * counts) @ self.Phi[rows]
            forms = np.einsum("ij,jk,ik->i", Phi, np.linalg.pinv(V, rcond=1e-12, hermitian=True), Phi)
            spread = self.noise * math.sqrt(2 * log_term * float(forms.max()))
        else:
            weights, spread = design.weights, 0.0
            todo = np.array([a for a in rows.tolist() if a not in self.answers], dtype=np.int64)
            if len(todo):
                found = ask(self.query, todo)
                self.answers.update(zip(todo.tolist(), found.tolist(), strict=True))
                self.nfev += len(todo)
            rewards = np.array([self.answers[a] for a in rows.tolist()])
        self.seen.update(rows.tolist())
        self.theta = least_squares(self.Phi[rows], weights, rewards)
        self.predicted = Phi @ self.theta
        self.width = self.eps * float(amplification(Phi, self.Phi[rows], weights).max()) + spread
        self.design = Design(design.weights, rows, design.value, design.rank, design.iterations, design.success)

    def spent(self) -> bool:
        """Whether the queries that were allowed are used up."""
        return self.budget is not None and self.nfev >= self.budget

    def result(self, alive: Array, survivors: int, phases: int) -> Any:
        """The greedy action of the last fit."""
        from scipy.optimize import OptimizeResult

        best = int(np.argmax(self.predicted))
        bound = 2 * (1 + self.width / self.eps)
        certain = "with probability 1 - delta " if self.noise else ""
        return OptimizeResult(  # type: ignore[call-arg]
            x=int(alive[best]), fun=float(self.predicted[best]), nfev=self.nfev, n_actions=len(self.seen), bound=bound,
            theta=self.theta, design=self.design, survivors=survivors, phases=phases, success=True,
            message=f"greedy action of a linear model from {len(self.seen)} actions; {certain}within {bound:.3g} eps "
            "of the best one",
        )  # fmt: skip
