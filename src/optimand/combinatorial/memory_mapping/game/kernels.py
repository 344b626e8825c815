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

from .arrays import *  # noqa: F403 (whoever works on the arrays finds their names beside the functions)
from .arrays import (
    ALL_SLOW,
    BACKUPS,
    CAPACITY,
    COPY,
    COUNT,
    DECISIONS,
    DROP,
    F_TIME,
    F_USED,
    FAILED,
    FAST,
    FORCED,
    MODE,
    NOCOPY,
    P_BEGIN,
    P_BUFFER,
    P_DEFINITION,
    P_FIRST,
    P_GROUP,
    P_INSTRUCTION,
    P_LEADER,
    P_LIVE,
    P_OUTPUT,
    P_PREVIOUS,
    P_SIZE,
    P_USES,
    POSITION,
    Q_COMPUTE,
    Q_FAST,
    Q_SLOW,
    Q_SLOW_TIME,
    S_ADDRESS,
    S_BACKED,
    S_CURRENT,
    S_END,
    S_LOW,
    S_MISSING,
    S_SIDE,
    S_WHOSE,
    TIME,
    B,
    G,
    N,
    R,
)
from .places import copy_start, place, reserve, take_copy_time


@compiled
def reset(P: Any, Q: Any, S: Any, F: Any) -> None:
    """Begin an episode: all groups may be fast again."""
    for g in range(P[G]):
        S[P[S_BACKED] + g] = 0
    S[BACKUPS] = 0
    _clear(P, Q, S, F)
    _settle(P, Q, S, F)


@compiled
def step(P: Any, Q: Any, S: Any, F: Any, action: Any) -> Any:
    """Play an action; the reward in seconds, NaN (and nothing is done) where the action is illegal or none is left."""
    if S[POSITION] >= P[R] or action < 0:
        return math.nan
    if (action == DROP and S[FORCED] == 1) or (action != DROP and action != S[FAST]):
        return math.nan
    before = F[TIME]
    _apply(P, Q, S, F, S[POSITION], action)
    S[POSITION] += 1
    _settle(P, Q, S, F)
    if S[FAILED] == 1:
        return -Q[ALL_SLOW]
    return before - F[TIME]


@compiled
def _clear(P: Any, Q: Any, S: Any, F: Any) -> None:
    """The state before the first decision; which groups were backed up stays."""
    S[:COUNT] = 0
    S[COUNT] = 0
    S[FAILED] = 0
    for k in range(P[R]):
        S[DECISIONS + k] = -1
    for b in range(P[B]):
        S[P[S_CURRENT] + b] = -1
        S[P[S_MISSING] + b] = P[P[P_USES] + b]
    # Entries of residencies that do not exist are set too, so that equal states are equal arrays.
    for e in range(P[S_WHOSE], P[S_SIDE]):
        S[e] = 0
    for g in range(P[G]):
        S[P[S_SIDE] + g] = -1
        S[P[S_ADDRESS] + g] = 0
    F[TIME] = Q[ALL_SLOW]
    for i in range(P[N]):
        F[P[F_TIME] + i] = Q[P[Q_SLOW_TIME] + i]
        F[P[F_USED] + i] = 0.0


@compiled
def _retime(P: Any, Q: Any, S: Any, F: Any, i: Any) -> None:
    """Bring the time of instruction ``i`` up to date, and the total with it."""
    seconds = 0.0
    for k in range(P[P[P_FIRST] + i], P[P[P_FIRST] + i + 1]):
        b = P[P[P_BUFFER] + k]
        if S[DECISIONS + k] <= DROP:
            seconds += Q[P[Q_SLOW] + b]
        else:
            seconds += Q[P[Q_FAST] + b]
            # A fast output is written to slow memory too, unless all of its readers find it in fast memory.
            if P[P[P_OUTPUT] + k] == 1 and (P[P[P_LIVE] + b] == 1 or S[P[S_MISSING] + b] > 0):
                seconds += Q[P[Q_SLOW] + b]
    compute = Q[P[Q_COMPUTE] + i]
    if compute > seconds:
        seconds = compute
    F[TIME] += seconds - F[P[F_TIME] + i]
    F[P[F_TIME] + i] = seconds


