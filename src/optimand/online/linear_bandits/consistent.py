"""Linear models that agree with observations up to a level, and how far their predictions can differ.

Models on given columns with ``|y_i - <phi_i, theta>| <= slack_i`` form a polytope; the largest value of a linear
function on it is a linear program. By duality every ``u`` with ``A' u = c`` bounds ``<c, theta>``; the bounds of least
squares say which of many linear functions need a program at all.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from .queries import Array
from .regression import omp
from .subsets import chebyshev_fit, subset_bounds, supports

# Linear programs keep their limits up to this, relative to the observations.
ROUNDING = 1e-7
# Programs that are solved before a decision ends the search for a larger value.
ENOUGH = 8
_CHUNK = 2048


class Polytope:
    """The models on some columns that agree with the observations.

    Args:
        A: rows on those columns, shape ``(n, k)``.
        y: observations, shape ``(n,)``.
        slack: how far each may be off, shape ``(n,)``.
    """

    def __init__(self, A: Array, y: Array, slack: Array) -> None:
        self.A, self.low, self.high = A, y - slack, y + slack
        self._inverse = np.linalg.pinv(A, rcond=1e-12)
        self.flat = len(A) >= A.shape[1] and np.linalg.matrix_rank(A) == A.shape[1]

    def bounds(self, C: Array) -> Array:
        """Upper bounds of ``<c, theta>`` for the rows ``c`` of ``C``, by least squares' own combination of the rows."""
        found = np.empty(len(C))
        for first in range(0, len(C), _CHUNK):
            part = C[first : first + _CHUNK]
            u = part @ self._inverse
            value = np.maximum(u, 0) @ self.high + np.minimum(u, 0) @ self.low
            if not self.flat:
                missed = np.abs(part - u @ self.A).max(axis=1) > 1e-8 * (1 + np.abs(part).max())
                value[missed] = math.inf
            found[first : first + _CHUNK] = value
        return found

    def largest(self, c: Array) -> float:
        """The largest ``<c, theta>``; infinite where there is none, -inf where no model agrees."""
        return self._solve(-c, np.zeros((0, len(c))), np.zeros(0), [(None, None)] * len(c))

    def gap(self, above: Array, below: Array, eps: float, cap: float, floor: float) -> float:
        """The largest difference of two actions' means under a model.

        Args:
            above, below: features of the actions, shape ``(k,)``; their means are within ``eps`` of the model.
            eps: level.
            cap: the mean of the first is at most this too; may be infinite.
            floor: the mean of the second is at least this too; may be -inf.
        """
        k = len(above)
        cost = np.zeros(k + 2)
        cost[k:] = -1.0, 1.0
        rows = np.zeros((2, k + 2))
        rows[0, :k], rows[0, k] = -above, 1.0
        rows[1, :k], rows[1, k + 1] = below, -1.0
        bounds: list[tuple[Any, Any]] = [(None, None)] * k
        bounds += [(None, None if math.isinf(cap) else cap), (None if math.isinf(floor) else floor, None)]
        return self._solve(cost, rows, np.full(2, eps), bounds)

    def _solve(self, cost: Array, rows: Array, limits: Array, bounds: list[tuple[Any, Any]]) -> float:
        """Minus the smallest ``<cost, x>`` where ``x`` begins with a model and keeps ``rows @ x <= limits``."""
        from scipy.optimize import linprog

        if not cost.any():
            return 0.0
        wide = np.zeros((len(self.A), len(cost)))
        wide[:, : self.A.shape[1]] = self.A
        matrix, right = np.vstack([wide, -wide, rows]), np.concatenate([self.high, -self.low, limits])
        found = linprog(cost, A_ub=matrix, b_ub=right, bounds=bounds, method="highs")
        if found.status == 0 and found.fun is not None:
            return float(-found.fun)
        if found.status == 2:
            return -math.inf
        if found.status in (3, 4):
            # HiGHS does not always tell unbounded from infeasible; a program without an objective does.
            free = linprog(0 * cost, A_ub=matrix, b_ub=right, bounds=bounds, method="highs")
            return math.inf if free.status == 0 else -math.inf
        raise OptimandError(f"a linear program over the consistent models was not solved: {found.message}")


