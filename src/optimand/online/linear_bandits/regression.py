"""Sparse regression, and the search that plays the greedy action of a sparse linear model.

From "Does sparsity help in learning misspecified linear bandits?" (arXiv 2303.16998, Dong and Yang): with good
features, poly(s / eps) queries suffice for an O(s eps)-optimal action. The estimators here are a reconstruction, as the
paper's own was not available: orthogonal matching pursuit, the Lasso, and the best subset in the sup norm, which is the
norm that a misspecification is bounded in. The guarantee that a search reports is computed from the data at hand, by
the restricted eigenvalue of the rows that were queried.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import check_choice, check_int, check_number

from .queries import Array, Query, ask_counts, check_features, check_levels, check_rows, repeats_needed
from .subsets import MAX_SUBSETS, best_subset, restricted_eigenvalue

if TYPE_CHECKING:
    from .design import Design

ESTIMATORS = ("omp", "lasso", "subset")


def omp(A: Any, y: Any, s: int) -> Array:
    """Orthogonal matching pursuit: add the column that correlates most with the residual, refit, ``s`` times.

    No column is chosen twice; refits are by least squares on the columns (by their SVD, not by normal equations), so
    columns that depend on each other do no harm. Stops early where nothing correlates with the residual.

    Args:
        A: rows, shape ``(n, d)``.
        y: observations, shape ``(n,)`` or, for several at once, ``(n, T)``.
        s: columns to choose, in ``[1, d]``.

    Returns:
        Coefficients, shape ``(d,)`` or ``(d, T)``.

    Raises:
        ValueError: shapes do not fit, or ``s`` is out of its range.

    Reference: Pati, Rezaiifar and Krishnaprasad (1993); as ``sklearn.linear_model.orthogonal_mp``.

    Example:
        >>> omp(np.eye(3), [0.0, 2.0, -3.0], 2).tolist()
        [0.0, 2.0, -3.0]
    """
    A, targets = check_rows(A, y, flat=False)
    d = A.shape[1]
    check_int("s", s, low=1, high=d)
    Y = targets.reshape(len(A), -1).T
    every = np.arange(len(Y))
    chosen = np.zeros((len(Y), 0), dtype=np.int64)
    taken = np.zeros((len(Y), d), dtype=bool)
    found = np.zeros((len(Y), d))
    going, residual = np.ones(len(Y), dtype=bool), Y
    scale = np.finfo(float).eps * np.abs(A).sum(axis=0).max() * np.maximum(np.abs(Y).max(axis=1), 1e-300)
    for _ in range(s):
        correlation = np.where(taken, -1.0, np.abs(residual @ A))
        best = correlation.argmax(axis=1)
        going &= correlation[every, best] > scale
        if not going.any():
            break
        taken[every, best] = True
        chosen = np.concatenate([chosen, best[:, None]], axis=1)
        columns = A[:, chosen].transpose(1, 0, 2)
        values = np.einsum("tkn,tn->tk", np.linalg.pinv(columns, rcond=1e-13), Y)
        residual = np.where(going[:, None], Y - np.einsum("tnk,tk->tn", columns, values), residual)
        kept = np.flatnonzero(going)
        found[kept[:, None], chosen[kept]] = values[kept]
    return found[0] if targets.ndim == 1 else found.T


def lasso(A: Any, y: Any, penalty: float) -> Array:
    """The Lasso without intercept, by scikit-learn: squared residuals are divided by ``2 n``.

    Args:
        A: rows, shape ``(n, d)``.
        y: observations, shape ``(n,)``.
        penalty: factor of ``|theta|_1``, > 0.

    Returns:
        Coefficients, shape ``(d,)``.

    Example:
        >>> lasso(np.eye(2), [3.0, 0.1], 0.5).round(6).tolist()
        [2.0, 0.0]
    """
    from sklearn.linear_model import Lasso

    A, y = check_rows(A, y)
    check_number("penalty", penalty, low=0, low_open=True)
    model = Lasso(alpha=penalty, fit_intercept=False, max_iter=100_000, tol=1e-8)
    # Rows that fit to the last digit leave no duality gap to measure.
    top = float(np.abs(y).max()) or 1.0
    model.set_params(alpha=model.alpha / top)
    return np.asarray(model.fit(A, y / top).coef_ * top)


def fit_sparse(A: Array, y: Array, s: int, eps: float, estimator: str = "omp", max_subsets: int = MAX_SUBSETS) -> Array:
    """An ``s``-sparse model by one of :data:`ESTIMATORS`; shape ``(d,)``.

    The Lasso's penalty is ``eps / 2`` for columns scaled to mean square 1; its ``s`` largest coefficients are then
    fitted again without a penalty.
    """
    if estimator == "omp":
        return omp(A, y, s)
    if estimator == "subset":
        return best_subset(A, y, s, max_subsets=max_subsets)[0]
    scale = np.sqrt(np.square(A).mean(axis=0))
    scale[scale == 0] = 1.0
    sizes = np.abs(lasso(A / scale, y, eps / 2))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:s])
    kept = kept[sizes[kept] > 0]
    theta = np.zeros(A.shape[1])
    if len(kept):
        theta[kept] = np.linalg.lstsq(A[:, kept], y, rcond=None)[0]
    return theta


def default_queries(N: int, d: int, s: int) -> int:
    """Queries of a sparse search by default: ``8 s ln(2 d)``, of the order that suffices for good features."""
    return min(N, math.ceil(8 * s * math.log(2 * d)))


def sparse_regression_search(
    query: Query,
    Phi: Any,
    s: int,
    eps: float,
    *,
    n_queries: int | None = None,
    estimator: str = "omp",
    rows: str | Any = "random",
    noise: float = 0.0,
    delta: float = 0.05,
    seed: int = 0,
    max_subsets: int = MAX_SUBSETS,
) -> Any:
    """Query some actions, fit a sparse linear model, play its greedy action.

    Args:
        query: takes indices (repeats allowed) and returns as many rewards.
        Phi: features, shape ``(N, d)``.
        s: nonzero coefficients, in ``[1, d]``.
        eps: bound of the misspecification, > 0.
        n_queries: actions to query, in ``[1, N]``; :func:`default_queries` by default.
        estimator: ``omp``, ``lasso`` or ``subset`` (best subset in the sup norm, for few supports).
        rows: ``random`` actions, ``design`` for the support of a G-optimal design (all of it, or as much as
            ``n_queries`` allows), or the indices themselves.
        noise: sub-Gaussian level of the rewards' noise: each action is then queried as often as brings its mean within
            ``eps`` with probability ``1 - delta``.
        delta: probability with which the noise may break the guarantee.
        seed: of the random actions.
        max_subsets: supports that ``subset`` may look at.

    Returns:
        OptimizeResult with ``x`` (index), ``fun`` (its predicted reward), ``nfev`` (queries), ``n_actions`` (actions
        queried), ``n_hypotheses`` (supports that the estimator chooses from), ``bound`` (suboptimality guaranteed, in
        units of eps; infinite where the rows' restricted eigenvalue cannot be bounded), ``theta``, ``support``,
        ``eigenvalue``, ``success`` and ``message``. ``success=False`` where the model does not explain the rewards up
        to eps, or where the bound is more than they differ by and so says nothing; ``x`` may be good all the same.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: ``query`` returns something else than one finite number for each index.

    Reference: arXiv 2303.16998, the regime of good features.

    Example:
        >>> Phi = np.random.default_rng(0).choice([-1.0, 1.0], (500, 50))
        >>> means = Phi[:, 3] - 0.5 * Phi[:, 8]
        >>> found = sparse_regression_search(lambda i: means[i], Phi, s=2, eps=0.05)
        >>> found.support.tolist(), bool(means[found.x] == means.max())
        ([3, 8], True)
    """
    Phi = check_features(Phi)
    d = Phi.shape[1]
    check_int("s", s, low=1, high=d)
    eps, noise, delta = check_levels(eps, noise, delta)
    check_choice("estimator", estimator, ESTIMATORS)
    check_int("seed", seed, low=0)
    chosen = _choose(Phi, s, rows, n_queries, seed)
    repeats = repeats_needed(noise, eps, delta, len(chosen))
    rewards = ask_counts(query, chosen, np.full(len(chosen), repeats))
    A = Phi[chosen]
    error = 2 * eps if noise else eps
    theta = fit_sparse(A, rewards, s, error, estimator, max_subsets)
    predicted = Phi @ theta
    best = int(np.argmax(predicted))
    kappa = restricted_eigenvalue(A, 2 * s)
    # theta - theta* has 2 s entries, and |A (theta - theta*)| is at most error + residual in each row.
    off = (error + float(np.abs(rewards - A @ theta).max())) / math.sqrt(kappa) if kappa > 0 else math.inf
    largest = np.sort(np.abs(Phi), axis=1)[:, ::-1][:, : 2 * s]
    bound = 2 + 2 * off * float(np.linalg.norm(largest, axis=1).max()) / eps
    from scipy.optimize import OptimizeResult

    success, said = _guarantee(rewards, rewards - A @ theta, eps, error, bound, noise > 0)
    return OptimizeResult(  # type: ignore[call-arg]
        x=best, fun=float(predicted[best]), nfev=repeats * len(chosen), n_actions=len(chosen),
        n_hypotheses=math.comb(d, s), bound=bound, theta=theta, support=np.flatnonzero(theta), eigenvalue=kappa,
        success=success,
        message=f"greedy action of a {s}-sparse model from {len(chosen)} actions ({estimator}); {said}",
    )  # fmt: skip


def _guarantee(
    rewards: Array, residuals: Array, eps: float, error: float, bound: float, noisy: bool
) -> tuple[bool, str]:
    """Whether the bound says something, and what."""
    # On the support of the true parameter the mean square of the residuals is at most that of the errors.
    missed, spread = float(np.sqrt(np.square(residuals).mean())), float(np.ptp(rewards))
    if missed > error * (1 + 1e-9):
        return False, (
            f"it does not explain the rewards up to eps = {eps:g} (root mean square of the residuals {missed:.3g}): s, "
            "eps or the number of queries is too small"
        )
    if not math.isfinite(bound):
        return False, "no guarantee, as the rows' restricted eigenvalue could not be bounded away from 0"
    if bound * eps > spread:
        return False, f"no guarantee, as the bound of {bound:.3g} eps is more than the rewards differ by ({spread:.3g})"
    return True, f"{'with probability 1 - delta ' if noisy else ''}within {bound:.3g} eps of the best one"


def _choose(Phi: Array, s: int, rows: str | Any, n_queries: int | None, seed: int) -> Array:
    N, d = Phi.shape
    if n_queries is not None:
        check_int("n_queries", n_queries, low=1, high=N)
    if not isinstance(rows, str):
        found = np.unique(np.asarray(rows))
        if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu" or found[0] < 0 or found[-1] >= N:
            raise ValueError(f"rows must be indices in [0, {N}), 'random' or 'design', got {rows!r:.60}")
        return found
    check_choice("rows", rows, ("random", "design"))
    if rows == "random":
        size = default_queries(N, d, s) if n_queries is None else n_queries
        return np.sort(np.random.default_rng(seed).choice(N, size, replace=False))
    from .design import g_optimal_design

    return heaviest(g_optimal_design(Phi), n_queries)


def heaviest(design: Design, most: int | None = None) -> Array:
    """Actions of a design, those of the largest weights where there are more than ``most``; rising."""
    if most is None or most >= len(design.support):
        return design.support
    return np.sort(design.support[np.argsort(-design.weights, kind="stable")[:most]])
