"""The family ``submodular``: small solutions of a changing set, compared with greedy and by calls per update."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.validation import OptimandError

from .loop import Task, answer, check_solver

_EXPECTED = (
    "expected a class or function (f, k, seed=…) that returns an object with insert(element), delete(element), value "
    "and solution"
)
_K = 3


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's object that keeps a solution into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function ``build(f, k, seed=…, **hyper)`` whose result has ``insert(element)``,
            ``delete(element)``, ``value`` and ``solution`` (attributes or methods). ``seed`` may be left out.
            Hyperparameters and defaults are read from its signature.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small stream.

    Example:
        >>> class First:
        ...     def __init__(self, f, k):
        ...         self.f, self.k, self.live = f, k, {}
        ...     def insert(self, e):
        ...         self.live[e] = True
        ...     def delete(self, e):
        ...         del self.live[e]
        ...     def solution(self):
        ...         return list(self.live)[: self.k]
        ...     def value(self):
        ...         return self.f.value(self.solution())
        >>> adopt("first", First).defaults
        {}
    """

    def build(task: Task, **hyper: Any) -> Any:
        own = {"seed": task.seed} if "seed" in inspect.signature(obj).parameters else {}
        return obj(task.f, task.k, **own, **hyper)

    def trial(method: Method) -> None:
        solver, f = build(Task(_small(), _K, 0), **method.defaults), _small()
        check_solver(name, solver)
        for step in range(12):
            solver.insert(step)
            if step >= 6:
                solver.delete(step - 6)
            chosen = [f.index(e) for e in answer(solver, "solution")]
            float(answer(solver, "value"))
            if len(chosen) > _K or any(not max(0, step - 5) <= i <= step for i in chosen):
                raise OptimandError(
                    f"method {name!r}: its solution {chosen} must hold at most {_K} of the elements that are there, "
                    f"{max(0, step - 5)} to {step}; {_EXPECTED}"
                )

    return adoption.adopt(
        name,
        obj,
        family="submodular",
        takes="objective and size",
        expected=_EXPECTED,
        on="a small stream",
        trial=trial,
        build=build,
        given=("seed",),
        leading=2,
        tuned=("eps",),
        factor=2,
    )


def _small() -> Any:
    """Twelve elements that cover numbers."""
    from .objectives.coverage import Coverage

    rng = np.random.default_rng(0)
    return Coverage([rng.integers(20, size=4).tolist() for _ in range(12)])


def describe(method: Method) -> dict[str, str]:
    """What a method asks: calls per update and per query on a window of 400 nodes of a generated graph."""
    from .instances.graphs import graph_coverage
    from .instances.streams import window

    f = graph_coverage("generated", 1500)
    solver = method.build(Task(f, 10, 0), **method.defaults)
    updates, queries, asked, count = 0, 0, 0, 0
    for count, (new, i) in enumerate(window(np.random.default_rng(0).permutation(1500), 400), start=1):
        before = f.nfev
        (solver.insert if new else solver.delete)(i)
        updates += f.nfev - before
        if count % 20 == 0:
            before = f.nfev
            answer(solver, "solution")
            queries, asked = queries + f.nfev - before, asked + 1
        if count == 1200:
            break
    return {
        "calls per update, window of 400 nodes": f"{updates / count:.1f}",
        "calls per query after 20 updates": f"{queries / asked:.1f}",
    }


add_family(
    Family(
        name="submodular",
        guide="submodular.md",
        summary="keep a small solution of a changing set: windows of texts, images, graphs; compared with greedy",
        adopt=adopt,
        describe=describe,
        methods=("incremental-greedy", "greedy-rerun", "buckets", "permutation", "lattanzi", "sieve-streaming"),
    )
)
