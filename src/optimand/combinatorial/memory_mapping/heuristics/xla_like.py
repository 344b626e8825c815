"""The heuristic of XLA's memory-space assignment, simplified: buffers by priority, each placed whole or prefetched.

A buffer's priority is what fast memory saves at its definition and its uses, over the square root of its size; this is
XLA's formula (openxla/xla, memory_space_assignment, cost analysis). The placement is a simplification: whole lifetimes
at the lowest free address, else one prefetch per use that starts as late as hidden copying allows, each kept only if
the program's time falls. XLA starts a copy where the overlapped computation is about 1.5 times as long and accepts
ratios from 0.8 on; here it must be hidden completely, because the game asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..game.hardware import Hardware
from ..game.program import MemoryProgram
from ..game.simulator import Game

_TOLERANCE = 1e-12  # relative, as in the game


def solve(game: Game, rng: Any = None) -> Iterator[None]:
    """Play the heuristic's mapping: one episode.

    Args:
        game: to be played on.
        rng: not used; the heuristic is deterministic.
    """
    game.play(xla_like(game))
    yield


def xla_like(game: Game) -> NDArray[np.bool_]:
    """The heuristic's action string for a game: for each reference, whether to take the fast option. No moves."""
    return xla_mapping(game.program, game.hardware)[0]


def buffer_priorities(program: MemoryProgram, hardware: Hardware) -> NDArray[np.float64]:
    """What fast memory is worth for each buffer.

    At a memory-bound instruction the benefit is the time that it saves with this buffer alone in fast memory; at
    another one it is the memory's time less the arithmetic's, which is not positive. A buffer starts with the benefit
    of its definition (0 for parameters); a use is added if both are positive, else the larger of the two is taken.

    Args:
        program: the program; its instructions run once each.
        hardware: the bandwidths.

    Returns:
        float64 (buffers,), seconds over the root of bytes.
    """
    values = np.zeros(len(program.buffers))
    slow = [
        sum(program.buffers[b].size for b in (*x.outputs, *x.inputs)) / hardware.slow_bw for x in program.instructions
    ]
    for i, b, is_output in zip(program.ref_instruction, program.ref_buffer, program.ref_is_output, strict=True):
        memory, compute, size = slow[i], program.instructions[i].compute, program.buffers[b].size
        benefit = size / hardware.slow_bw - size / hardware.fast_bw if memory > compute else memory - compute
        if is_output:
            values[b] = benefit
        elif values[b] > 0 and benefit > 0:
            values[b] += benefit
        else:
            values[b] = max(values[b], benefit)
    return values / np.sqrt(program.sizes)


def xla_mapping(program: MemoryProgram, hardware: Hardware) -> tuple[NDArray[np.bool_], float]:
    """The heuristic's mapping.

    Args:
        program: members of alias groups are placed like strangers; the game that replays the mapping decides.
        hardware: the two memories.

    Returns:
        For each reference whether it is served from fast memory, and the seconds of the program with the heuristic's
        own addresses. Played as an episode (fast where it says so) it need not give the same time in general.

    Example:
        >>> from optimand.combinatorial.memory_mapping import tiny_program
        >>> round(50 - xla_mapping(tiny_program(), Hardware.preset("tiny", capacity=16))[1], 9)
        36.6
    """
    priorities = buffer_priorities(program, hardware)
    plan = Plan(program, hardware)
    for b in np.lexsort((np.arange(len(priorities)), -priorities)):
        references = plan.references[b]
        if not references or program.buffers[b].size > hardware.capacity:
            continue
        if program.buffers[b].param or not plan.keep_whole(int(b)):
            for k in references:
                if not program.ref_is_output[k]:
                    plan.prefetch(k)
    return plan.fast, plan.total


@dataclass
class Plan:
    """Placements made so far, and the program's time with them."""

    program: MemoryProgram
    hardware: Hardware
    fast: NDArray[np.bool_] = field(init=False)
    kept: NDArray[np.bool_] = field(init=False)  # served where it lies: no copy
    taken: list[tuple[int, int, int, int]] = field(default_factory=list)  # start, end, low, high address
    references: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        program = self.program
        self.fast, self.kept = np.zeros(program.references, bool), np.zeros(program.references, bool)
        self.references = [[] for _ in program.buffers]
        for k, b in enumerate(program.ref_buffer):
            self.references[b].append(k)
        self.times = [self.time_of(i) for i in range(len(program.instructions))]
        self.all_slow = list(self.times)
        self.copied = [0.0] * len(self.times)

    @property
    def total(self) -> float:
        """Seconds of the program."""
        return sum(self.times)

    def time_of(self, i: int) -> float:
        """Seconds of an instruction with the present mapping."""
        program, hardware = self.program, self.hardware
        seconds = 0.0
        for k in range(program.first_ref[i], program.first_ref[i + 1]):
            b = int(program.ref_buffer[k])
            size = program.buffers[b].size
            if not self.fast[k]:
                seconds += size / hardware.slow_bw
                continue
            seconds += size / hardware.fast_bw
            if program.ref_is_output[k]:
                later = self.references[b][1:]
                if program.buffers[b].live_out or not all(self.kept[x] for x in later):
                    seconds += size / hardware.slow_bw
        return max(program.instructions[i].compute, seconds)

    def lowest_free(self, start: int, end: int, size: int) -> int:
        """Lowest address with room over all of [start, end], -1 where there is none."""
        low = 0
        for other in sorted(self.taken, key=lambda x: x[2]):
            if other[0] <= end and other[1] >= start:
                if other[2] >= low + size:
                    break
                low = max(low, other[3])
        return low if low + size <= self.hardware.capacity else -1

    def keep_whole(self, b: int) -> bool:
        """Place a buffer from definition to last use, if there is room and the time falls."""
        program, size = self.program, self.program.buffers[b].size
        references = self.references[b]
        start, end = (int(program.ref_instruction[k]) for k in (references[0], references[-1]))
        return self._place(references, start, end, size, kept=True)

    def prefetch(self, k: int) -> bool:
        """Copy a buffer for one use, if the copy can be hidden, there is room, and the time falls."""
        program = self.program
        b, i = int(program.ref_buffer[k]), int(program.ref_instruction[k])
        before = int(program.previous_ref[k])
        earliest = int(program.ref_instruction[before]) + 1 if before >= 0 else 0
        size = program.buffers[b].size
        whole = size / self.hardware.copy_bw
        need, parts = whole, {}
        for j in range(i - 1, earliest - 1, -1):
            left = self.all_slow[j] - self.copied[j]
            if left > _TOLERANCE * self.all_slow[j]:
                parts[j] = min(left, need)
                need -= left
                if need <= _TOLERANCE * whole:
                    break
        else:
            return False
        if not self._place([k], min(parts), i, size, kept=False):
            return False
        for j, seconds in parts.items():
            self.copied[j] += seconds
        return True

    def _place(self, references: list[int], start: int, end: int, size: int, *, kept: bool) -> bool:
        """Serve references of a buffer fast, ``kept`` where it lies; undone, and False, unless the total falls."""
        low = self.lowest_free(start, end, size)
        if low < 0:
            return False
        self.fast[references], self.kept[references] = True, kept
        before, old = self.total, {int(self.program.ref_instruction[k]): 0.0 for k in references}
        for i in old:
            old[i], self.times[i] = self.times[i], self.time_of(i)
        if self.total < before * (1 - _TOLERANCE):
            self.taken.append((start, end, low, low + size))
            return True
        self.fast[references] = self.kept[references] = False
        for i, seconds in old.items():
            self.times[i] = seconds
        return False
