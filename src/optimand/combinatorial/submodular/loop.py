"""The run loop of the family ``submodular``: a stream of updates, and the solution looked at from outside.

A method is an object with ``insert(element)``, ``delete(element)``, ``value`` and ``solution``. It gets an objective of
its own, which counts every question it asks, in updates and in queries. Every so many updates it is asked for its
solution, as its user would ask; at checkpoints what it answers is evaluated by another copy of the objective and
compared with lazy greedy on the elements that are there.

An interrupted run goes on from the method's ``state_dict``, or from a copy of an object that can be pickled; one that
cannot starts again and ends the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.running import resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

if TYPE_CHECKING:
    from .objectives.base import Objective
    from .problems import StreamProblem

CHECKPOINTS = 24


@dataclass
class Stream:
    """An instance: what is to be kept small and good, and how the ground set changes.

    Attributes:
        f: objective.
        k: size of the solution.
        updates: whether it is an insertion, and the id, without end.
    """

    f: Objective
    k: int
    updates: Iterator[tuple[bool, int]]


@dataclass
class Task:
    """What a method gets.

    Attributes:
        f: an objective of its own, which counts what it asks.
        k: most elements of a solution.
        seed: of its random choices.
    """

    f: Objective
    k: int
    seed: int


def run(
    problem: StreamProblem, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder
) -> None:
    """Run ``method`` for ``budget`` updates of an instance of ``problem``.

    Args:
        problem: makes the instance from ``seed.child("data")``.
        method: its ``build(task, **hyper)`` gives the solver.
        hyper: hyperparameters.
        seed: the run's branch; the method gets an integer from ``seed.child("method")``.
        budget: updates.
        recorder: takes ``ratio`` (mean so far of value over that of lazy greedy), ``value``, ``calls per update`` on
            ``valid`` and ``test``.

    Raises:
        OptimandError: the solver is none, or its solution is too large or holds an element that is not there.
    """
    stream = problem.instance(seed.child("data").numpy())
    audit = _Audit(stream, recorder, budget)
    mine = copy.copy(stream.f)
    if mine.n:
        mine.value([mine.element(0)])  # loads the machine code
    mine.nfev = 0
    if method.options.get("compiled"):
        rehearse(method, hyper, stream)
    with recorder.timed():
        solver = method.build(Task(mine, stream.k, seed.child("method").integer()), **{**method.defaults, **hyper})
    check_solver(method.name, solver)
    at = 0
    resumed = resume(recorder, solver)
    if resumed is not None:
        solver, (kept, at, audit.ratios, audit.in_queries) = resumed
        if hasattr(solver, "state_dict"):
            mine.nfev = kept  # what loading asks was paid before
        else:
            mine = kept
        for _ in range(at):
            audit.follow(*next(stream.updates))
    while at < budget:
        new, i = next(stream.updates)
        with recorder.timed():
            (solver.insert if new else solver.delete)(mine.element(i))
        audit.follow(new, i)
        at += 1
        if at % problem.query == 0 or at in audit.at:
            asked = mine.nfev
            with recorder.timed():
                solution = list(answer(solver, "solution"))
            audit.in_queries += mine.nfev - asked
            if at in audit.at:
                audit.record(at, method.name, solution, mine.nfev)
        recorder.progress(at)
        save(recorder, solver, mine.nfev if hasattr(solver, "state_dict") else mine, at, audit.ratios, audit.in_queries)
    recorder.cost(
        seconds_per_unit=recorder.seconds / budget,
        oracle_calls=mine.nfev,
        calls_per_update=mine.nfev / budget,
        query_calls_per_update=audit.in_queries / budget,
    )


def rehearse(method: Method, hyper: Mapping[str, Any], stream: Stream) -> None:
    """Let compiled code be loaded on a few updates, so that no method's clock counts it."""
    f = copy.copy(stream.f)
    solver = method.build(Task(f, stream.k, 0), **{**method.defaults, **hyper})
    check_solver(method.name, solver)
    elements = [f.element(i) for i in range(min(f.n or 0, 40))]
    for new in (True, False):
        for element in elements:
            (solver.insert if new else solver.delete)(element)
            answer(solver, "solution")


def answer(solver: Any, name: str) -> Any:
    """An attribute of a solver, or what its method of that name returns."""
    found = getattr(solver, name)
    return found() if callable(found) else found


def check_solver(name: str, solver: Any) -> None:
    """OptimandError unless ``solver`` has ``insert``, ``delete``, ``value`` and ``solution``."""
    lacks = [part for part in ("insert", "delete") if not callable(getattr(solver, part, None))]
    lacks += [part for part in ("value", "solution") if not hasattr(type(solver), part) and not hasattr(solver, part)]
    if lacks:
        raise OptimandError(
            f"method {name!r} must build an object with insert(element), delete(element), value and solution; "
            f"{solver!r:.80} ({type(solver).__name__}) has no {', no '.join(lacks)}"
        )


class _Audit:
    """Knows who is there, and judges solutions."""

    def __init__(self, stream: Stream, recorder: Recorder, budget: int) -> None:
        from .maximizers.lazy import lazy_greedy

        self.greedy = lazy_greedy
        self.f, self.k, self.recorder = stream.f, stream.k, recorder
        self.at = {round(budget * i / CHECKPOINTS) for i in range(1, CHECKPOINTS + 1)} - {0}
        self.live: dict[int, float] = {}
        self.ratios: list[float] = []
        self.in_queries = 0

    def follow(self, new: bool, i: int) -> None:
        if new:
            self.live[i] = 1.0
        else:
            del self.live[i]

    def record(self, at: int, name: str, solution: Iterable[Any], calls: int) -> None:
        ids = [self.f.index(e) for e in solution]
        gone = [i for i in ids if i not in self.live]
        if gone or len(ids) > self.k or len(set(ids)) < len(ids):
            wrong = f"element {self.f.element(gone[0])!r:.60}, which is not there" if gone else f"{len(ids)} elements"
            raise OptimandError(
                f"method {name!r}: its solution after {at} updates holds {wrong}; expected at most {self.k} live ones"
            )
        value = self.f.value([self.f.element(i) for i in ids])
        best = float(self.greedy(self.f, list(self.live), self.k)[1].sum()) if self.live else 0.0
        self.ratios.append(value / best if best > 0 else 1.0)
        self.recorder.record_undivided(
            at,
            **{
                "ratio": float(np.mean(self.ratios)),
                "least ratio": min(self.ratios),
                "value": value,
                "calls per update": calls / at,
            },
        )
