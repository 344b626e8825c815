"""The run loop of the family ``monotone``: it pays a method's evaluations, and looks at its point from outside.

A method is an object with ``step()`` and the attribute ``u``, the point that it would report now. Its evaluations are
counted by the operator that it is given, those of a residual or a gap too, so no method can forget any; one that asks
for more once the budget is spent is ended there. What is recorded at a position is the residual of the last point that
was there within that many passes: a step that goes beyond a position does not count for it.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.contracts import Method
from optimand.core.recorder import Diverged, Recorder
from optimand.core.running import BudgetSpent, IdleGuard, Positions, drive, resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

from .constants import estimate_constants
from .operators import Array, FiniteSumOperator, as_resolvent

if TYPE_CHECKING:
    from .problems import MonotoneProblem


@dataclass
class Inclusion:
    """An instance for a method: find ``u`` with ``0 in F(u) + G(u)``.

    Attributes:
        op: the operator ``F``, with ``full(u)``, ``batch(u, idx)``, ``n`` and its constants; it counts evaluations.
            Constants that it does not know are estimated, free of charge.
        u0: start, shape ``(dim,)``.
        resolvent: of ``G``; None for the operator's own (the simplices of a game, for which code is compiled).
        rng: the method's random numbers.
    """

    op: FiniteSumOperator
    u0: Array
    resolvent: Any = None
    rng: Any = None

    def __post_init__(self) -> None:
        op = self.op
        if op.structure != "game" and None in (op.L, op.L_mean, op.L_cocoercive):
            # Every method is told the constants; finding them is not what is compared.
            calls = op.calls
            found = estimate_constants(op, self.u0)
            op.set_constants(L=found.L_full, L_mean=found.L_mean, L_cocoercive=found.L_cocoercive, L_own=found.L_own)
            op.calls = calls

    def project(self, z: Array) -> Array:
        """``J(z)``: the projection onto the set, for a problem that has one."""
        return self._resolvent(z, 1.0)

    @functools.cached_property
    def _resolvent(self) -> Callable[[Array, float], Array]:
        return as_resolvent(self.op.default_resolvent() if self.resolvent is None else self.resolvent)

    def residual(self, u: Array) -> float:
        """The natural residual ``‖u - J(u - F(u))‖_2`` at unit step over all blocks; a method that asks pays for it."""
        return float(np.linalg.norm(u - self.project(u - self.op.value(u))))

    def gap(self, u: Array) -> float | None:
        """The duality gap of a matrix game at the nearest point of the simplices; None elsewhere."""
        if self.op.structure != "game":
            return None
        return self.op.gap(self.project(u))  # type: ignore[attr-defined]


def metered(task: Inclusion, passes: float) -> Inclusion:
    """``task`` for a method: every evaluation is charged, and none begins once ``passes`` are spent.

    The method gets an operator of its own, so that nothing it does to it changes what judges it.

    Raises:
        BudgetSpent: by the operator's functions, when called after that.

    Example:
        >>> op = FiniteSumOperator(2, lambda u: u, lambda u, idx: u, L=1.0, L_mean=1.0, L_cocoercive=1.0)
        >>> task = metered(Inclusion(op, np.ones(1)), passes=2)
        >>> task.residual(task.u0), task.op.passes, op.passes
        (1.0, 1.0, 0.0)
    """
    judge, op = task.op, copy.copy(task.op)
    op.calls, most = 0.0, passes * op.full_cost

    def pay(calls: float) -> None:
        if op.calls >= most:
            raise BudgetSpent(f"{passes:g} passes are spent")
        op.calls += calls

    def full(u: Array) -> Array:
        pay(op.full_cost)
        return judge.value(u)

    def batch(u: Array, idx: Any) -> Array:
        pay(0.0)
        return type(op).batch(op, u, idx)

    for name, function in (("full", full), ("value", full), ("batch", batch)):
        setattr(op, name, function)
    mine = copy.copy(task)
    mine.op, mine.u0 = op, task.u0.copy()
    return mine


class Generated:
    """A method written as a generator: each point that it yields is the next one to report.

    Example:
        >>> solver = Generated(iter([np.ones(1), np.zeros(1)]), np.full(1, 2.0))
        >>> solver.step(); solver.u.tolist(), solver.finished
        ([1.0], False)
    """

    def __init__(self, points: Any, u0: Array) -> None:
        self._points, self.u, self.finished = points, u0, False

    def step(self) -> None:
        """Run the generator to its next point."""
        try:
            self.u = np.asarray(next(self._points), dtype=np.float64)
        except StopIteration:
            self.finished = True


@functools.cache
def rehearse(sparse: bool) -> None:
    """Compile, or load, the loops for games, so that no method's clock counts it."""
    import scipy.sparse as sp

    from .games import MatrixGameOperator
    from .solve import make_method

    eye = np.eye(4)
    for name in ("svrg-eg", "vr-halpern-inexact"):
        op = MatrixGameOperator(sp.csr_matrix(eye) if sparse else eye)
        solver = make_method(name, op, op.uniform, rng=0)
        for _ in range(3):
            solver.step()


