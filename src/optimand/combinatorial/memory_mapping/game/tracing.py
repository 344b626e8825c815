"""From decisions to a layout: a replay on the side that notes where buffers lie and when they are copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimand.core.validation import OptimandError

from . import arrays as ix
from . import kernels
from .layouts import Copy, Layout, Residency

if TYPE_CHECKING:
    from .program import MemoryProgram
    from .simulator import Game


def trace_layout(game: Game, actions: ix.Ints) -> Layout:
    """The layout of a trajectory.

    Args:
        game: its state stays as it is, and no move is counted.
        actions: a decision for each reference; one that comes up again after a backup is taken again.

    Raises:
        ValueError: an action is illegal.
        OptimandError: the trajectory fails (mode ``terminal``).
    """
    program, P, Q = game.program, game.P, game.Q
    S, F = ix.make_state(P)
    kernels.reset(P, Q, S, F)
    first, last = P[ix.F_USED], P[ix.F_USED] + len(program.instructions)
    copies: dict[int, Copy] = {}
    while S[ix.POSITION] < program.references:
        k, before = int(S[ix.POSITION]), F[first:last].copy()
        reward = kernels.step(P, Q, S, F, int(actions[k]))
        if np.isnan(reward):
            raise ValueError(f"actions[{k}] is illegal there, got {int(actions[k])}")
        if S[ix.POSITION] == k + 1 and actions[k] == ix.COPY:
            taken = F[first:last] - before
            seconds = {int(j): float(taken[j]) for j in np.flatnonzero(taken)}
            copies[k] = Copy(int(program.ref_buffer[k]), int(program.ref_instruction[k]), seconds)
        elif S[ix.POSITION] <= k:  # a backup: what came after the group's first decision is undone
            copies = {at: copy for at, copy in copies.items() if at < S[ix.POSITION]}
    if S[ix.FAILED]:
        raise OptimandError("these actions end in an alias group that cannot be served; there is no layout")
    decisions = tuple(S[ix.DECISIONS :][: program.references].tolist())
    return Layout(
        residencies=residencies_of(program, P, S),
        time=float(F[ix.TIME]),
        actions=decisions,
        copies=tuple(copies[k] for k in sorted(copies)),
        all_slow_time=game.all_slow_time,
        capacity=game.hardware.capacity,
        program=program.name,
        backups=int(S[ix.BACKUPS]),
    )


def residencies_of(program: MemoryProgram, P: ix.Ints, S: ix.Ints) -> tuple[Residency, ...]:
    """The residencies of a state, in the order in which they were decided."""
    parts = (ix.S_WHOSE, ix.S_START, ix.S_END, ix.S_LOW)
    rows = zip(*(S[P[part] :][: S[ix.COUNT]].tolist() for part in parts), strict=True)
    buffers = program.buffers
    return tuple(Residency(b, start, end, low, buffers[b].size, buffers[b].name) for b, start, end, low in rows)
