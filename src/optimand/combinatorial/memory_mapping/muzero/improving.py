"""Trajectories from outside the search: demonstrations by heuristics, and a local search on action strings.

An action string has a bit for each reference: the fast action if it is legal there, else DROP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..game import arrays as ix
from ..heuristics.evolution import FLIPS, evolve
from ..heuristics.xla_like import xla_like
from .incumbents import Incumbents
from .replay import Replay
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
        """Programs and the strings that are to be shown on them; nothing is played.

        They are heuristics' strings as they are, three times the XLA-like one, and noisy copies of them: 3% of the bits
        flipped for the XLA-like, 10% of the choices drawn anew for greedy.
        """
        repeats, found = self.settings.demo_repeats, []
        for g, game in enumerate(self.incumbents.games):
            count = game.program.references
            greedy, good = np.ones(count, np.bool_), xla_like(game)
            strings = [good, good, good, greedy]
            strings += [good ^ (rng.random(count) < 0.03) for _ in range(repeats)]
            strings += [np.where(rng.random(count) < 0.1, rng.random(count) < 0.5, greedy) for _ in range(repeats)]
            found += [(g, fast) for fast in strings]
        return found

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
        """Local search from the best strings of programs, which share the moves; see ``heuristics.evolution``."""
        board = self.board
        for g in programs:
            references = int(board.p[g, ix.R])
            start, known = self.incumbents.best[g].overall, self.incumbents.best[g].time
            fast = np.ones(references, np.bool_) if start is None else start > 0
            tries, seed = max(1, int(moves / len(programs) / references)), int(rng.integers(2**31))
            self.incumbents.open()
            held, actions, flips = np.array([known]), np.zeros(references, np.int64), np.minimum(FLIPS, references)
            allowed = min(int(board.moves[g]), 2**62)
            made, _ = evolve(board.p[g], board.q[g], fast, held, flips, 0.3, tries, seed, allowed, actions)
            board.moves[g] -= min(int(made), allowed)
            if held[0] < known:
                self.incumbents.keep("local", g, float(held[0]), actions_of(board, g, fast))
            self.incumbents.close(int(made) <= allowed)
            if held[0] < known:
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