def run(
    problem: MonotoneProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Run ``method`` on an instance of ``problem`` for ``budget`` passes.

    Args:
        problem: makes the instance from ``seed.child("data")``.
        method: its ``build(inclusion, **hyper)`` gives the solver.
        hyper: hyperparameters.
        seed: the run's branch; the method draws from ``seed.child("method")``.
        budget: passes, each a full evaluation's worth.
        recorder: takes residuals (and gaps of games) on ``valid`` and ``test``.

    Raises:
        Diverged: the point or its residual is not finite.
        OptimandError: the solver is none, or stops evaluating the operator without end.
    """
    judge = problem.instance(seed.child("data").numpy())
    task = metered(judge, budget)
    task.rng = seed.child("method").numpy()
    op = task.op
    if method.options.get("compiled") and op.structure == "game":
        rehearse(bool(op.sparse))  # type: ignore[attr-defined]
    with recorder.timed():
        solver = method.build(task, **{**method.defaults, **hyper})
    check_solver(method.name, solver)

    def record(at: float, u: Array) -> None:
        if u.shape != judge.u0.shape:
            raise OptimandError(f"the method's point must have shape {judge.u0.shape}, got {u.shape}")
        residual = judge.residual(u) if np.isfinite(u).all() else math.nan
        if not math.isfinite(residual):
            raise Diverged(at, f"the residual is {residual}")
        gap = judge.gap(u)
        gaps = {} if gap is None else {"gap": max(gap, 1e-16)}
        recorder.record_undivided(at, residual=max(residual, 1e-16), **gaps)  # an operator has no held-out data

    positions = Positions.spaced_by_ratios(budget, record)
    if hasattr(solver, "load_state_dict") and (saved := resume(recorder, solver)):
        op.calls, positions.next = saved[1]
    else:
        record(0, judge.u0)

    def step() -> None:
        if getattr(solver, "finished", False):
            raise StopIteration
        solver.step()

    def keep() -> None:
        if hasattr(solver, "state_dict"):
            save(recorder, solver, op.calls, positions.next)

    drive(
        step,
        spent=lambda: op.passes,
        shown=lambda: np.array(solver.u, dtype=np.float64),
        positions=positions,
        recorder=recorder,
        guard=IdleGuard(method.name, "steps without evaluating the operator"),
        keep=keep,
    )
    recorder.cost(seconds_per_unit=recorder.seconds / max(op.passes, 1.0), oracle_calls=op.calls)


def check_solver(name: str, solver: Any) -> None:
    """OptimandError unless ``solver`` has ``step()`` and ``u``."""
    if not callable(getattr(solver, "step", None)) or not hasattr(solver, "u"):
        raise OptimandError(
            f"method {name!r} must build an object with step() and u, got {solver!r:.80} ({type(solver).__name__})"
        )
