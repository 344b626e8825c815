"""Incumbents, by who found them: best times and trajectories of a game by source, and the moves of all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..game import arrays as ix
from ..game.simulator import Game
from .search.board import Board

SOURCES = ("demonstrations", "agent", "local")


@dataclass
class Best:
    """Best times of a game by who found them, infinite for none, with the decisions."""

    times: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SOURCES, float("inf")))
    actions: dict[str, NDArray[np.int8]] = field(default_factory=dict)

    @property
    def overall(self) -> NDArray[np.int8] | None:
        """The best decisions whoever found it."""
        return self.actions.get(min(self.times, key=self.times.__getitem__))

    @property
    def time(self) -> float:
        """The best time whoever found it."""
        return min(self.times.values())


class Incumbents:
    """Charges games for what a board spends, offers them what is found on it, and remembers who found it.

    Args:
        games: in the order of the board's programs.
        board: the programs. Its best trajectories are the agent's.
    """

    def __init__(self, games: Sequence[Game], board: Board) -> None:
        self.games, self.board = list(games), board
        self.best = [Best() for _ in self.games]
        self._before = board.moves.copy()

    def open(self) -> None:
        """Let each program spend what its game has left."""
        most = np.iinfo(np.int64).max
        self.board.moves[:] = [most if game.remaining is None else game.remaining for game in self.games]
        self._before = self.board.moves.copy()

    def close(self, complete: bool = True) -> int:
        """Charge the moves since ``open``, take over what the agent found, and return the moves.

        Raises:
            MovesSpent: not ``complete``, that is, the moves of a program ran out.
        """
        board = self.board
        spent = self._before - board.moves
        self._before = board.moves.copy()
        for g, game in enumerate(self.games):
            game.charge(int(spent[g]))
            self.keep("agent", g, float(board.best_time[g]), board.best[g, : int(board.p[g, ix.R])])
        if not complete:
            next(game for game in self.games if game.remaining == 0).charge(1)
        return int(spent.sum())

    def keep(self, source: str, g: int, time: float, actions: NDArray) -> None:
        """Note a complete trajectory if it is the source's best, and offer it to the game."""
        best = self.best[g]
        if time < best.times[source]:
            best.times[source], best.actions[source] = time, np.array(actions, np.int8)
            self.games[g].offer(actions)

    def load(self, best: list[Best]) -> None:
        """Take over the best trajectories of other incumbents of the same games."""
        self.best = copy.deepcopy(best)
        for g, found in enumerate(self.best):
            self.board.best_time[g] = found.times["agent"]
            if "agent" in found.actions:
                self.board.best[g, : len(found.actions["agent"])] = found.actions["agent"]
            if found.overall is not None:
                self.games[g].offer(found.overall)