def consistent_supports(
    A: Array, y: Array, slack: Array, s: int, max_subsets: int, limit: int = 64
) -> tuple[list[Array], bool]:
    """Supports of size ``s`` on which some model agrees with the observations, the likeliest first.

    All supports are looked at where there are at most ``max_subsets``; else that of orthogonal matching pursuit and
    those that exchange one of its columns.

    Returns:
        At most ``limit`` supports, and whether they are all there are.
    """
    d = A.shape[1]
    whole = math.comb(d, s) <= max_subsets
    if whole:
        candidates = np.concatenate(list(supports(d, s)))
    else:
        start = np.flatnonzero(omp(A, y, s))
        # A residual of zero ends the pursuit early; any columns complete the support.
        start = np.concatenate([start, np.setdiff1d(np.arange(d), start)[: s - len(start)]])
        others = np.setdiff1d(np.arange(d), start)
        swaps = [np.sort(np.append(np.delete(start, i), j)) for i, j in itertools.product(range(s), others.tolist())]
        candidates = np.array([np.sort(start), *swaps], dtype=np.int64)
    most = float(slack.max())
    levels = subset_bounds(A, y, candidates)
    for rounds in (10, 60):
        candidates = candidates[levels <= most]
        levels = subset_bounds(A, y, candidates, rounds)
    found: list[Array] = []
    for t in np.argsort(levels, kind="stable"):
        if levels[t] > most:
            break
        if len(found) == limit:
            return found, False
        if chebyshev_fit(A[:, candidates[t]], y, slack)[1] <= ROUNDING * (1 + float(np.abs(y).max())):
            found.append(candidates[t])
    return found, whole


def largest_gap(
    polytopes: list[tuple[Array, Polytope]], Phi: Array, action: int, eps: float, caps: Array, floor: float,
    programs: int, decision: float | None = None,
) -> tuple[float, float, int]:  # fmt: skip
    """How far an action may be below another one under models that agree with the observations.

    Programs are solved for the actions (and polytopes) of the largest bounds first.

    Args:
        polytopes: each with the columns that it is about.
        Phi: features, shape ``(N, d)``.
        action: the action in question.
        eps: level: means are within ``eps`` of a model.
        caps: what means are at most, by observation, shape ``(N,)``; infinite where there is none.
        floor: what the mean of ``action`` is at least, by observation; -inf where there is none.
        programs: linear programs to solve at most.
        decision: stop early, though not before a few programs, when it is known whether this is exceeded.

    Returns:
        The largest gap under a model, an upper bound (the same where programs sufficed), and the action that it is to.
    """
    heap: list[tuple[float, int, int]] = []
    for number, (columns, polytope) in enumerate(polytopes):
        own = Phi[:, columns]
        lowest = max(floor, -float(polytope.bounds(-own[[action]])[0]) - eps)
        joint = polytope.bounds(own - own[action]) + 2 * eps
        highest = np.minimum(polytope.bounds(own) + eps, caps)
        bounds = joint if math.isinf(lowest) else np.minimum(joint, highest - lowest)
        bounds[action] = -math.inf
        kept = np.argsort(-bounds, kind="stable")[: programs + 1]
        heap += [(-float(bounds[a]), number, int(a)) for a in kept if bounds[a] > 0]
    heapq.heapify(heap)
    best, other = 0.0, action
    for done in range(programs):
        if not heap or -heap[0][0] <= best + 1e-12:
            return best, best, other
        if decision is not None and done >= ENOUGH and (best > decision or -heap[0][0] <= decision):
            break
        _, number, a = heapq.heappop(heap)
        columns, polytope = polytopes[number]
        value = polytope.gap(Phi[a, columns], Phi[action, columns], eps, float(caps[a]), floor)
        if value > best:
            best, other = value, a
        if best == math.inf:
            break
    return best, max(best, -heap[0][0]) if heap else best, other


def held_out_residuals(A: Array, y: Array, spare: int = 1) -> Array | None:
    """Residuals of least squares that did not see the row, shape ``(n,)``; None where there are too few rows.

    Args:
        A: rows, shape ``(n, d)``.
        y: observations, shape ``(n,)``.
        spare: rows that there must be beyond the rank.
    """
    u, size, _ = np.linalg.svd(A, full_matrices=False)
    q = u[:, size > 1e-10 * size[0]]
    if len(A) < q.shape[1] + spare:
        return None
    free = 1 - np.square(q).sum(axis=1)
    # A row that alone determines a direction is fitted exactly, and says nothing.
    return np.where(free > 1e-8, (y - q @ (q.T @ y)) / np.maximum(free, 1e-8), 0.0)
