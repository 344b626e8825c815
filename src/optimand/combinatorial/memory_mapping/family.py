"""The family ``memory-mapping``: which data of a program lie in fast memory, when and where; compared by moves."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family
from optimand.core.running import IDLE, BudgetSpent

from .loop import REHEARSAL, Task, check_solver, smallest

_EXPECTED = (
    "expected a generator function solve(game, rng, **hyper) that plays the game (game.reset(), game.legal(), "
    "game.step(action), game.play(fast)) and yields now and then"
)
# Numbers that are tuned where a user's method has them, a tenth to ten times the default.
_RATES = ("lr", "learning_rate", "temperature", "noise", "mutation")


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's solver into a method.

    Args:
        name: what the method is to be called.
        obj: a generator function ``solve(game, rng, **hyper)``, or a class of both whose instances are iterators.
            Hyperparameters and defaults are read from its signature; rates and noises are tuned from a tenth to ten
            times a positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small program.

    Example:
        >>> def all_slow(game, rng, tries=1):
        ...     for _ in range(tries):
        ...         game.reset()
        ...         while not game.done:
        ...             game.step(0)
        ...         yield
        >>> adopt("all-slow", all_slow).defaults
        {'tries': 1}
    """
    from .game.simulator import Game

    def build(task: Task, **hyper: Any) -> Any:
        return obj(task.game, task.rng, **hyper)

    def trial(method: Method) -> None:
        with contextlib.suppress(BudgetSpent, StopIteration):
            task = Task(Game(*smallest(), limit=REHEARSAL), np.random.default_rng(0))
            next(check_solver(name, build(task, **method.defaults)))

    return adoption.adopt(
        name,
        obj,
        family="memory-mapping",
        takes="game and generator",
        expected=_EXPECTED,
        on="a small program",
        trial=trial,
        build=build,
        leading=2,
        tuned=_RATES,
        factor=10,
    )


def describe(method: Method) -> dict[str, str]:
    """What a method finds within 2000 moves on the smallest recorded program, whose optimum is known."""
    from .game.simulator import Game

    game = Game(*smallest(), limit=2000)
    with contextlib.suppress(BudgetSpent):
        for _ in itertools.islice(method.build(Task(game, np.random.default_rng(0)), **method.defaults), IDLE):
            pass
    saved = 0.0 if game.best is None else game.all_slow_time - game.best[0]
    return {"time saved on the tiny program within 2000 moves (28.4 is most)": f"{saved:.1f}"}


add_family(
    Family(
        name="memory-mapping",
        guide="memory-mapping.md",
        summary="place a program's data in fast memory: a game whose return is the time saved; compared by moves",
        adopt=adopt,
        describe=describe,
        methods=("memory-greedy", "xla-like", "memory-evolution", "memory-mcts", "malloc-muzero"),
    )
)
