"""The arrays on which the compiled mallocGame works: where in them what lies, and how a program is packed.

``P`` (int64) and ``Q`` (float64) hold the program and the machine and never change; ``S`` (int64) and ``F`` (float64)
are the state, so a snapshot is a copy of both, and a batch of states is a pair of matrices whose rows are passed.
Flat arrays because a call costs some 60 ns for each array that it passes.

    P[:HEADER]  sizes N, R, B, G, CAPACITY and where the following parts begin
                of R references: instruction, buffer, is_output, next (R: none), previous (-1: none)
                of N + 1 instructions: first reference (the last entry is R)
                of B buffers: size, live_out, first reference, last reference, uses (references that are no definition),
                definition (instruction, -1 for parameters), group (-1: none)
                of G groups: first reference of the member that comes first
    Q           all-slow time; of N: compute, all-slow time of the instruction; of B: seconds in slow memory, in fast
                memory, of a copy
    S[:8]       POSITION (next reference, R when done), FAST (what the fast option is here: 0 none, 1 NOCOPY, 2 COPY),
                FORCED (1 where only the fast option is legal), COUNT (residencies), BACKUPS
                decisions of R references from S[DECISIONS] on (-1: open)
                of B buffers: current residency (-1: none), references that are not (yet) NOCOPY
                of R residencies: buffer, start, end, low, high address; then their order by low address
                of G groups: side (-1 open, 0 slow, 1 fast), address, backed up (0 or 1)
    F           time; of N: time of the instruction, copy time used while it runs
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .hardware import Hardware
from .program import MemoryProgram

DROP, NOCOPY, COPY = 0, 1, 2
TOLERANCE = 1e-12  # relative to the seconds that are compared

# Entries of P: sizes, then where parts of P, Q, S and F begin.
N, R, B, G, CAPACITY = range(5)
P_INSTRUCTION, P_BUFFER, P_OUTPUT, P_NEXT, P_PREVIOUS, P_FIRST = range(6, 12)
P_SIZE, P_LIVE, P_BEGIN, P_LAST, P_USES, P_DEFINITION, P_GROUP, P_LEADER = range(12, 20)
Q_COMPUTE, Q_SLOW_TIME, Q_SLOW, Q_FAST, Q_COPY = range(20, 25)
S_CURRENT, S_MISSING, S_WHOSE, S_START, S_END, S_LOW, S_HIGH, S_ORDER, S_SIDE, S_ADDRESS, S_BACKED = range(25, 36)
F_TIME, F_USED, S_LENGTH, F_LENGTH = range(36, 40)
HEADER = 40

# Entries of S.
POSITION, FAST, FORCED, COUNT, BACKUPS = range(5)
DECISIONS = 8  # where the decisions begin
TIME = 0  # entry of F
ALL_SLOW = 0  # entry of Q

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def _masks(*rows: tuple[bool, bool, bool]) -> list[NDArray[np.bool_]]:
    """Masks that are shared, and therefore read-only."""
    masks = [np.array(row) for row in rows]
    for mask in masks:
        mask.setflags(write=False)
    return masks


# By FORCED and FAST.
LEGAL = (
    _masks((True, False, False), (True, True, False), (True, False, True)),
    _masks((True, False, False), (False, True, False), (False, False, True)),  # only the fast one
)
NONE_LEGAL = _masks((False, False, False))[0]


def pack_program(program: MemoryProgram, hardware: Hardware) -> tuple[Ints, Floats]:
    """The arrays ``P`` and ``Q`` of a program on a machine.

    Args:
        program: N instructions, R references, B buffers.
        hardware: the two memories.
    """
    n, r, b, g = len(program.instructions), program.references, len(program.buffers), len(program.aliases)
    begin = [program.buffer_first_ref[list(members)] for members in program.aliases]
    leader = [min((k for k in firsts if k >= 0), default=r) for firsts in begin]
    live = np.array([buffer.live_out for buffer in program.buffers])
    parts: tuple[NDArray[Any], ...] = (
        program.ref_instruction, program.ref_buffer, program.ref_is_output, program.next_ref, program.previous_ref,
        program.first_ref, program.sizes, live, program.buffer_first_ref, program.buffer_last_ref, program.buffer_uses,
        program.definition, program.group, np.array(leader, dtype=np.int64),
    )  # fmt: skip
    compute = np.array([instruction.compute for instruction in program.instructions])
    slow, fast, copy = (program.sizes / bw for bw in (hardware.slow_bw, hardware.fast_bw, hardware.copy_bw))
    slow_time = np.empty(n)
    for i in range(n):  # summed in the order of the references, as the kernels do
        total = 0.0
        for k in range(program.first_ref[i], program.first_ref[i + 1]):
            total += slow[program.ref_buffer[k]]
        slow_time[i] = max(compute[i], total)
    all_slow = 0.0
    for seconds in slow_time:
        all_slow += float(seconds)
    header = np.zeros(HEADER, np.int64)
    header[: CAPACITY + 1] = n, r, b, g, hardware.capacity
    header[P_INSTRUCTION : P_LEADER + 1] = HEADER + np.cumsum([0, *(len(part) for part in parts)])[:-1]
    header[Q_COMPUTE : Q_COPY + 1] = 1 + np.array([0, n, 2 * n, 2 * n + b, 2 * n + 2 * b])
    lengths = np.cumsum([DECISIONS + r, b, b, r, r, r, r, r, r, g, g, g])
    header[S_CURRENT : S_BACKED + 1] = lengths[:-1]
    header[F_TIME : F_LENGTH + 1] = 1, 1 + n, lengths[-1], 1 + 2 * n
    # Not read-only: to Numba that is another type, for which all kernels would be compiled once more.
    p = np.concatenate([header, *(part.astype(np.int64) for part in parts)])
    return p, np.concatenate([[all_slow], compute, slow_time, slow, fast, copy])


def make_state(p: Ints) -> tuple[Ints, Floats]:
    """Room for a state, to be filled by :func:`reset`."""
    return np.zeros(p[S_LENGTH], np.int64), np.zeros(p[F_LENGTH])
