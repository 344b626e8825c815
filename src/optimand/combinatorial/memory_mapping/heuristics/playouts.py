"""Solvers that play whole episodes: greedy, random, and greedy with noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number

from ..game.simulator import Game


def greedy(game: Game, rng: Any = None) -> Iterator[None]:
    """Take the fast option wherever there is one: a single episode."""
    game.play(np.ones(game.program.references, dtype=bool))
    yield


def random(game: Game, rng: Any, *, episodes: int | None = None, chunk: int = 10) -> Iterator[None]:
    """Uniformly random episodes.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        episodes: how many; None for as many as the game allows.
        chunk: episodes between two yields; the first unit is one episode.
    """
    yield from _episodes(game, rng, 0.5, episodes, chunk)


def noisy_greedy(
    game: Game, rng: Any, *, noise: float = 0.1, episodes: int | None = None, chunk: int = 10
) -> Iterator[None]:
    """The greedy episode, then greedy ones with random actions mixed in.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        noise: probability of drawing among the legal actions, in [0, 1].
        episodes: how many after the first; None for as many as the game allows.
        chunk: episodes between two yields; the first unit is one episode.
    """
    check_number("noise", noise, low=0, high=1)
    yield from greedy(game)
    yield from _episodes(game, rng, 1.0 - noise / 2, episodes, chunk)


def _episodes(game: Game, rng: Any, fast_probability: float, episodes: int | None, chunk: int) -> Iterator[None]:
    check_int("chunk", chunk, low=1)
    left = float("inf") if episodes is None else check_int("episodes", episodes, low=1)
    stream = np.random.default_rng(rng)
    unit = 1
    while left > 0:
        count, unit = int(min(left, unit)), chunk
        game.reset()
        game.play_random(int(stream.integers(2**62)), fast_probability, count)
        left -= count
        yield
