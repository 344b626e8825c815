"""The rules of the mallocGame (arXiv:2305.07440) as compiled functions on four flat arrays.

The paper names the actions and the drop-backup; its rules could not be checked in a source. Those below are a complete
specification of their own, with closed intervals, float64 seconds and tolerances of 1e-12 relative to what is compared.

The functions work on the arrays ``P, Q`` (program and machine) and ``S, F`` (state) of :mod:`.arrays`; whoever calls
them from compiled code of their own needs nothing else. Legal at a position are DROP unless FORCED, and the fast option
(FAST) if there is one.
"""

from __future__ import annotations

import math
from typing import Any

from optimand.core.compiled import compiled

from . import arrays as ix
from .places import copy_start, place, reserve, take_copy_time


@compiled
def reset(P: Any, Q: Any, S: Any, F: Any) -> None:
    """Begin an episode: all groups may be fast again."""
    for g in range(P[ix.G]):
        S[P[ix.S_BACKED] + g] = 0
    S[ix.BACKUPS] = 0
    _clear(P, Q, S, F)
    _settle(P, Q, S, F)


@compiled
def step(P: Any, Q: Any, S: Any, F: Any, action: Any) -> Any:
    """Play an action; the reward in seconds, NaN (and nothing is done) where the action is illegal or none is left."""
    if S[ix.POSITION] >= P[ix.R] or action < 0:
        return math.nan
    if (action == ix.DROP and S[ix.FORCED] == 1) or (action != ix.DROP and action != S[ix.FAST]):
        return math.nan
    before = F[ix.TIME]
    _apply(P, Q, S, F, S[ix.POSITION], action)
    S[ix.POSITION] += 1
    _settle(P, Q, S, F)
    return before - F[ix.TIME]


@compiled
def _clear(P: Any, Q: Any, S: Any, F: Any) -> None:
    """The state before the first decision; which groups were backed up stays."""
    S[: ix.COUNT] = 0
    S[ix.COUNT] = 0
    for k in range(P[ix.R]):
        S[ix.DECISIONS + k] = -1
    for b in range(P[ix.B]):
        S[P[ix.S_CURRENT] + b] = -1
        S[P[ix.S_MISSING] + b] = P[P[ix.P_USES] + b]
    # Entries of residencies that do not exist are set too, so that equal states are equal arrays.
    for e in range(P[ix.S_WHOSE], P[ix.S_SIDE]):
        S[e] = 0
    for g in range(P[ix.G]):
        S[P[ix.S_SIDE] + g] = -1
        S[P[ix.S_ADDRESS] + g] = 0
    F[ix.TIME] = Q[ix.ALL_SLOW]
    for i in range(P[ix.N]):
        F[P[ix.F_TIME] + i] = Q[P[ix.Q_SLOW_TIME] + i]
        F[P[ix.F_USED] + i] = 0.0


@compiled
def _retime(P: Any, Q: Any, S: Any, F: Any, i: Any) -> None:
    """Bring the time of instruction ``i`` up to date, and the total with it."""
    seconds = 0.0
    for k in range(P[P[ix.P_FIRST] + i], P[P[ix.P_FIRST] + i + 1]):
        b = P[P[ix.P_BUFFER] + k]
        if S[ix.DECISIONS + k] <= ix.DROP:
            seconds += Q[P[ix.Q_SLOW] + b]
        else:
            seconds += Q[P[ix.Q_FAST] + b]
            # A fast output is written to slow memory too, unless all of its readers find it in fast memory.
            if P[P[ix.P_OUTPUT] + k] == 1 and (P[P[ix.P_LIVE] + b] == 1 or S[P[ix.S_MISSING] + b] > 0):
                seconds += Q[P[ix.Q_SLOW] + b]
    compute = Q[P[ix.Q_COMPUTE] + i]
    if compute > seconds:
        seconds = compute
    F[ix.TIME] += seconds - F[P[ix.F_TIME] + i]
    F[P[ix.F_TIME] + i] = seconds


