"""Where in fast memory there is room, and when there is time for a copy: compiled parts of the mallocGame's rules.

Intervals of instructions are closed. The arrays are those of :mod:`.arrays`.
"""

from __future__ import annotations

from typing import Any

from optimand.core.compiled import compiled

from . import arrays as ix


@compiled
def lowest_free(P: Any, S: Any, start: Any, end: Any, size: Any, group: Any, defined: Any) -> Any:
    """Lowest address with ``size`` bytes free over all of [start, end], -1 where there is none.

    ``group`` (-1: none) is the alias group and ``defined`` tells that the buffer is defined at ``start``.
    """
    low = 0
    for position in range(S[ix.COUNT]):
        r = S[P[ix.S_ORDER] + position]
        if S[P[ix.S_START] + r] <= end and S[P[ix.S_END] + r] >= start:
            if group >= 0 and touches(P, S, r, start, end, group, defined):
                continue
            if S[P[ix.S_LOW] + r] >= low + size:
                break
            high = S[P[ix.S_HIGH] + r]
            if high > low:
                low = high
    if low + size > P[ix.CAPACITY]:
        return -1
    return low


@compiled
def is_free(P: Any, S: Any, start: Any, end: Any, low: Any, size: Any, group: Any, defined: Any) -> Any:
    """Whether [low, low + size) is free over all of [start, end]."""
    if low + size > P[ix.CAPACITY]:
        return False
    for r in range(S[ix.COUNT]):
        if (
            S[P[ix.S_START] + r] <= end
            and S[P[ix.S_END] + r] >= start
            and S[P[ix.S_LOW] + r] < low + size
            and S[P[ix.S_HIGH] + r] > low
            and not (group >= 0 and touches(P, S, r, start, end, group, defined))
        ):
            return False
    return True


@compiled
def touches(P: Any, S: Any, r: Any, start: Any, end: Any, group: Any, defined: Any) -> Any:
    """Whether a residency of the same group meets [start, end] only where one ends and the other is defined."""
    if P[P[ix.P_GROUP] + S[P[ix.S_WHOSE] + r]] != group:
        return False
    if defined and S[P[ix.S_END] + r] == start:
        return True
    # Nothing begins later than the present instruction, and a copy before its use: what begins here is defined here.
    return S[P[ix.S_START] + r] == end


@compiled
def copy_start(P: Any, Q: Any, F: Any, k: Any) -> Any:
    """Instruction at which a copy for reference ``k`` must begin to be hidden, -1 where there is not enough time."""
    b = P[P[ix.P_BUFFER] + k]
    before = P[P[ix.P_PREVIOUS] + k]
    earliest = P[P[ix.P_INSTRUCTION] + before] + 1 if before >= 0 else 0
    need = Q[P[ix.Q_COPY] + b]
    enough = ix.TOLERANCE * need
    for j in range(P[P[ix.P_INSTRUCTION] + k] - 1, earliest - 1, -1):
        whole = Q[P[ix.Q_SLOW_TIME] + j]
        left = whole - F[P[ix.F_USED] + j]
        if left > ix.TOLERANCE * whole:
            need -= left
            if need <= enough:
                return j
    return -1


@compiled
def take_copy_time(P: Any, Q: Any, F: Any, k: Any, start: Any) -> None:
    need = Q[P[ix.Q_COPY] + P[P[ix.P_BUFFER] + k]]
    for j in range(P[P[ix.P_INSTRUCTION] + k] - 1, start - 1, -1):
        whole = Q[P[ix.Q_SLOW_TIME] + j]
        left = whole - F[P[ix.F_USED] + j]
        if left > ix.TOLERANCE * whole:
            taken = min(left, need)
            F[P[ix.F_USED] + j] += taken
            need -= taken


@compiled
def reserve(P: Any, S: Any, k: Any, start: Any, group: Any, defined: Any, address: Any) -> None:
    """Reserve fast memory for reference ``k`` from ``start`` to the farthest later reference for which there is room.

    A negative ``address`` asks for the lowest that is free; else it is the only one allowed.
    """
    b = P[P[ix.P_BUFFER] + k]
    size = P[P[ix.P_SIZE] + b]
    end = P[P[ix.P_INSTRUCTION] + P[P[ix.P_LAST] + b]]
    low = place(P, S, start, end, size, group, defined, address)
    if low < 0:  # room for a longer interval is room for a shorter one: go on from the first until it fails
        end = P[P[ix.P_INSTRUCTION] + k]
        low = place(P, S, start, end, size, group, defined, address)
        later = P[P[ix.P_NEXT] + k]
        while later < P[ix.R]:
            farther = place(P, S, start, P[P[ix.P_INSTRUCTION] + later], size, group, defined, address)
            if farther < 0:
                break
            low, end = farther, P[P[ix.P_INSTRUCTION] + later]
            later = P[P[ix.P_NEXT] + later]
    r = S[ix.COUNT]
    S[ix.COUNT] = r + 1
    S[P[ix.S_WHOSE] + r] = b
    S[P[ix.S_START] + r] = start
    S[P[ix.S_END] + r] = end
    S[P[ix.S_LOW] + r] = low
    S[P[ix.S_HIGH] + r] = low + size
    S[P[ix.S_CURRENT] + b] = r
    order = P[ix.S_ORDER]
    position = r
    while position > 0 and S[P[ix.S_LOW] + S[order + position - 1]] > low:
        S[order + position] = S[order + position - 1]
        position -= 1
    S[order + position] = r


@compiled
def place(P: Any, S: Any, start: Any, end: Any, size: Any, group: Any, defined: Any, address: Any) -> Any:
    if address < 0:
        return lowest_free(P, S, start, end, size, group, defined)
    if is_free(P, S, start, end, address, size, group, defined):
        return address
    return -1
