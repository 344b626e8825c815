"""An independent look at a layout: no code, and none of the bookkeeping, is shared with the game's kernels.

Everything is derived from the residencies: a use that a residency covers is served fast, a residency that does not
begin with its buffer's definition begins with a copy, and times follow. Copies are hidden behind instructions, whose
times the game takes as they are with all buffers in slow memory. A mapping makes instructions faster, so a copy can
stick out in the end; the validation says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from optimand.core.validation import OptimandError

if TYPE_CHECKING:
    from .hardware import Hardware
    from .layouts import Copy, Layout, Residency
    from .program import MemoryProgram

    Uses = Sequence[Sequence[int]]  # the instructions that refer to each buffer
    Stays = dict[int, list[Residency]]  # by buffer
    Served = dict[tuple[int, int], int]  # by instruction and buffer: 1 where it lies, 2 by a copy
    Windows = dict[tuple[int, int], tuple[int, int, float]]  # of copies, by buffer and use: first, last, seconds
    Late = tuple[float, tuple[int, ...]]  # seconds, and the uses that wait

_CLOSE = 1e-9  # relative, of sums of seconds


class InvalidLayout(OptimandError):  # noqa: N818
    """A layout that the machine could not carry out."""


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        time: seconds of the program; in strict mode with the exposed seconds.
        exposed: seconds by which copies are longer than the instructions, in their final times, that hide them.
        late: instructions for whose use a copy is exposed in part.
        peak: highest address in use, in bytes.
        served_fast: references served from fast memory.
    """

    time: float
    exposed: float
    late: tuple[int, ...]
    peak: int
    served_fast: int


def validate(program: MemoryProgram, hardware: Hardware, layout: Layout, *, strict: bool = False) -> Validation:
    """Check a layout from scratch.

    Args:
        program: what was mapped.
        hardware: the two memories.
        layout: where copies are not given, they are scheduled by earliest deadline, which finds a schedule where one
            exists.
        strict: count the exposed seconds into the time; the layout's own time is compared without them.

    Raises:
        InvalidLayout: an overlap, an address beyond the capacity, a residency outside of the program or of no use, an
            alias group whose members differ, a copy without time to hide it, actions or a time that do not fit the
            residencies.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program, validate
        >>> game = Game(tiny_program(), Hardware.preset("tiny"))
        >>> time = game.play([True] * 13)
        >>> found = validate(game.program, game.hardware, game.layout(), strict=True)
        >>> round(time, 6), round(found.time - found.exposed, 6), found.peak
        (35.8, 35.8, 6)
    """
    uses = _uses(program)
    stays = _stays(program, layout.residencies, uses)
    _check_addresses(program, hardware, stays, uses)
    actions = _actions(program, stays, uses)
    _check_actions(program, layout, actions)
    _check_aliases(program, stays, uses)
    slow = _seconds(program, hardware, {})
    final = _seconds(program, hardware, actions)
    time = math.fsum(final)
    if not math.isclose(time, layout.time, rel_tol=_CLOSE):
        raise InvalidLayout(f"the layout says {layout.time!r} seconds; its residencies give {time!r}")
    windows = _windows(hardware, stays, uses)
    if layout.copies is None:
        exposed, late = _by_deadline(windows, slow)
        if late:
            raise InvalidLayout(f"no time to hide the copies for the uses at instructions {list(late)}")
        exposed, late = _by_deadline(windows, final)
    else:
        _check_copies(layout.copies, windows, slow)
        exposed, late = _sticking_out(layout.copies, final)
    peak = max((r.offset + r.size for r in layout.residencies), default=0)
    return Validation(time + exposed * strict, exposed, late, peak, sum(a > 0 for a in actions.values()))


def _uses(program: MemoryProgram) -> list[list[int]]:
    """The instructions that refer to each buffer."""
    uses: list[list[int]] = [[] for _ in program.buffers]
    for i, instruction in enumerate(program.instructions):
        for b in (*instruction.outputs, *instruction.inputs):
            uses[b].append(i)
    return uses


