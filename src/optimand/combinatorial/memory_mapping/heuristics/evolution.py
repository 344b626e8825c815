"""A (1+1) evolution of action strings, compiled as one loop.

An individual is a bit per reference: take the fast option if there is one, or drop. A child differs in a few bits, and
sometimes all references of one buffer are set alike, because keeping a buffer pays only if all of its uses follow.
"""

# ruff: noqa: NPY002 (the random numbers of compiled code, seeded on entry and apart from those of NumPy)
from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled
from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from ..game import arrays as ix
from ..game.episodes import play
from ..game.kernels import reset
from ..game.simulator import Game
from .xla_like import xla_like

STARTS = ("xla", "ones", "best", "random")
FLIPS = np.array([1, 1, 2, 3, 4, 6])  # numbers of bits to flip, drawn with equal odds


def solve(
    game: Game,
    rng: Any,
    *,
    starts: Sequence[str] = ("xla", "ones"),
    buffer_probability: float = 0.3,
    evaluations: int | None = None,
) -> Iterator[None]:
    """Evolve one string per start, in turn; a child replaces its parent if it is no worse.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes.
        starts: ``"xla"``, ``"ones"`` (greedy), ``"best"`` (of the game so far, else ones), ``"random"``.
        buffer_probability: of also setting all references of a random buffer to one random bit, in [0, 1].
        evaluations: how many over all; None for as many as the game allows. The starts are played first, each a unit of
            its own; after them a unit is 20 evaluations.

    Raises:
        OptimandError: no starts.
        TypeError, ValueError: numbers out of range.
    """
    check_number("buffer_probability", buffer_probability, low=0, high=1)
    left = float("inf") if evaluations is None else check_int("evaluations", evaluations, low=1)
    flips = np.minimum(FLIPS, game.program.references)
    stream = np.random.default_rng(rng)
    parents = [start_bits(start, game, stream) for start in ((starts,) if isinstance(starts, str) else starts)]
    if not parents:
        raise OptimandError("starts must not be empty")
    times = [np.full(1, np.inf) for _ in parents]
    actions = np.zeros(game.program.references, np.int64)
    units = itertools.chain([1], itertools.repeat(20))  # the starts as they are before anything is changed
    while left > 0:
        unit = next(units)
        for parent, time in zip(parents, times, strict=True):
            count = int(min(left, unit))
            if count == 0:
                return
            allowed = 2**62 if game.remaining is None else game.remaining
            seed = int(stream.integers(2**31))
            moves, found = evolve(
                game.P, game.Q, parent, time, flips, buffer_probability, count, seed, allowed, actions
            )
            if found:
                game.offer(actions)
            game.charge(int(moves))
            left -= count
            yield


def start_bits(start: str, game: Game, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The bits that a start stands for."""
    count = game.program.references
    check_choice("starts", start, STARTS)
    if start == "xla":
        return xla_like(game)
    if start == "random":
        return rng.random(count) < 0.5
    if start == "best" and game.best is not None:
        return game.best[1] > 0
    return np.ones(count, dtype=bool)


@compiled
def evolve(
    P: Any, Q: Any, bits: Any, time: Any, flips: Any, buffer_probability: Any, count: Any, seed: Any, most: Any,
    actions: Any,
) -> Any:  # fmt: skip
    """``count`` evaluations from ``bits``, whose time is ``time[0]`` (infinite: not yet played); both are updated.

    Returns:
        moves made (one more than ``most`` where that ended the loop within an episode), and whether the parent was
        played or bettered, in which case ``actions`` holds its decisions.
    """
    np.random.seed(seed)
    references = P[ix.R]
    S, F = np.empty(P[ix.S_LENGTH], np.int64), np.empty(P[ix.F_LENGTH])
    child = bits.copy()
    moves, found = 0, False
    for _ in range(count):
        if time[0] < np.inf:
            child[:] = bits
            for _ in range(flips[np.random.randint(flips.size)]):
                k = np.random.randint(references)
                child[k] = not child[k]
            if np.random.random() < buffer_probability:
                _set_buffer(P, child, np.random.randint(references), np.random.random() < 0.5)
        reset(P, Q, S, F)
        moves += play(P, Q, S, F, child, most - moves)
        if S[ix.POSITION] < references:
            return most + 1, found
        reached = F[ix.TIME]
        if reached <= time[0]:
            if reached < time[0]:
                found = True
                actions[:] = S[ix.DECISIONS : ix.DECISIONS + references]
            bits[:] = child
            time[0] = reached
    return moves, found


@compiled
def _set_buffer(P: Any, bits: Any, k: Any, value: Any) -> None:
    """Set all references of the buffer of reference ``k``."""
    from_buffer = P[P[ix.P_BUFFER] + k]
    for other in range(P[ix.R]):
        if P[P[ix.P_BUFFER] + other] == from_buffer:
            bits[other] = value
