"""The run loop of the family ``memory-mapping``: it pays a method's moves, and looks at the best layout from outside.

A method is a generator that plays the game; it yields whenever a unit of its work is done. The game counts every move
that is made on it, those of compiled playouts too, and keeps the best complete layout, so no method can forget either;
once the budget is spent the next move ends the method. What counts at a position is the best layout that was complete
by then: a unit of work that goes beyond a position does not count for it. At the end the layout is judged by a
validator that shares no code with the game.

An interrupted run goes on from the method's ``state_dict``, or from a copy of an iterator that can be pickled; one that
cannot (a generator) starts again and ends the same.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimand.core.contracts import Method
from optimand.core.recorder import Recorder
from optimand.core.running import BudgetSpent, IdleGuard, Positions, drive, resume, save
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError

if TYPE_CHECKING:
    import numpy as np

    from .game.hardware import Hardware
    from .game.layouts import Layout
    from .game.program import MemoryProgram
    from .game.simulator import Game
    from .problems import MappingProblem

# Moves and units of work of a rehearsal: enough for an agent's first round.
REHEARSAL = 4000
REHEARSED_UNITS = 100
MICRO = 1e6


@dataclass(frozen=True)
class Task:
    """What a method gets: a game to play on, and its random numbers.

    Attributes:
        game: of the program on the machine; it counts moves and keeps the best layout.
        rng: the method's generator.
    """

    game: Game
    rng: np.random.Generator


def run(
    problem: MappingProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> None:
    """Run ``method`` on the problem's program for ``budget`` moves.

    Args:
        problem: its ``instance()`` gives program and hardware.
        method: its ``build(task, **hyper)`` gives the solver.
        hyper: hyperparameters.
        seed: the run's branch; the method draws from ``seed.child("method")``.
        budget: moves, that is decisions about single references.
        recorder: takes the speed-up over the program with everything in slow memory, on ``valid`` and ``test``, the
            layout as a picture, and as costs its microseconds and those of copies that are exposed in strict mode.

    Raises:
        OptimandError: the solver is none, works without end, or the layout breaks a rule.
    """
    from .game.drawing import picture
    from .game.simulator import Game

    program, hardware = problem.instance()
    game = Game(program, hardware, limit=budget)

    def speedup() -> float:
        return 1.0 if game.best is None or game.best[0] <= 0 else game.all_slow_time / game.best[0]

    positions: Positions[float] = Positions.spaced_by_ratios(
        budget, lambda at, reached: recorder.record_undivided(at, speedup=reached)
    )
    rehearse(method, seed)
    try:
        with recorder.timed():
            solver: Any = check_solver(method.name, method.build(Task(game, seed.child("method").numpy()), **hyper))
    except BudgetSpent:  # all of it while the solver was made
        solver = iter(())
    resumed = resume(recorder, solver)
    if resumed is None:
        positions.cross(game.moves, 1.0)
    elif hasattr(solver, "state_dict"):
        solver, (moves, best, positions.next) = resumed
        game.charge(moves - game.moves)
        if best is not None:
            game.offer(best[1])
    else:
        solver, (game, positions.next) = resumed

    def keep() -> None:
        played = (game.moves, game.best) if hasattr(solver, "state_dict") else (game,)
        save(recorder, solver, *played, positions.next)

    drive(
        lambda: next(solver),
        spent=lambda: game.moves,
        shown=speedup,
        positions=positions,
        recorder=recorder,
        guard=IdleGuard(method.name, "units of work without a move"),
        keep=keep,
    )
    close(solver)
    layout, exposed = judged(game, program, hardware)
    time = layout.time if layout is not None else game.all_slow_time
    recorder.cost(
        microseconds=time * MICRO,
        exposed_microseconds=exposed * MICRO,
        share_of_bound=game.least_time / time if time > 0 else 1.0,
        moves=game.moves,
        seconds_per_unit=recorder.seconds / max(game.moves, 1),
    )
    if layout is not None and layout.residencies:
        recorder.picture("memory layout", picture(layout, program))


def rehearse(method: Method, seed: SeedTree) -> None:
    """Compile, or load, the game's loops on the smallest program, so that no method's clock counts it."""
    from .game.simulator import Game

    game = Game(*smallest(), limit=REHEARSAL)
    with contextlib.suppress(BudgetSpent):
        solver = method.build(Task(game, seed.child("rehearsal").numpy()), **method.defaults)
        for _ in itertools.islice(solver, REHEARSED_UNITS):
            pass
        close(solver)


def close(solver: Any) -> None:
    """Let a solver end what it holds, such as processes; generators have this, other iterators may."""
    if hasattr(solver, "close"):
        solver.close()


def smallest() -> tuple[MemoryProgram, Hardware]:
    """A program small enough to be enumerated, on a memory that holds a part of it."""
    from .game.hardware import Hardware
    from .game.program import tiny_program

    return tiny_program(), Hardware.preset("tiny", capacity=12)


def judged(game: Game, program: MemoryProgram, hardware: Hardware) -> tuple[Layout | None, float]:
    """The game's best layout after the validator has passed it, None where nothing was completed.

    The second number is the seconds of its copies that are exposed once instructions are as fast as the layout makes
    them; the game, and the metric, take copies as hidden behind the slow instructions.

    Raises:
        OptimandError: the layout breaks a rule of the game, or its time is not what was claimed.
    """
    from .game.validation import validate

    if game.best is None:
        return None, 0.0
    time, actions = game.best
    layout = game.layout(actions)
    exposed = validate(program, hardware, layout).exposed
    if not math.isclose(layout.time, time, rel_tol=1e-9):
        raise OptimandError(f"the best layout takes {layout.time!r} s, but {time!r} s were counted")
    return layout, exposed


def check_solver(name: str, solver: Any) -> Iterator[Any]:
    """The solver as an iterator; OptimandError unless it is one."""
    if not hasattr(solver, "__next__"):
        raise OptimandError(
            f"method {name!r} must build an iterator that plays the game whenever it is asked for its next item, got "
            f"{solver!r:.80} ({type(solver).__name__})"
        )
    return solver  # type: ignore[no-any-return]
