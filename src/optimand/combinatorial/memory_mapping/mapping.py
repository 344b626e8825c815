"""``map_memory``: a program and a machine in, a checked layout of fast memory out."""

from __future__ import annotations

import inspect
import math
import time
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from optimand.core.running import BudgetSpent
from optimand.core.validation import check_choice, check_int, check_number, suggest

from . import heuristics
from .game.hardware import Hardware
from .game.program import MemoryProgram
from .game.simulator import Game
from .game.validation import validate
from .heuristics.beam import WIDTH as BEAM_WIDTH

AGENTS = ("muzero", "muzero-learned", "mcts")
METHODS = (*heuristics.SOLVERS, *AGENTS)

_EPISODES = 4000  # of a budget that is not given; the portfolio's baselines take about 700


def map_memory(
    program: MemoryProgram,
    hardware: Hardware,
    method: str = "portfolio",
    *,
    budget: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    bound_seconds: float = 0.0,
    **hyper: Any,
) -> OptimizeResult:
    """Decide which uses of which buffers fast memory serves, and at which addresses, so that the program is fast.

    Args:
        program: instructions and buffers.
        hardware: the two memories.
        method: ``"portfolio"`` (all heuristics, then evolution), ``"xla"``, ``"greedy"``, ``"random"``,
            ``"noisy-greedy"``, ``"beam"``, ``"evolution"``, ``"first-fit"``, ``"best-fit"``, ``"cp-sat"``; or the
            agents ``"muzero"``, ``"muzero-learned"`` and ``"mcts"``.
        budget: moves of the game, one per decision; None for 4000 episodes, or, where ``seconds`` are given, no limit.
        seconds: wall time, looked at between the method's units of work; None for no limit. CP-SAT is told it. The
            first units of an agent also load PyTorch, compile where that was never done, and learn from
            demonstrations, which takes some seconds (half a minute where it compiles). A result that is to be repeated
            needs a budget instead.
        seed: of the method's random choices.
        bound_seconds: time for CP-SAT to bound what can be reached; 0 takes the bound without a capacity, as if all
            data were in fast memory, which is far out of reach where fast memory is small.
        hyper: the method's own arguments; ``agent="muzero"`` makes the portfolio share its moves with an agent.

    Returns:
        OptimizeResult with ``x`` (:class:`~optimand.combinatorial.memory_mapping.Layout`, validated), ``fun`` (seconds
        of the program), ``speedup`` (over everything in slow memory), ``actions``, ``bound`` (seconds that no mapping
        can beat), ``bound_kind`` (``"without capacity"`` or ``"cp-sat"``), ``gap`` (``fun / bound - 1``,
            the distance to that bound), ``all_slow_time``, ``moves``, ``seconds``, ``success``, ``message``.

    Raises:
        TypeError, ValueError: an unknown method, numbers out of range, arguments that the method does not have.
        OptimandError: a package that the method needs is missing.

    References:
        Wang et al., Optimizing Memory Mapping Using Deep Reinforcement Learning, arXiv:2305.07440.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Hardware, tiny_program
        >>> found = map_memory(tiny_program(), Hardware.preset("tiny", capacity=6), "evolution", budget=20_000)
        >>> round(found.all_slow_time - found.fun, 9)
        17.6
    """
    check_choice("method", method, METHODS)
    if budget is not None:
        check_int("budget", budget, low=1)
    limit = math.inf if seconds is None else check_number("seconds", seconds, low=0, low_open=True)
    check_int("seed", seed, low=0)
    check_number("bound_seconds", bound_seconds, low=0)
    if isinstance(program, MemoryProgram) and budget is None and seconds is None:
        budget = _EPISODES * program.references
    if method == "cp-sat" and "effort" not in hyper and seconds is not None:
        hyper["seconds"] = seconds
    game = Game(program, hardware, limit=budget)
    begin = time.monotonic()
    function = _solver(method, hyper)
    _check_options(method, function, hyper)
    # Agents draw from a generator; the others make one from the seed, the portfolio one for each member.
    solver = function(game, np.random.default_rng(seed) if method in AGENTS else seed, **hyper)
    message = _exhaust(solver, begin + limit, f"the limit of {limit:g} seconds is reached", budget)
    elapsed = time.monotonic() - begin
    if game.best is None:
        game.offer(np.zeros(program.references, np.int8))
        message += _nothing_completed(method, hyper, program)
    layout = game.layout()
    validate(program, hardware, layout)
    bound, bound_kind = _bound(game, bound_seconds)
    assert game.best is not None
    fun, actions = game.best
    return OptimizeResult(  # type: ignore[call-arg]
        x=layout,
        fun=fun,
        speedup=game.all_slow_time / fun,
        actions=actions,
        bound=bound,
        bound_kind=bound_kind,
        gap=max(0.0, fun / bound - 1) if bound > 0 else 0.0,
        all_slow_time=game.all_slow_time,
        moves=game.moves,
        seconds=elapsed,
        success=True,
        message=message,
    )


def _bound(game: Game, seconds: float) -> tuple[float, str]:
    """Seconds that no mapping can beat, and what says so."""
    if seconds <= 0:
        return game.least_time, "without capacity"
    from .heuristics.cp_sat import relax

    return max(game.least_time, relax(game.program, game.hardware, seconds=seconds).bound), "cp-sat"


def _nothing_completed(method: str, hyper: dict[str, Any], program: MemoryProgram) -> str:
    """What the message says where no layout was complete in time."""
    text = "; no episode was completed, so everything stays in slow memory"
    if method == "beam":
        width = hyper.get("width", BEAM_WIDTH)
        text += f"; a beam search of width {width} takes up to {2 * width * program.references} moves"
    return text


def _solver(method: str, hyper: dict[str, Any]) -> Any:
    """The generator function of a method; an agent's name among ``hyper`` becomes its function."""
    if isinstance(hyper.get("agent"), str):
        hyper["agent"] = _agent(hyper["agent"])
    return _agent(method) if method in AGENTS else heuristics.get_solver(method)


def _exhaust(solver: Any, end: float, late: str, budget: int | None) -> str:
    """Let the solver work to its end, that of its moves, or until the clock shows ``end``; says which it was."""
    try:
        while True:
            next(solver)
            if time.monotonic() >= end:
                return late
    except StopIteration as stop:
        return "the method has nothing more to try" + (f": {stop.value}" if stop.value else "")
    except BudgetSpent:
        return f"the budget of {budget} moves is spent"
    finally:
        solver.close()


def _check_options(method: str, function: Any, hyper: dict[str, Any]) -> None:
    """TypeError that names the method's options where there is another."""
    kinds = inspect.Parameter
    takes = inspect.signature(function).parameters.values()
    known = [x.name for x in takes if x.kind is kinds.KEYWORD_ONLY]
    if any(x.kind is kinds.VAR_KEYWORD for x in takes):
        from .muzero.settings import Settings

        known += [x.name for x in fields(Settings)]
    for name in hyper:
        if name not in known:
            has = f"its options are {', '.join(known)}" if known else "it has no options"
            raise TypeError(f"method {method!r} has no option {name!r}; {has}{suggest(name, known)}")


def _agent(name: str) -> Any:
    from .muzero.solvers import SOLVERS

    return SOLVERS[check_choice("agent", name, AGENTS)]