def _stays(program: MemoryProgram, residencies: Iterable[Residency], uses: Uses) -> Stays:
    """Residencies by buffer in the order of time, each one sensible on its own."""
    stays: Stays = {}
    for r in residencies:
        if not 0 <= r.buffer < len(program.buffers):
            raise InvalidLayout(f"{r} is of no buffer of the program, which has {len(program.buffers)}")
        if not 0 <= r.start <= r.end < len(program.instructions):
            raise InvalidLayout(
                f"{r} is outside of the {len(program.instructions)} instructions, or ends before it starts"
            )
        if r.size != program.buffers[r.buffer].size:
            raise InvalidLayout(f"{r} should have the buffer's {program.buffers[r.buffer].size} bytes")
        if not any(r.start <= i <= r.end for i in uses[r.buffer]):
            raise InvalidLayout(f"{r} covers no use of its buffer")
        if not program.buffers[r.buffer].param and r.start < uses[r.buffer][0]:
            raise InvalidLayout(f"{r} begins before the buffer's definition at instruction {uses[r.buffer][0]}")
        stays.setdefault(r.buffer, []).append(r)
    for found in stays.values():
        found.sort(key=lambda r: r.start)
        for one, other in pairwise(found):
            if other.start <= one.end:
                raise InvalidLayout(f"{one} and {other} are of the same buffer at the same time")
    return stays


def _check_addresses(program: MemoryProgram, hardware: Hardware, stays: Stays, uses: Uses) -> None:
    """A sweep over time: at no instruction do two residencies share a byte, except in place within an alias group."""
    group = {b: g for g, members in enumerate(program.aliases) for b in members}
    alive: list[Residency] = []
    for r in sorted((r for found in stays.values() for r in found), key=lambda r: r.start):
        if r.offset < 0 or r.offset + r.size > hardware.capacity:
            raise InvalidLayout(f"{r} does not fit into {hardware.capacity} bytes")
        alive = [other for other in alive if other.end >= r.start]
        for other in alive:
            apart = other.offset + other.size <= r.offset or r.offset + r.size <= other.offset
            if not (apart or _in_place(r, other, group, uses, program) or _in_place(other, r, group, uses, program)):
                raise InvalidLayout(f"{r} and {other} overlap")
        alive.append(r)


def _in_place(defined: Residency, ended: Residency, group: dict[int, int], uses: Uses, program: MemoryProgram) -> bool:
    """Whether the one is defined by the instruction that is the last of the other, of the same group."""
    b = defined.buffer
    together = b in group and group[b] == group.get(ended.buffer) and not program.buffers[b].param
    return together and defined.start == uses[b][0] == ended.end


def _actions(program: MemoryProgram, stays: Stays, uses: Uses) -> Served:
    """Of every use that is served fast, 1 where the buffer lies there or is placed, 2 where it is copied."""
    actions = {}
    for b, found in stays.items():
        for r in found:
            covered = [i for i in uses[b] if r.start <= i <= r.end]
            for i in covered:
                actions[i, b] = 2 if i == covered[0] and r.start < i else 1
            if covered[0] == r.start and (program.buffers[b].param or r.start != uses[b][0]):
                raise InvalidLayout(f"{r} begins with a use that is no definition; a copy must come before it")
    return actions


def _check_actions(program: MemoryProgram, layout: Layout, actions: Served) -> None:
    if layout.actions is None:
        return
    refs = [(i, b) for i, x in enumerate(program.instructions) for b in (*x.outputs, *x.inputs)]
    derived = [actions.get(ref, 0) for ref in refs]
    if list(layout.actions) != derived:
        differs = (k for k, (x, y) in enumerate(zip(layout.actions, derived, strict=False)) if x != y)
        k = next(differs, min(len(layout.actions), len(derived)))
        raise InvalidLayout(f"the layout's actions do not fit its residencies, first at reference {k}")


def _check_aliases(program: MemoryProgram, stays: Stays, uses: Uses) -> None:
    """Members of a group are placed at their first use together or not at all, and at one address."""
    for members in program.aliases:
        first: dict[int, int | None] = {}
        for b in members:
            if uses[b]:
                at = [r.offset for r in stays.get(b, []) if r.start <= uses[b][0] <= r.end]
                first[b] = at[0] if at else None
        if len(set(first.values())) > 1:
            raise InvalidLayout(f"members of the alias group {members} differ in side or address: {first}")