@compiled
def _apply(P: Any, Q: Any, S: Any, F: Any, k: Any, action: Any) -> None:
    """Carry out a legal action on reference ``k``."""
    i = P[P[P_INSTRUCTION] + k]
    b = P[P[P_BUFFER] + k]
    group = P[P[P_GROUP] + b]
    decides = group >= 0 and P[P[P_BEGIN] + b] == k
    S[DECISIONS + k] = action
    if action == DROP:
        held = S[P[S_CURRENT] + b]
        if held >= 0:
            if S[P[S_END] + held] >= i:
                S[P[S_END] + held] = P[P[P_INSTRUCTION] + P[P[P_PREVIOUS] + k]]
            S[P[S_CURRENT] + b] = -1
        if decides:
            S[P[S_SIDE] + group] = 0
        return
    if action == NOCOPY and P[P[P_OUTPUT] + k] == 0:
        S[P[S_MISSING] + b] -= 1
        _retime(P, Q, S, F, i)
        definition = P[P[P_DEFINITION] + b]
        if definition >= 0 and S[P[S_MISSING] + b] == 0 and S[DECISIONS + P[P[P_BEGIN] + b]] == NOCOPY:
            _retime(P, Q, S, F, definition)
        return
    address = -1
    if decides and S[P[S_SIDE] + group] == 1:
        address = S[P[S_ADDRESS] + group]
    start = i
    if action == COPY:
        start = copy_start(P, Q, F, k)
        take_copy_time(P, Q, F, k, start)
    reserve(P, S, k, start, group, action != COPY, address)
    if decides and address < 0:
        S[P[S_SIDE] + group] = 1
        S[P[S_ADDRESS] + group] = S[P[S_LOW] + S[COUNT] - 1]
    _retime(P, Q, S, F, i)


@compiled
def _settle(P: Any, Q: Any, S: Any, F: Any) -> None:
    """Find out what is legal at the position, taking a group back where its member cannot be served."""
    while True:
        k = S[POSITION]
        S[FAST] = 0
        S[FORCED] = 0
        if k >= P[R]:
            total = 0.0  # without the rounding of the steps, so that equal decisions have equal times
            for i in range(P[N]):
                total += F[P[F_TIME] + i]
            F[TIME] = total
            return
        b = P[P[P_BUFFER] + k]
        group = P[P[P_GROUP] + b]
        if group >= 0 and S[P[S_BACKED] + group] == 1:
            return
        S[FAST] = _fast_option(P, Q, S, F, k)
        if group < 0 or P[P[P_BEGIN] + b] != k or S[P[S_SIDE] + group] < 0:
            return
        if S[P[S_SIDE] + group] == 0:
            S[FAST] = 0
            return
        if S[FAST] > 0:
            S[FORCED] = 1
            return
        if P[MODE] == 1:
            S[FAILED] = 1
            S[POSITION] = P[R]
            return
        _back_up(P, Q, S, F, group)


@compiled
def _fast_option(P: Any, Q: Any, S: Any, F: Any, k: Any) -> Any:
    i = P[P[P_INSTRUCTION] + k]
    b = P[P[P_BUFFER] + k]
    group = P[P[P_GROUP] + b]
    size = P[P[P_SIZE] + b]
    address = -1
    if group >= 0 and P[P[P_BEGIN] + b] == k and S[P[S_SIDE] + group] == 1:
        address = S[P[S_ADDRESS] + group]
    output = P[P[P_OUTPUT] + k] == 1
    if output:
        return NOCOPY if place(P, S, i, i, size, group, output, address) >= 0 else 0
    held = S[P[S_CURRENT] + b]
    if held >= 0 and S[P[S_END] + held] >= i:
        return NOCOPY
    if size > P[CAPACITY]:
        return 0
    start = copy_start(P, Q, F, k)
    if start < 0:
        return 0
    return COPY if place(P, S, start, i, size, group, output, address) >= 0 else 0


@compiled
def _back_up(P: Any, Q: Any, S: Any, F: Any, group: Any) -> None:
    """Return to the group's first decision, all of its references DROP from now on.

    A state is a function of its decisions, so replaying those before that decision is the snapshot taken there.
    """
    S[P[S_BACKED] + group] = 1
    S[BACKUPS] += 1
    first = P[P[P_LEADER] + group]
    kept = S[DECISIONS : DECISIONS + first].copy()
    _clear(P, Q, S, F)
    for k in range(first):
        _apply(P, Q, S, F, k, kept[k])
    S[POSITION] = first
