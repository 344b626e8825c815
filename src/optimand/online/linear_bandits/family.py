"""The family ``best-action``: find a good action of many by querying rewards, linear in features up to an error."""

from __future__ import annotations

from typing import Any

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family

from .loop import follow, rehearsal

_EXPECTED = (
    "expected a function search(task, **hyper) that asks task.query(indices) and returns an action, or a generator "
    "function that yields the action it would return so far"
)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's search into a method.

    Args:
        name: what the method is to be called.
        obj: a function ``search(task, **hyper)`` that returns an action, or a generator function that yields actions;
            see :class:`~optimand.online.linear_bandits.loop.ActionTask` for what a task holds. Hyperparameters and
            defaults are read from its signature; ``tolerance`` is tuned from a tenth to ten times a positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small bandit.

    Example:
        >>> def probe(task, n_queries=10):
        ...     asked = task.rng.choice(task.N, n_queries, replace=False)
        ...     return asked[task.query(asked).argmax()]
        >>> adopt("probe", probe).defaults
        {'n_queries': 10}
    """
    return adoption.adopt(
        name, obj, family="best-action", takes="task", expected=_EXPECTED, on="a small bandit", tuned=("tolerance",),
        factor=10, trial=lambda method: follow(method, rehearsal(), {}),
    )  # fmt: skip


def describe(method: Method) -> dict[str, str]:
    """Queries and suboptimality of a method on 200 directions in six dimensions."""
    task = rehearsal()
    found = follow(method, task, method.defaults)
    lost = task.bandit.oracle().suboptimality(found.final)
    return {
        "queries, 200 actions in 6 dimensions": f"{found.queries}",
        "suboptimality there": f"{lost:.2f} eps",
    }


add_family(
    Family(
        name="best-action",
        takes="a function that asks `task.query(indices)` and returns an action, or a generator of actions",
        guide="linear-bandits.md",
        summary="find a good action when rewards are linear in features up to an error; compared by queries",
        adopt=adopt,
        describe=describe,
        methods=("sparse-eliminate", "sparse-net", "omp", "lasso", "g-optimal", "random-queries"),
    )
)
