"""``maximize_submodular``: the best ``k`` elements of a set that stays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from optimand.core.validation import check_choice, check_number

from ..objectives.base import Floats, Ids, Objective
from ..objectives.functions import SetFunction
from . import sampled
from .lazy import lazy_greedy, naive_greedy
from .sieve import SieveStreaming

METHODS = ("lazy", "naive", "stochastic", "threshold", "sieve", "exact")


def maximize_submodular(
    f: Objective | Callable[[tuple[Any, ...]], float],
    ground: Iterable[Hashable] | None = None,
    k: int = 1,
    method: str = "lazy",
    *,
    eps: float = 0.1,
    seed: int | np.random.Generator | None = 0,
) -> OptimizeResult:
    """Choose up to ``k`` elements with a large value.

    Args:
        f: objective, or a function of a tuple of elements.
        ground: elements to choose from; None for all that the objective has.
        k: how many, at least 1. Fewer are chosen where no further one gains anything.
        method: ``lazy`` and ``naive`` greedy (the same choice, at least ``1 - 1/e`` of the best value); ``stochastic``
            and ``threshold`` greedy (``1 - 1/e - eps``, the first in expectation); ``sieve`` (one pass,
            ``1/2 - eps``); ``exact`` (all sets).
        eps: of the methods with one, in (0, 1).
        seed: of ``stochastic``.

    Returns:
        OptimizeResult with ``x`` (elements in the order chosen), ``fun`` (their value), ``gains``, ``nfev`` (questions
        asked), ``success`` and ``message``.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range; a gain that is not finite; a negative
            gain of a function that should be monotone, with the element's name.
        KeyError: an element that the objective does not know.

    Example:
        >>> found = maximize_submodular(lambda chosen: len(set("".join(chosen))), ["ab", "bc", "cde"], k=2)
        >>> found.x, found.fun
        (['cde', 'ab'], 5.0)
    """
    check_choice("method", method, METHODS)
    if not (ground is None or isinstance(ground, Iterable)):
        raise TypeError(
            f"ground must be a collection of elements, got {ground!r:.60} ({type(ground).__name__}); "
            "the size of the solution is the argument after it: k=…"
        )
    objective = as_objective(f, ground)
    k = objective.check_size(k)
    check_number("eps", eps, low=0, high=1, low_open=True, high_open=True)
    ids = objective.ids(ground)
    if not objective.monotone and method != "exact":
        warnings.warn("f is not monotone: no guarantee holds", UserWarning, stacklevel=2)
    chosen, gains, calls = run_method(objective, ids, k, method, eps, np.random.default_rng(seed))
    found = [objective.element(int(i)) for i in chosen]
    asked = f"{calls} questions" if calls != 1 else "1 question"
    return OptimizeResult(  # type: ignore[call-arg]
        x=found, fun=float(gains.sum()) + objective.start().value, gains=gains, nfev=calls, success=True, method=method,
        message=f"{len(found)} of {len(ids)} elements chosen with {asked}",
    )  # fmt: skip


def as_objective(f: Any, ground: Iterable[Hashable] | None = None) -> Objective:
    """``f`` itself, or a user's function as an objective; TypeError for anything else."""
    if isinstance(f, Objective):
        return f
    if callable(f):
        return SetFunction(f)
    raise TypeError(f"f must be an objective or a function of a tuple of elements, got {f!r:.60} ({type(f).__name__})")


def run_method(f: Objective, ids: Ids, k: int, method: str, eps: float, rng: Any) -> tuple[Ids, Floats, int]:
    """Ids chosen by a method, their gains, and how many questions it asked."""
    if method == "lazy":
        return lazy_greedy(f, ids, k)
    if method == "naive":
        return naive_greedy(f, ids, k)
    if method == "stochastic":
        return sampled.stochastic_greedy(f, ids, k, eps=eps, rng=rng)
    if method == "threshold":
        return sampled.threshold_greedy(f, ids, k, eps=eps)
    if method == "exact":
        return sampled.exhaustive(f, ids, k)
    sieve = SieveStreaming(f, k, eps)
    sieve.push_all(ids)
    members, gains = sieve.found()
    return np.array(members, dtype=np.int64), np.array(gains), sieve.oracle_calls
