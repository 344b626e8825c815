"""Trajectories from outside the search: demonstrations by heuristics, and a local search on action strings.

An action string has a bit for each reference: the fast action if it is legal there, else DROP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..game import arrays as ix
from ..game.simulator import Game
from ..heuristics.evolution import FLIPS, evolve
from ..heuristics.xla_like import xla_mapping
from .incumbents import Incumbents
from .replay import Replay
from .search.board import Board
from .selfplay import actions_of, episode_of
from .settings import Settings


class Outside:
    """Plays strings and puts them into the replay, without crediting them to the agent.

    Args:
        incumbents: note who found what; they have games and board.
        replay: what is learned from.
        settings: of the trainer.
    """

    def __init__(self, incumbents: Incumbents, replay: Replay, settings: Settings) -> None:
        self.incumbents, self.replay, self.settings = incumbents, replay, settings
        self.board = incumbents.board

    def strings(self, rng: np.random.Generator) -> list[tuple[int, NDArray[np.bool_]]]:
        """Programs and the strings that are to be shown on them."""
        repeats = self.settings.demo_repeats
        return [(g, fast) for g, game in enumerate(self.incumbents.games) for fast in strings_of(game, repeats, rng)]

    def show(self, g: int, fast: NDArray[np.bool_], *, source: str, repeats: int = 1) -> None:
        """Play a string and put it into the replay."""
        self.incumbents.open()
        found = episode_of(self.board, g, fast)
        self.incumbents.close(found is not None)
        assert found is not None
        time, actions, episode = found
        self.incumbents.keep(source, g, time, actions)
        for _ in range(repeats):
            self.replay.add(episode)

    def climb(self, programs: list[int], moves: float, rng: np.random.Generator) -> None:
        """Local search from the best strings of programs, which share the moves."""
        for g in programs:
            references = int(self.board.p[g, ix.R])
            best = self.incumbents.best[g]
            start, known = best.overall, best.time
            fast = np.ones(references, np.bool_) if start is None else start > 0
            tries, seed = max(1, int(moves / len(programs) / references)), int(rng.integers(2**31))
            self.incumbents.open()
            time, complete = climb(self.board, g, fast, known, tries, seed)
            if time < known:
                self.incumbents.keep("local", g, time, actions_of(self.board, g, fast))
            self.incumbents.close(complete)
            if time < known:
                self.show(g, fast, source="local", repeats=3)

    def steer(self, rate: float) -> None:
        """Move the odds of adaptive playouts towards the best strings."""
        settings = self.settings
        if settings.guide != "adaptive":
            return
        for g, best in enumerate(self.incumbents.best):
            actions = best.overall
            if actions is None:
                continue
            guide = self.board.guide[g, : len(actions)]
            guide += rate * ((actions > 0) - guide)
            np.clip(guide, settings.guide_floor, 1.0 - settings.guide_floor, out=guide)


def climb(board: Board, g: int, bits: NDArray[np.bool_], time: float, tries: int, seed: int) -> tuple[float, bool]:
    """Improve an action string in place by a (1 + 1) evolution that accepts ties; see ``heuristics.evolution``.

    Args:
        board: the programs; what is found is not offered to its games' incumbents.
        g: the program.
        bits: (R,), improved in place.
        time: seconds of ``bits``; infinite for unknown.
        tries: strings that are played.
        seed: of the evolution.

    Returns:
        The time of ``bits`` and whether the moves sufficed.
    """
    held, actions = np.array([time]), np.zeros(len(bits), np.int64)
    flips = np.minimum(FLIPS, len(bits))
    allowed = min(int(board.moves[g]), 2**62)
    moves, _ = evolve(board.p[g], board.q[g], bits, held, flips, 0.3, tries, seed, allowed, actions)
    board.moves[g] -= min(int(moves), allowed)
    return float(held[0]), int(moves) <= allowed


def strings_of(game: Game, repeats: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Action strings to learn from: heuristics' as they are, three times the XLA-like one, and noisy copies of them.

    Args:
        game: whose program and machine the heuristics map; nothing is played.
        repeats: noisy copies of each heuristic's string: 3% of the bits flipped for the XLA-like, 10% of the choices
            drawn anew for greedy.
        rng: draws the noise.
    """
    references = game.program.references
    greedy = np.ones(references, np.bool_)
    good = xla_mapping(game.program, game.hardware)[0]
    strings = [good, good, good, greedy]
    strings += [good ^ (rng.random(references) < 0.03) for _ in range(repeats)]
    strings += [np.where(rng.random(references) < 0.1, rng.random(references) < 0.5, greedy) for _ in range(repeats)]
    return strings
