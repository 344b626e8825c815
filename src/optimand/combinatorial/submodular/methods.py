"""Catalog entries of the family ``submodular``.

A method builds, from a :class:`~optimand.combinatorial.submodular.loop.Task`, an object with ``insert``, ``delete``,
``value`` and ``solution``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float

if TYPE_CHECKING:
    from .loop import Task

PAPER = "dynamic-submodular"
EPS = Float(0.05, 0.45)
# The run loop loads the machine code before the clock starts.
COMPILED = {"compiled": True}


def _engine(task: Task, **options: Any) -> Any:
    from .dynamic import DynamicSubmodular

    return DynamicSubmodular(task.f, task.k, seed=task.seed, **options)


@method("incremental-greedy", family="submodular", options=COMPILED, space={"slack": Choice(0.0, 0.02, 0.05, 0.1)})
def incremental_greedy(task: Task, *, slack: float = 0.0) -> Any:
    """Greedy's path, repaired where an update changes it: what running it again would choose, up to ties."""
    return _engine(task, engine="incremental", slack=slack)


@method(
    "buckets",
    family="submodular",
    options=COMPILED,
    paper=PAPER,
    space={"eps": EPS, "growth": Float(1.2, 3.0), "trials": Choice(8, 16, 32)},
)
def buckets(task: Task, *, eps: float = 0.2, growth: float = 2.0, trials: int = 16) -> Any:
    """Levels of sampled buckets for guesses of the optimum, with calls saved where they decide nothing."""
    return _engine(task, eps=eps, engine="buckets", trials=trials, growth=growth)


@method("buckets-literal", family="submodular", options=COMPILED, paper=PAPER, space={"eps": EPS})
def buckets_literal(task: Task, *, eps: float = 0.2, trials: int = 16) -> Any:
    """The levels of buckets as the text reads: every guess is kept up to date, nothing is remembered."""
    return _engine(task, eps=eps, engine="buckets", trials=trials, literal=True)


@method("permutation", family="submodular", options=COMPILED, paper=PAPER, space={"eps": EPS})
def permutation(task: Task, *, eps: float = 0.2) -> Any:
    """A random order with levels found by bisection, whose calls depend on k and not on how many there are."""
    return _engine(task, eps=eps, engine="permutation")


@method("lattanzi", family="submodular", options=COMPILED, space={"eps": EPS})
def lattanzi(task: Task, *, eps: float = 0.2, n_hint: int | None = None) -> Any:
    """Levels with buffers (Lattanzi et al. 2020, the simple variant), with the same guesses as the others."""
    return _engine(task, eps=eps, engine="lattanzi", n_hint=n_hint)


@method("greedy-rerun", family="submodular", options=COMPILED)
def greedy_rerun(task: Task) -> Any:
    """Lazy greedy run again for every query after a change, the values of single elements kept."""
    return _engine(task, engine="greedy")


@method("sieve-streaming", family="submodular", options=COMPILED, space={"eps": Float(0.02, 0.5, log=True)})
def sieve_streaming(task: Task, *, eps: float = 0.1) -> Any:
    """One pass with a candidate for each guess; what was turned down is lost, so deletions leave gaps."""
    from .maximizers.sieve import SieveStreaming

    return SieveStreaming(task.f, task.k, eps)
