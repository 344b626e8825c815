"""What the networks see of a state: features of the current reference (and the grid of ``game.observations``).

The features are those of the program (a table, made once) and those of the state (a compiled function); times are
relative to T of the all-slow state or to the time of an instruction, sizes to the capacity, so that one network can
serve several programs. Sines and cosines of the position tell references apart when one program is trained alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

from ..game import arrays as ix

CYCLES = (1, 2, 4, 8, 16, 32)
STATIC = 11
DYNAMIC = 12
AHEAD = 8  # instructions that the mean occupancy looks forward over, and the use of copy time back


def feature_count(position: bool) -> int:
    """How many features a state has, with or without the waves of the position."""
    return STATIC + DYNAMIC + (2 * len(CYCLES) if position else 0)


def static_features(p: NDArray[np.int64], q: NDArray[np.float64], *, position: bool) -> NDArray[np.float32]:
    """Features of a program's references, (R, STATIC, and 12 more with ``position``).

    Args:
        p: integers of the program and machine, as ``game.arrays.pack_program`` gives them.
        q: its numbers.
        position: whether sines and cosines of the position follow.
    """
    n, references, capacity = int(p[ix.N]), int(p[ix.R]), max(int(p[ix.CAPACITY]), 1)

    def part(where: int, count: int, source: NDArray = p) -> NDArray:
        return source[p[where] : p[where] + count]

    instruction, buffer = part(ix.P_INSTRUCTION, references), part(ix.P_BUFFER, references)
    following = part(ix.P_NEXT, references)
    buffers = int(p[ix.B])
    size, live = part(ix.P_SIZE, buffers)[buffer], part(ix.P_LIVE, buffers)[buffer]
    slow, fast = part(ix.Q_SLOW, buffers, q)[buffer], part(ix.Q_FAST, buffers, q)[buffer]
    compute, slow_time = part(ix.Q_COMPUTE, n, q)[instruction], part(ix.Q_SLOW_TIME, n, q)[instruction]
    memory = np.zeros(n)
    np.add.at(memory, instruction, slow)
    later = uses_after(p)
    steps = np.where(following < references, instruction[np.minimum(following, references - 1)] - instruction, -8)
    whole = np.maximum(slow_time, 1e-300)
    saving = slow_time - np.maximum(compute, memory[instruction] - slow + fast)
    total = max(float(q[ix.ALL_SLOW]), 1e-300)
    columns = [
        np.minimum(size / capacity, 2.0),
        part(ix.P_OUTPUT, references),
        part(ix.P_DEFINITION, buffers)[buffer] < 0,
        live,
        np.minimum(steps / 8.0, 8.0),
        np.minimum(later / 4.0, 4.0),
        saving / whole,
        np.minimum(compute / whole, 1.0),
        slow / total * n,
        saving / total * n,
        np.arange(references) / references,
    ]
    if position:
        at = 2.0 * np.pi * np.arange(references) / references
        columns += [wave(cycles * at) for cycles in CYCLES for wave in (np.sin, np.cos)]
    return np.stack(columns, axis=1).astype(np.float32)


def uses_after(p: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the buffer of each reference is used later."""
    references = int(p[ix.R])
    following = p[p[ix.P_NEXT] : p[ix.P_NEXT] + references]
    later = np.zeros(references, np.int64)
    for reference in range(references - 1, -1, -1):
        if following[reference] < references:
            later[reference] = later[following[reference]] + 1
    return later


@compiled(error_model="numpy")
def write_features(P: NDArray, Q: NDArray, S: NDArray, F: NDArray, table: NDArray, later: NDArray, x: NDArray) -> None:
    """Write the features of a state that is not over.

    Args:
        P, Q, S, F: program and state, see ``game.arrays``.
        table: ``static_features`` of the program.
        later: ``uses_after`` of the program.
        x: (features,), float32, overwritten.
    """
    at = S[ix.POSITION]
    width = table.shape[1]
    for column in range(width):
        x[column] = table[at, column]
    i, b = P[P[ix.P_INSTRUCTION] + at], P[P[ix.P_BUFFER] + at]
    n, capacity = P[ix.N], max(P[ix.CAPACITY], 1)
    following = P[P[ix.P_NEXT] + at]
    then = P[P[ix.P_INSTRUCTION] + following] if following < P[ix.R] else i
    last = min(i + AHEAD, n) - 1
    here, there, ahead, meeting = 0, 0, 0, 0
    for r in range(S[ix.COUNT]):
        start, end = S[P[ix.S_START] + r], S[P[ix.S_END] + r]
        if end < i:
            continue
        size = S[P[ix.S_HIGH] + r] - S[P[ix.S_LOW] + r]
        if start <= i:
            here += size
        if start <= then <= end:
            there += size
        if start <= then:
            meeting += size
        overlap = min(end, last) - max(start, i) + 1
        if overlap > 0:
            ahead += size * overlap
    used, whole = 0.0, 0.0
    for j in range(max(0, i - AHEAD), i):
        used += F[P[ix.F_USED] + j]
        whole += Q[P[ix.Q_SLOW_TIME] + j]
    is_output = P[P[ix.P_OUTPUT] + at]
    undecided = later[at] + (1 - is_output)
    definition = P[P[ix.P_DEFINITION] + b]
    first = S[ix.DECISIONS + P[P[ix.P_BEGIN] + b]]
    kept = definition >= 0 and P[P[ix.P_LIVE] + b] == 0 and S[P[ix.S_MISSING] + b] <= undecided
    total = max(Q[ix.ALL_SLOW], 1e-300)
    x[width] = S[ix.FAST] == ix.NOCOPY
    x[width + 1] = S[ix.FAST] == ix.COPY
    x[width + 2] = here / capacity
    x[width + 3] = there / capacity
    x[width + 4] = min(meeting / capacity, 4.0)
    x[width + 5] = ahead / (capacity * max(last - i + 1, 1))
    x[width + 6] = used / whole if whole > 0.0 else 1.0
    x[width + 7] = F[P[ix.F_TIME] + i] / max(Q[P[ix.Q_SLOW_TIME] + i], 1e-300)
    x[width + 8] = (Q[ix.ALL_SLOW] - F[ix.TIME]) / total
    x[width + 9] = kept  # a fast output that can still be spared its slow write
    x[width + 10] = kept and first == ix.NOCOPY
    x[width + 11] = math.log1p(P[P[ix.P_SIZE] + b] / capacity)
