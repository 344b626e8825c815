"""Baselines that choose whole lifetimes: first fit in the order of definition, best fit by decreasing size.

A buffer that the program computes is either in fast memory from definition to last use or not at all; parameters stay
in slow memory. This is what an allocator without prefetching does. The mapping that is chosen is then played, and the
game, which places by its own rule, says what it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..game.simulator import Game
from .xla_like import Plan


def first_fit(game: Game, rng: Any = None) -> Iterator[None]:
    """Lifetimes in the order of definition, each at the lowest free address if there is room."""
    game.play(_lifetimes(game, best=False))
    yield


def best_fit(game: Game, rng: Any = None) -> Iterator[None]:
    """Lifetimes by decreasing size, each into the tightest hole if there is room."""
    game.play(_lifetimes(game, best=True))
    yield


class _BestFit(Plan):
    """Placements into the tightest hole."""

    def lowest_free(self, start: int, end: int, size: int) -> int:
        low, found, tightest = 0, -1, self.hardware.capacity + 1
        meeting = sorted((x[2], x[3]) for x in self.taken if x[0] <= end and x[1] >= start)
        for bottom, top in (*meeting, (self.hardware.capacity, self.hardware.capacity)):
            if size <= bottom - low < tightest:
                found, tightest = low, bottom - low
            low = max(low, top)
        return found


def _lifetimes(game: Game, *, best: bool) -> NDArray[np.bool_]:
    program = game.program
    plan = (_BestFit if best else Plan)(program, game.hardware)
    computed = [b for b, buffer in enumerate(program.buffers) if not buffer.param]
    computed.sort(key=lambda b: (-program.buffers[b].size if best else 0, program.buffer_first_ref[b]))
    for b in computed:
        plan.keep_whole(b)
    return plan.fast
