"""Solvers that play whole episodes: greedy, random, greedy with noise, and those that choose whole lifetimes.

First fit takes lifetimes in the order of definition, best fit by decreasing size. A buffer that the program computes is
either in fast memory from definition to last use or not at all; parameters stay in slow memory. This is what an
allocator without prefetching does. The mapping that is chosen is then played, and the game, which places by its own
rule, says what it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int, check_number

from ..game.simulator import Game
from .xla_like import Plan


def greedy(game: Game, rng: Any = None) -> Iterator[None]:
    """Take the fast option wherever there is one: a single episode."""
    game.play(np.ones(game.program.references, dtype=bool))
    yield


def random(game: Game, rng: Any, *, episodes: int | None = None) -> Iterator[None]:
    """Uniformly random episodes.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        episodes: how many; None for as many as the game allows.
    """
    yield from _episodes(game, rng, 0.5, episodes)


def noisy_greedy(game: Game, rng: Any, *, noise: float = 0.1, episodes: int | None = None) -> Iterator[None]:
    """The greedy episode, then greedy ones with random actions mixed in.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        noise: probability of drawing among the legal actions, in [0, 1].
        episodes: how many after the first; None for as many as the game allows.
    """
    check_number("noise", noise, low=0, high=1)
    yield from greedy(game)
    yield from _episodes(game, rng, 1.0 - noise / 2, episodes)


def _episodes(game: Game, rng: Any, fast_probability: float, episodes: int | None) -> Iterator[None]:
    """Ten episodes between two yields; the first unit is one."""
    left = float("inf") if episodes is None else check_int("episodes", episodes, low=1)
    stream = np.random.default_rng(rng)
    unit = 1
    while left > 0:
        count, unit = int(min(left, unit)), 10
        game.reset()
        game.play_random(int(stream.integers(2**62)), fast_probability, count)
        left -= count
        yield


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
