"""The run loop of the family: ask for omega, solve, tell the cost; system after system."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.running import resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_int

from .sequence import SequenceSolver
from .systems import Sequence, System
from .tuners.base import DEFAULT_ARMS, Array

if TYPE_CHECKING:
    from .problems import SequenceProblem

POINTS = 50  # at which the metrics are recorded
RECENT = 1000  # systems that the mean of the latest is over
RTOL, MAXITER = 1e-8, 10_000
WARM_UP = 3  # systems solved before the clock runs, so that compiled code is loaded


@dataclass(frozen=True)
class Setting:
    """What a method of this family is built from.

    Attributes:
        arms: the grid of omegas.
        context_bounds: smallest and largest context.
        rng: the method's random numbers.
        oracle: the best omega for the current system; only for methods with the option ``oracle``.
    """

    arms: Array
    context_bounds: tuple[float, float]
    rng: np.random.Generator
    oracle: Callable[[], float]


def solve_sequence(
    problem: SequenceProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Solve ``budget`` systems of the problem's sequence, the method choosing omega.

    The tuner is asked with the system's context and told the iterations of the solve (10 000 for one that fails).
    Its time counts with the solver's; making the systems does not, nor do the solves of an oracle.

    Args:
        problem: the sequence and the solver.
        method: builds the tuner from a :class:`Setting`; None instead of a tuner means plain CG. One with the
            option ``oracle`` may ask the setting for the best omega of each system.
        hyper: hyperparameters that differ from the method's defaults.
        seed: its branch ``data`` makes the systems, ``method`` is the tuner's.
        budget: systems.
        recorder: takes the mean iterations per system so far (``iterations``), of the last 1000
            (``last_iterations``), the sum (``total_iterations``); the same on ``valid`` and ``test``, as nothing
            is held out: each system is met once, and its cost counts before it teaches anything.
    """
    check_int("budget", budget, low=1)
    values = method.hyper(hyper)
    warm = _Run(problem, method, values, seed.child("warm-up"))
    for _ in range(min(WARM_UP, budget)):
        warm.step(None)
    run = _Run(problem, method, values, seed)
    if resumed := resume(recorder, run.tuner):
        tuner, (kept,) = resumed
        if tuner is run.tuner:  # set back by its state: what its setting refers to stays this run
            run.__dict__.update(kept.__dict__)
        else:
            run = kept
        run.tuner = run.solver.tuner = tuner
    run.go(budget, recorder)


class _Run:
    """The systems, the solver and the tuner, which needs no ``state_dict`` to go on."""

    def __init__(self, problem: SequenceProblem, method: Method, hyper: Mapping[str, Any], seed: SeedTree) -> None:
        self.sequence: Sequence = problem.sequence(seed.child("data").numpy())
        self.best = math.nan  # the oracle's omega for the current system, sought before the clock runs
        self.has_oracle = bool(method.options.get("oracle"))
        rng = seed.child("method").numpy()
        setting = Setting(DEFAULT_ARMS, self.sequence.context_bounds, rng, lambda: self.best)
        self.tuner = method.build(setting, **hyper)
        self.solver_name = "cg" if self.tuner is None else problem.solver
        self.solver = SequenceSolver(self.solver_name, tuner=self.tuner, rtol=RTOL, maxiter=MAXITER)
        self.recent: deque[int] = deque(maxlen=RECENT)

    def __getstate__(self) -> dict[str, Any]:
        solver = copy.copy(self.solver)
        solver.tuner = None
        tuner = None if hasattr(self.tuner, "state_dict") else self.tuner  # as in core.running.save
        return {**self.__dict__, "solver": solver, "tuner": tuner}

    def _best_omega(self, system: System) -> float:
        def count(omega: float) -> int:
            from .tuners import FixedOmega

            solver = SequenceSolver(self.solver_name, tuner=FixedOmega(omega), rtol=RTOL, maxiter=MAXITER)
            solver.solve(system.matrix, system.b, system.x0)
            return int(solver.iterations)

        return self.sequence.best_omega(system, count)

    def step(self, recorder: Recorder | None) -> None:
        system = self.sequence.next()
        if self.has_oracle:
            self.best = self._best_omega(system)
        before = self.solver.iterations
        with recorder.timed() if recorder else nullcontext():
            found = self.solver.solve(system.matrix, system.b, system.x0, context=system.context)
        self.sequence.solved(found.x)
        self.recent.append(self.solver.iterations - before)

    def go(self, budget: int, recorder: Recorder) -> None:
        recorder.note(solver=self.solver_name)
        record_at = {-(-k * budget // POINTS) for k in range(1, POINTS + 1)}
        while self.solver.solves < budget:
            self.step(recorder)
            at = self.solver.solves
            if at in record_at:
                self.record(at, recorder)
            save(recorder, self.tuner, self)
            recorder.progress(at)
        recorder.cost(
            seconds_per_unit=recorder.seconds / budget,
            solver_seconds_per_unit=self.solver.seconds / budget,
            tuner_seconds_per_unit=self.solver.tuner_seconds / budget,
            failures=float(self.solver.failures),
        )

    def record(self, at: int, recorder: Recorder) -> None:
        total = self.solver.iterations
        recorder.record_undivided(
            at, iterations=total / at, last_iterations=float(np.mean(self.recent)), total_iterations=total
        )
