"""Catalog entries of the family ``best-action``.

A method is a function of an :class:`~optimand.online.linear_bandits.loop.ActionTask`. All know the features, the bound
of the error, the sparsity and the norm of the parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.catalog import method
from optimand.core.space import Choice, Dimension, Float
from optimand.core.validation import OptimandError

from .design import g_optimal_design, gdesign_search
from .queries import ask_means, repeats_needed
from .regression import default_queries, heaviest, sparse_regression_search

if TYPE_CHECKING:
    from .loop import ActionTask

PAPER = "sparse-misspecified-bandits"
COMPILED = {"compiled": True}
REGRESSION: dict[str, Dimension] = {"factor": Float(0.25, 10.0, log=True), "rows": Choice("random", "design")}


def _once(task: ActionTask, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What depends on the task's features and levels alone, made once in a run."""
    key = (*key, id(task.Phi), task.eps, task.noise)
    if key not in task.shared:
        # The features are kept, so that their id is not given to others.
        task.shared[key] = (make(), task.Phi)
    return task.shared[key][0]


def _prepared(task: ActionTask, **options: Any) -> Any:
    """The sparse search for the task's features."""
    from .search import SparseSearch, UnsuitedError

    def make() -> Any:
        try:
            return SparseSearch(task.Phi, task.s, task.eps, radius=task.radius, noise=task.noise, **options)
        except UnsuitedError as error:
            raise OptimandError(
                f"the methods sparse-eliminate, sparse-net and sparse-cover look at all supports of s features, which "
                f"this problem does not allow: {error.what}. Compare omp, lasso, g-optimal and random-queries on it"
            ) from error

    return _once(task, ("sparse", *sorted(options.items())), make)


def _design(task: ActionTask, max_support: int | None = None) -> Any:
    """A G-optimal design of the task's features."""
    return _once(task, ("design", max_support), lambda: g_optimal_design(task.Phi, max_support=max_support))


@method("sparse-eliminate", family="best-action", paper=PAPER, space={"tolerance": Float(0.0, 3.0)}, options=COMPILED)
def sparse_eliminate(task: ActionTask, *, tolerance: float = 0.0, norm: str = "bounded") -> int:
    """Ask the greedy action of the sparse hypothesis that promises most, drop what the answer contradicts (B3)."""
    return int(_prepared(task, method="eliminate", tolerance=tolerance, norm=norm)(task.query).x)


@method("sparse-net", family="best-action", paper=PAPER, options=COMPILED)
def sparse_net(task: ActionTask) -> int:
    """The best of the greedy actions of a net of sparse parameters (B1)."""
    return int(_prepared(task, method="net")(task.query).x)


@method("sparse-cover", family="best-action", paper=PAPER, options=COMPILED)
def sparse_cover(task: ActionTask) -> int:
    """The best of the centres of a cover of the actions on all supports (B2)."""
    return int(_prepared(task, method="cover")(task.query).x)


def regression(task: ActionTask, *, estimator: str, factor: float = 1.0, rows: str = "random") -> int:
    """Fit an estimator to the rewards of some actions, then its greedy action."""
    most = min(max(1, round(factor * default_queries(task.N, task.d, task.s))), task.N)
    # What the budget allows, where noise makes an action cost several queries.
    most = min(most, max(task.budget // repeats_needed(task.noise, task.eps, 0.05, most), 1))
    chosen = heaviest(_design(task), most) if rows == "design" else rows
    found = sparse_regression_search(
        task.query, task.Phi, task.s, task.eps, n_queries=most, estimator=estimator, rows=chosen, noise=task.noise,
        seed=int(task.rng.integers(2**31)),
    )  # fmt: skip
    return int(found.x)


for _name, _estimator, _summary in (
    ("omp", "omp", "Orthogonal matching pursuit, then its greedy action (B4); factor times 8 s ln(2 d) queries."),
    ("lasso", "lasso", "The Lasso with a penalty for the error, then its greedy action (B4)."),
    ("best-subset", "subset", "The sparse model of least largest residual, exactly, then its greedy action (B4)."),
):
    method(
        _name, family="best-action", paper=PAPER, space=REGRESSION, fixed={"estimator": _estimator}, summary=_summary
    )(regression)


@method("g-optimal", family="best-action", options=COMPILED)
def g_optimal(task: ActionTask) -> int:
    """Least squares on a G-optimal design, then its greedy action: the linear baseline without sparsity (B5)."""
    queries = max(task.budget, task.d)
    found = gdesign_search(
        task.query, task.Phi, task.eps, noise=task.noise, n_queries=queries,
        design=_design(task, None if task.noise else queries),
    )  # fmt: skip
    return int(found.x)


@method("random-queries", family="best-action")
def random_queries(task: ActionTask) -> Iterator[int]:
    """The best of actions asked in random order; with noise each until its mean is within eps."""
    best, value = 0, -np.inf
    order = task.rng.permutation(task.N)
    repeats = repeats_needed(task.noise, task.eps, 0.05, task.N)
    for first in range(0, task.N, 64):
        rewards = ask_means(task.query, order[first : first + 64], repeats)
        if rewards.max() > value:
            best, value = int(order[first + rewards.argmax()]), float(rewards.max())
        yield best
