"""All heuristics in turn, then evolution, so that the result is at least that of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..game.simulator import Game
from . import get_solver

# What a budget is spent on first. Those with episodes or a width end by themselves.
BASELINES: dict[str, dict[str, Any]] = {
    "xla": {},
    "greedy": {},
    "best-fit": {},
    "first-fit": {},
    "noisy-greedy": {"episodes": 200},
    "beam": {"most": 128},
    "random": {"episodes": 100},
}


def solve(game: Game, rng: Any, *, agent: Callable[..., Iterator[None]] | None = None) -> Iterator[None]:
    """Play the baselines, then evolve from the best trajectory, XLA's and greedy's, in turn.

    The game keeps the best, so with the same seed and enough moves for the baselines (about 700 episodes) the result is
    at least as good as that of each of :data:`BASELINES` with the options given there.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        agent: another solver that makes half of the rest of the moves, the evolution the others; it need not end.
    """
    seed = rng if isinstance(rng, int) else int(np.random.default_rng(rng).integers(2**31))
    for name, options in BASELINES.items():
        yield from get_solver(name)(game, seed, **options)
    evolving = get_solver("evolution")(game, seed, starts=("best", "xla", "ones"))
    guided = None if agent is None else agent(game, np.random.default_rng(seed))
    own = others = 0
    while True:
        before = game.moves
        if guided is not None and own <= others:
            try:
                next(guided)
            except StopIteration:
                guided = None
            own += game.moves - before
        else:
            next(evolving)
            others += game.moves - before
        yield