@compiled
def _apply(P: Any, Q: Any, S: Any, F: Any, k: Any, action: Any) -> None:
    """Carry out a legal action on reference ``k``."""
    i = P[P[ix.P_INSTRUCTION] + k]
    b = P[P[ix.P_BUFFER] + k]
    group = P[P[ix.P_GROUP] + b]
    decides = group >= 0 and P[P[ix.P_BEGIN] + b] == k
    S[ix.DECISIONS + k] = action
    if action == ix.DROP:
        held = S[P[ix.S_CURRENT] + b]
        if held >= 0:
            if S[P[ix.S_END] + held] >= i:
                S[P[ix.S_END] + held] = P[P[ix.P_INSTRUCTION] + P[P[ix.P_PREVIOUS] + k]]
            S[P[ix.S_CURRENT] + b] = -1
        if decides:
            S[P[ix.S_SIDE] + group] = 0
        return
    if action == ix.NOCOPY and P[P[ix.P_OUTPUT] + k] == 0:
        S[P[ix.S_MISSING] + b] -= 1
        _retime(P, Q, S, F, i)
        definition = P[P[ix.P_DEFINITION] + b]
        if definition >= 0 and S[P[ix.S_MISSING] + b] == 0 and S[ix.DECISIONS + P[P[ix.P_BEGIN] + b]] == ix.NOCOPY:
            _retime(P, Q, S, F, definition)
        return
    address = -1
    if decides and S[P[ix.S_SIDE] + group] == 1:
        address = S[P[ix.S_ADDRESS] + group]
    start = i
    if action == ix.COPY:
        start = copy_start(P, Q, F, k)
        take_copy_time(P, Q, F, k, start)
    reserve(P, S, k, start, group, action != ix.COPY, address)
    if decides and address < 0:
        S[P[ix.S_SIDE] + group] = 1
        S[P[ix.S_ADDRESS] + group] = S[P[ix.S_LOW] + S[ix.COUNT] - 1]
    _retime(P, Q, S, F, i)


@compiled
def _settle(P: Any, Q: Any, S: Any, F: Any) -> None:
    """Find out what is legal at the position, taking a group back where its member cannot be served."""
    while True:
        k = S[ix.POSITION]
        S[ix.FAST] = 0
        S[ix.FORCED] = 0
        if k >= P[ix.R]:
            total = 0.0  # without the rounding of the steps, so that equal decisions have equal times
            for i in range(P[ix.N]):
                total += F[P[ix.F_TIME] + i]
            F[ix.TIME] = total
            return
        b = P[P[ix.P_BUFFER] + k]
        group = P[P[ix.P_GROUP] + b]
        if group >= 0 and S[P[ix.S_BACKED] + group] == 1:
            return
        S[ix.FAST] = _fast_option(P, Q, S, F, k)
        if group < 0 or P[P[ix.P_BEGIN] + b] != k or S[P[ix.S_SIDE] + group] < 0:
            return
        if S[P[ix.S_SIDE] + group] == 0:
            S[ix.FAST] = 0
            return
        if S[ix.FAST] > 0:
            S[ix.FORCED] = 1
            return
        _back_up(P, Q, S, F, group)


@compiled
def _fast_option(P: Any, Q: Any, S: Any, F: Any, k: Any) -> Any:
    i = P[P[ix.P_INSTRUCTION] + k]
    b = P[P[ix.P_BUFFER] + k]
    group = P[P[ix.P_GROUP] + b]
    size = P[P[ix.P_SIZE] + b]
    address = -1
    if group >= 0 and P[P[ix.P_BEGIN] + b] == k and S[P[ix.S_SIDE] + group] == 1:
        address = S[P[ix.S_ADDRESS] + group]
    output = P[P[ix.P_OUTPUT] + k] == 1
    if output:
        return ix.NOCOPY if place(P, S, i, i, size, group, output, address) >= 0 else 0
    held = S[P[ix.S_CURRENT] + b]
    if held >= 0 and S[P[ix.S_END] + held] >= i:
        return ix.NOCOPY
    if size > P[ix.CAPACITY]:
        return 0
    start = copy_start(P, Q, F, k)
    if start < 0:
        return 0
    return ix.COPY if place(P, S, start, i, size, group, output, address) >= 0 else 0


@compiled
def _back_up(P: Any, Q: Any, S: Any, F: Any, group: Any) -> None:
    """Return to the group's first decision, all of its references DROP from now on.

    A state is a function of its decisions, so replaying those before that decision is the snapshot taken there.
    """
    S[P[ix.S_BACKED] + group] = 1
    S[ix.BACKUPS] += 1
    first = P[P[ix.P_LEADER] + group]
    kept = S[ix.DECISIONS : ix.DECISIONS + first].copy()
    _clear(P, Q, S, F)
    for k in range(first):
        _apply(P, Q, S, F, k, kept[k])
    S[ix.POSITION] = first
