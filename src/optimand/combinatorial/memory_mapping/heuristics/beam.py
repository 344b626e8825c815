"""Beam search on the program's time, compiled: states advance together, the best so many stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from optimand.core.compiled import compiled
from optimand.core.validation import check_int

from ..game import arrays as ix
from ..game.kernels import reset, step
from ..game.simulator import Game

WIDTH = 128  # at first
_ROOM = 2**27


def solve(game: Game, rng: Any = None, *, width: int = WIDTH, most: int | None = None) -> Iterator[None]:
    """Beam searches of growing width.

    The states with the least time so far stay; times are compared after rounding to 12 digits of the all-slow time,
    ties by the order of insertion, so that the result does not depend on rounding. Keeping an output costs its slow
    write until all of its readers are served, so this measure is short-sighted, and a wider beam need not be better.

    Args:
        game: to be played on.
        rng: not used; the search is deterministic.
        width: states kept at first; doubled after each search.
        most: end after the search of this width; None goes on while the game allows, until nothing was cut off, or
            until the states would take more than 128 MiB.
    """
    check_int("width", width, low=1)
    if most is None:
        state = 3 * 8 * int(game.P[ix.S_LENGTH] + game.P[ix.F_LENGTH])  # bytes; the beam and twice as many successors
        most = max(width, _ROOM // state)
    check_int("most", most, low=width)
    actions = np.zeros(game.program.references, np.int64)
    while width <= most:
        left = game.remaining
        moves, least, cut = _beam(game.P, game.Q, width, 2**62 if left is None else left, actions)
        if least < np.inf:
            game.offer(actions)
        game.charge(int(moves))
        yield
        if not cut:
            return
        width *= 2


@compiled
def _beam(P: Any, Q: Any, width: Any, most: Any, actions: Any) -> Any:
    """One search: moves made (one more than ``most`` if that ended it), least time, and whether states were cut."""
    states = np.empty((width, P[ix.S_LENGTH]), np.int64)
    times = np.empty((width, P[ix.F_LENGTH]))
    next_states = np.empty((2 * width, P[ix.S_LENGTH]), np.int64)
    next_times = np.empty((2 * width, P[ix.F_LENGTH]))
    reset(P, Q, states[0], times[0])
    count, moves, least, cut = 1, 0, np.inf, False
    while count > 0:
        total = 0
        for c in range(count):
            fast = states[c, ix.FAST]
            for option in range(2):
                if option == 0 and states[c, ix.FORCED] == 1:
                    continue
                if option == 1 and fast == 0:
                    continue
                if moves >= most:
                    return moves + 1, least, cut
                S, F = next_states[total], next_times[total]
                S[:] = states[c]
                F[:] = times[c]
                step(P, Q, S, F, fast if option == 1 else np.int64(ix.DROP))
                moves += 1
                if S[ix.POSITION] < P[ix.R]:
                    total += 1
                elif F[ix.TIME] < least:
                    least = F[ix.TIME]
                    actions[:] = S[ix.DECISIONS : ix.DECISIONS + P[ix.R]]
        keys = np.empty(total, np.int64)
        for c in range(total):
            keys[c] = np.int64(np.round(next_times[c, ix.TIME] / Q[ix.ALL_SLOW] * 1e12))
        order = np.argsort(keys, kind="mergesort")
        cut = cut or total > width
        count = min(width, total)
        for c in range(count):
            states[c] = next_states[order[c]]
            times[c] = next_times[order[c]]
    return moves, least, cut
