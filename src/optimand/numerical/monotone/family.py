"""The family ``monotone``: solvers of ``0 in F(u) + G(u)`` with F a finite sum, compared by passes over the sum."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.running import BudgetSpent

from .loop import Generated, Inclusion, check_solver, metered

# Passes that a method may spend where it is only tried out: one whose step never ends is cut off there.
REHEARSAL = 1000

_EXPECTED = (
    "expected a class or function of an inclusion (with op.full(u), op.batch(u, idx), u0, project(z), rng) that "
    "returns an object with step() and u, or a generator function that yields points"
)


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's solver into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function ``build(inclusion, **hyper)`` whose result has ``step()`` and ``u``, or a generator
            function ``solve(inclusion, **hyper)`` that yields one point after another. Hyperparameters and defaults
            are read from its signature; ``step`` and ``lr`` are tuned from a tenth to ten times a positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small problem.

    Example:
        >>> def forward(task, step=0.1):
        ...     u = task.u0
        ...     while True:
        ...         u = task.project(u - step * task.op.full(u))
        ...         yield u
        >>> adopt("forward", forward).defaults
        {'step': 0.1}
    """

    def build(task: Inclusion, **hyper: Any) -> Any:
        solver = obj(task, **hyper)
        return Generated(solver, task.u0) if inspect.isgenerator(solver) else solver

    def trial(method: Method) -> None:
        with contextlib.suppress(BudgetSpent):  # a long step works too
            solver = build(_rehearsal(4, 3), **method.defaults)
            check_solver(name, solver)
            solver.step()

    return adoption.adopt(
        name,
        obj,
        family="monotone",
        takes="inclusion",
        expected=_EXPECTED,
        on="a small problem",
        trial=trial,
        build=build,
        tuned=("step", "lr"),
        factor=10,
    )


def _rehearsal(rows: int, columns: int) -> Inclusion:
    """A small game, which every method of the family can run on."""
    from .games import MatrixGameOperator

    rng = np.random.default_rng(0)
    op = MatrixGameOperator(rng.random((rows, columns)))
    return metered(Inclusion(op, op.uniform, None, rng), REHEARSAL)


def describe(method: Method) -> dict[str, str]:
    """What a method spends: passes of one step on a 40 x 40 game, and how many numbers it keeps for each unknown."""
    task = _rehearsal(40, 40)
    solver = method.build(task, **method.defaults)
    steps, most = 0, ""
    try:
        while steps < 20:
            solver.step()
            steps += 1
    except BudgetSpent:
        most = "more than "
    facts = {"passes a step, 40 x 40 game": f"{most}{task.op.passes / max(steps, 1):.2f}"}
    if hasattr(solver, "state_dict"):
        facts["numbers kept for each unknown"] = f"{_numbers(solver.state_dict()) / task.op.dim:.1f}"  # type: ignore[operator]
    return facts


def _numbers(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.size)
    return sum(map(_numbers, value.values())) if isinstance(value, Mapping) else 0


add_family(
    Family(
        name="monotone",
        guide="monotone.md",
        summary="solve monotone inclusions: games, saddle points, finite sums; compared by passes over the operator",
        adopt=adopt,
        describe=describe,
        methods=("extragradient", "eag", "svrg-eg", "vr-halpern-inexact", "vr-halpern-restarted"),
    )
)
