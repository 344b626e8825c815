"""What a player sees: references around the position, the fast memory around the present, a few numbers.

The window, the grid and the numbers are our own choice, after the words of arXiv:2305.07440.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.compiled import compiled

from . import arrays as ix

WINDOW = 32  # references on either side of the position
COLUMNS = 10  # features of a reference
GRID = 64  # instructions and parts of the memory in the picture of it
AHEAD = GRID // 2  # instructions of the picture before the present one
SCALARS = 6
_FAR = 64.0  # instructions: the next use is seen up to here


@compiled
def observe(P: Any, Q: Any, S: Any, F: Any, references: Any, memory: Any, scalars: Any, mask: Any) -> None:
    """Fill the parts of an observation.

    ``references`` is float32 of shape (2 WINDOW + 1, COLUMNS), zeros where there is none, and holds: that there is a
    reference; size over capacity, at most 2; is an output; is live out; instructions to the next use over 64, at most
    1, or -1 without one; what fast memory saves over the instruction's time, at least -1; decided as slow; decided as
    fast; at the position, whether NOCOPY and whether COPY is legal.

    ``memory`` is int8 of shape (GRID, GRID), see :func:`write_grid`.

    ``scalars`` is float32: share of the references that are decided; copy time used over the last AHEAD instructions,
    over their time; the same of the present one; time over all-slow time, the present one's as well; occupied share
    of the memory at the present one. ``mask`` is int8 of the three actions.
    """
    total, at, present = P[ix.R], S[ix.POSITION], _present(P, S)
    references[:] = 0.0
    for row in range(2 * WINDOW + 1):
        k = at - WINDOW + row
        if k < 0 or k >= total:
            continue
        b, i = P[P[ix.P_BUFFER] + k], P[P[ix.P_INSTRUCTION] + k]
        after = P[P[ix.P_NEXT] + k]
        references[row, 0] = 1.0
        references[row, 1] = min(2.0, P[P[ix.P_SIZE] + b] / P[ix.CAPACITY]) if P[ix.CAPACITY] > 0 else 2.0
        references[row, 2] = P[P[ix.P_OUTPUT] + k]
        references[row, 3] = P[P[ix.P_LIVE] + b]
        references[row, 4] = min(1.0, (P[P[ix.P_INSTRUCTION] + after] - i) / _FAR) if after < total else -1.0
        references[row, 5] = max(-1.0, (Q[P[ix.Q_SLOW] + b] - Q[P[ix.Q_FAST] + b]) / Q[P[ix.Q_SLOW_TIME] + i])
        references[row, 6] = S[ix.DECISIONS + k] == 0
        references[row, 7] = S[ix.DECISIONS + k] > 0
    mask[:] = 0
    if at < total:
        references[WINDOW, 8] = S[ix.FAST] == 1
        references[WINDOW, 9] = S[ix.FAST] == 2
        mask[0] = S[ix.FORCED] == 0
        if S[ix.FAST] > 0:
            mask[S[ix.FAST]] = 1
    write_grid(P, S, memory)
    held = 0
    for r in range(S[ix.COUNT]):
        if S[P[ix.S_START] + r] <= present <= S[P[ix.S_END] + r]:
            held += S[P[ix.S_HIGH] + r] - S[P[ix.S_LOW] + r]
    used, whole = 0.0, 0.0
    for j in range(max(0, present - AHEAD), present):
        used += F[P[ix.F_USED] + j]
        whole += Q[P[ix.Q_SLOW_TIME] + j]
    here = Q[P[ix.Q_SLOW_TIME] + present]
    scalars[0] = at / total
    scalars[1] = min(1.0, used / whole) if whole > 0 else 0.0
    scalars[2] = min(1.0, F[P[ix.F_USED] + present] / here) if here > 0 else 0.0
    scalars[3] = min(2.0, F[ix.TIME] / Q[ix.ALL_SLOW])
    scalars[4] = min(2.0, F[P[ix.F_TIME] + present] / here) if here > 0 else 0.0
    # In place, two members of an alias group have the same bytes.
    scalars[5] = min(1.0, held / P[ix.CAPACITY]) if P[ix.CAPACITY] > 0 else 0.0


@compiled(error_model="numpy")
def _present(P: Any, S: Any) -> Any:
    """The instruction at the position, the last one at the end."""
    return P[P[ix.P_INSTRUCTION] + S[ix.POSITION]] if S[ix.POSITION] < P[ix.R] else P[ix.N] - 1


@compiled(error_model="numpy")
def write_grid(P: Any, S: Any, grid: Any) -> None:
    """Write 1 where a part of the memory (columns) is touched by a residency at an instruction (rows), else 0.

    Args:
        P, S: program and state.
        grid: (GRID, GRID), integers; row AHEAD is the present instruction.
    """
    for row in range(GRID):
        for column in range(GRID):
            grid[row, column] = 0
    capacity = P[ix.CAPACITY]
    origin = _present(P, S) - AHEAD
    for r in range(S[ix.COUNT]):
        first = max(S[P[ix.S_START] + r] - origin, 0)
        end = min(S[P[ix.S_END] + r] - origin, GRID - 1)
        low = S[P[ix.S_LOW] + r] * GRID // capacity
        high = (S[P[ix.S_HIGH] + r] * GRID + capacity - 1) // capacity
        for row in range(first, end + 1):
            for column in range(low, min(high, GRID)):
                grid[row, column] = 1


def make_room() -> tuple[Any, Any, Any, Any]:
    """Arrays for :func:`observe` to fill."""
    return (
        np.zeros((2 * WINDOW + 1, COLUMNS), np.float32),
        np.zeros((GRID, GRID), np.int8),
        np.zeros(SCALARS, np.float32),
        np.zeros(3, np.int8),
    )
