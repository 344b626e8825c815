"""Trajectories from outside the search: demonstrations by heuristics, and a local search on action strings.

An action string has a bit for each reference: the fast action if it is legal there, else DROP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..game.simulator import Game
from ..heuristics.evolution import evolve
from ..heuristics.xla_like import xla_mapping
from .search.board import Board

FLIPS = np.array([1, 1, 2, 3, 4, 6])


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