def _seconds(program: MemoryProgram, hardware: Hardware, actions: Served) -> list[float]:
    """Seconds of each instruction."""
    readers: dict[int, list[int]] = {}
    for i, instruction in enumerate(program.instructions):
        for b in instruction.inputs:
            readers.setdefault(b, []).append(i)
    seconds = []
    for i, instruction in enumerate(program.instructions):
        parts = []
        for b in (*instruction.outputs, *instruction.inputs):
            buffer, fast = program.buffers[b], actions.get((i, b), 0) > 0
            parts.append(buffer.size / (hardware.fast_bw if fast else hardware.slow_bw))
            kept = all(actions.get((j, b), 0) == 1 for j in readers.get(b, ()))
            if fast and b in instruction.outputs and (buffer.live_out or not kept):
                parts.append(buffer.size / hardware.slow_bw)
        seconds.append(max(instruction.compute, math.fsum(parts)))
    return seconds


def _windows(hardware: Hardware, stays: Stays, uses: Uses) -> Windows:
    """For each copy, by buffer and use: first and last instruction behind which it may be hidden, and its seconds."""
    windows = {}
    for b, found in stays.items():
        for r in found:
            use = next(i for i in uses[b] if r.start <= i <= r.end)
            if r.start < use:
                windows[b, use] = (r.start, use - 1, r.size / hardware.copy_bw)
    return windows


def _by_deadline(windows: Windows, seconds: Sequence[float]) -> Late:
    """Seconds of copies that find no place, and the uses they are for, by earliest deadline first."""
    left = {key: need for key, (_, _, need) in windows.items()}
    for j, room in enumerate(seconds):
        for key in sorted((k for k, (a, z, _) in windows.items() if a <= j <= z), key=lambda k: windows[k][1]):
            taken = min(room, left[key])
            left[key] -= taken
            room -= taken
    late = {key: rest for key, rest in left.items() if rest > _CLOSE * windows[key][2]}
    return math.fsum(late.values()), tuple(sorted({use for _, use in late}))


def _taken(copies: Iterable[Copy], seconds: Sequence[float]) -> list[float]:
    """The copy time that is taken behind each instruction."""
    taken = [0.0] * len(seconds)
    for copy in copies:
        for j, part in copy.seconds.items():
            taken[j] += part
    return taken


def _check_copies(copies: Sequence[Copy], windows: Windows, seconds: Sequence[float]) -> None:
    """Each copy is complete within its window, and together they take no more than the instructions have."""
    open_copies = dict(windows)
    for copy in copies:
        key = (copy.buffer, copy.instruction)
        if key not in open_copies:
            raise InvalidLayout(f"{copy} belongs to no residency")
        first, last, need = open_copies.pop(key)
        if any(not first <= j <= last for j in copy.seconds):
            raise InvalidLayout(f"{copy} is hidden outside of instructions {first} to {last}")
        if not math.isclose(math.fsum(copy.seconds.values()), need, rel_tol=_CLOSE):
            raise InvalidLayout(f"{copy} takes {math.fsum(copy.seconds.values())!r} seconds, expected {need!r}")
    if open_copies:
        raise InvalidLayout(f"copies are missing for (buffer, use) {sorted(open_copies)}")
    for j, (part, whole) in enumerate(zip(_taken(copies, seconds), seconds, strict=True)):
        if part > whole * (1 + _CLOSE):
            raise InvalidLayout(f"copies take {part!r} seconds behind instruction {j}, which has {whole!r}")


def _sticking_out(copies: Sequence[Copy], seconds: Sequence[float]) -> Late:
    """Seconds of copies beyond the instructions that hide them, and the uses that wait."""
    over = {j: part - seconds[j] for j, part in enumerate(_taken(copies, seconds)) if part > seconds[j] * (1 + _CLOSE)}
    late = sorted({copy.instruction for copy in copies if any(j in over for j in copy.seconds)})
    return math.fsum(over.values()), tuple(late)
