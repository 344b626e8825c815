"""mallocMuZero as solvers of ``map_memory`` and of the family: iterators that play on a game without end.

``mcts`` searches without a network, ``muzero`` with a trained one over the exact game, ``muzero-learned`` over a model
that is learned as well. Each keeps its incumbents by source, so that what the search found can be told from
demonstrations and local search; the game itself keeps the best of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..game import arrays as ix
from ..game.simulator import Game
from .settings import Settings
from .trainer import Trainer

MCTS = Settings(model="none", guide="adaptive", lanes=2, local_share=0.25)
MUZERO = Settings(model="exact", root="puct")
LEARNED = Settings(model="learned", root="gumbel", width=32, updates=4, batch=64)  # an update unrolls five steps


class Solver(Iterator[None]):
    """An agent that plays on a game, a unit of work for each item; what it is in the middle of can be saved.

    Args:
        game: played on; its limit ends the search with MovesSpent.
        rng: gives the seed.
        settings: of the trainer.
    """

    def __init__(self, game: Game, rng: np.random.Generator, settings: Settings) -> None:
        self.trainer = Trainer(game, int(rng.integers(2**31)), settings)
        self._forced = bool(self.trainer.board.start_ints[0, ix.POSITION] >= game.program.references)
        self._ended = False

    def __next__(self) -> None:
        """Do a unit: a demonstration, a decision in each lane, or the last one with the training after it."""
        if self._ended:
            raise StopIteration
        try:
            report = self.trainer.step()
        except BaseException:
            self.close()
            raise
        if report is not None and self._forced:  # nothing to decide: one trajectory is all there is
            self.close()

    def close(self) -> None:
        """Make no further units."""
        self._ended = True

    def state_dict(self) -> dict[str, Any]:
        """What a continuation needs beside the game's moves; it can be pickled."""
        return {"trainer": self.trainer.state_dict(), "ended": self._ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a solver of the same game and settings was."""
        self.trainer.load_state_dict(state["trainer"])
        self._ended = bool(state["ended"])


def mcts(game: Game, rng: np.random.Generator, **hyper: Any) -> Solver:
    """Tree search over the exact game with playouts as leaves and even priors.

    Playouts follow the best trajectory so far with odds that adapt to it; ``guide="uniform"`` plays at random.

    Args:
        game: played on; its limit ends the search.
        rng: gives the seed.
        hyper: changes of ``MCTS``, by the names of :class:`Settings`.

    Returns:
        An iterator with a unit of work for each item, ``state_dict`` and ``load_state_dict``.
    """
    return Solver(game, rng, Settings.of(MCTS, **hyper))


def muzero(game: Game, rng: np.random.Generator, **hyper: Any) -> Solver:
    """Tree search over the exact game with a network that is trained on its results; arguments as in ``mcts``."""
    return Solver(game, rng, Settings.of(MUZERO, **hyper))


def muzero_learned(game: Game, rng: np.random.Generator, **hyper: Any) -> Solver:
    """MuZero with a learned model, which searches without moves of the game; arguments as in ``mcts``."""
    return Solver(game, rng, Settings.of(LEARNED, **hyper))


SOLVERS = {"mcts": mcts, "muzero": muzero, "muzero-learned": muzero_learned}
