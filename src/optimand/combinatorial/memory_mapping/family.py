"""The family ``memory-mapping``: which data of a program lie in fast memory, when and where; compared by moves."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from optimand.core.adoption import around_defaults, origin_of, read_hyperparameters, tried_on
from optimand.core.catalog import Family, Method, add_family, first_line
from optimand.core.space import Dimension

from .loop import IDLE_UNITS, REHEARSAL, Task, check_solver, smallest

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
    from .game.simulator import Game, MovesSpent

    defaults = read_hyperparameters(name, obj, takes="game and generator", expected=_EXPECTED, leading=2)

    def build(task: Task, **hyper: Any) -> Any:
        return obj(task.game, task.rng, **hyper)

    space: Mapping[str, Dimension] = around_defaults(defaults, _RATES, factor=10)
    method = Method(
        name=name,
        family="memory-mapping",
        build=build,
        defaults=defaults,
        space=space,
        summary=first_line(obj),
        origin=origin_of(name, obj),
    )
    with tried_on(name, "a small program", _EXPECTED), contextlib.suppress(MovesSpent, StopIteration):
        task = Task(Game(*smallest(), limit=REHEARSAL), np.random.default_rng(0))
        next(check_solver(name, build(task, **defaults)))
    return method


def describe(method: Method) -> dict[str, str]:
    """What a method finds within 2000 moves on the smallest recorded program, whose optimum is known."""
    from .game.simulator import Game, MovesSpent

    game = Game(*smallest(), limit=2000)
    with contextlib.suppress(MovesSpent):
        for _ in itertools.islice(method.build(Task(game, np.random.default_rng(0)), **method.defaults), IDLE_UNITS):
            pass
    saved = 0.0 if game.best is None else game.all_slow_time - game.best[0]
    return {"time saved on the tiny program within 2000 moves (28.4 is most)": f"{saved:.1f}"}


add_family(
    Family(
        name="memory-mapping",
        takes="a generator function `solve(game, rng)` that plays and yields now and then",
        guide="memory-mapping.md",
        summary="place a program's data in fast memory: a game whose return is the time saved; compared by moves",
        adopt=adopt,
        describe=describe,
        methods=("memory-greedy", "xla-like", "memory-evolution", "memory-mcts", "malloc-muzero"),
    )
)
