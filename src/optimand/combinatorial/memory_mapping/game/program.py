"""Programs whose buffers are to be placed: instructions in a fixed order, with the buffers that they write and read.

The game of arXiv:2305.07440 is played on such a program. A *reference* is one use of one buffer by one instruction;
references are numbered in program order, the outputs of an instruction before its inputs, and each is one decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int, check_number


@dataclass(frozen=True)
class Buffer:
    """A tensor in memory.

    Args:
        size: bytes, at least 1.
        param: it lies in slow memory at the start and no instruction writes it.
        live_out: it must lie in slow memory at the end.
        name: for pictures and messages.

    Raises:
        TypeError, ValueError: the size is no positive integer.
    """

    size: int
    param: bool = False
    live_out: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_int("size of a buffer", self.size, low=1))
        object.__setattr__(self, "param", bool(self.param))
        object.__setattr__(self, "live_out", bool(self.live_out))


@dataclass(frozen=True)
class Instruction:
    """A step of a program.

    Args:
        compute: seconds of arithmetic, at least 0.
        outputs: numbers of the buffers that it defines.
        inputs: numbers of the buffers that it reads, each once.
        name: for pictures and messages.

    Raises:
        TypeError, ValueError: the time is negative or not finite, or a number is no integer.
    """

    compute: float
    outputs: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        compute = check_number("compute of an instruction", self.compute, low=0)
        if compute == float("inf"):
            raise ValueError("compute of an instruction must be finite, got inf")
        object.__setattr__(self, "compute", compute)
        for side in ("outputs", "inputs"):
            numbers = tuple(check_int(f"{side} of an instruction", b, low=0) for b in getattr(self, side))
            object.__setattr__(self, side, numbers)


@dataclass(frozen=True)
class MemoryProgram:
    """A sequence of instructions and their buffers, checked, with the arrays that the game needs.

    Args:
        instructions: in the order of execution.
        buffers: what the instructions' numbers refer to.
        aliases: disjoint groups of buffers of equal size that must share fast or slow memory and, in fast memory, the
            address; no group mixes parameters with other buffers.
        name: for reports.

    Attributes:
        ref_instruction, ref_buffer, ref_is_output: of each of the R references.
        next_ref, previous_ref: the neighbouring reference of the same buffer, R or -1 where there is none.
        first_ref: of each instruction, and R at the end.
        buffer_first_ref, buffer_last_ref, buffer_uses: first and last reference of each buffer (-1 without any), and
            how many come after the first, or, for a parameter, how many there are.
        definition: the defining instruction of each buffer, -1 for parameters.
        sizes: bytes of each buffer.
        group: of each buffer, -1 where it is in none.

    Raises:
        OptimandError: a number of no buffer, a second definition, a use before the definition, a buffer that appears
            twice in an instruction, an output that is a parameter, a buffer without definition, unfit alias groups.

    Example:
        >>> program = MemoryProgram([Instruction(1.0, (1,), (0,))], [Buffer(4, param=True), Buffer(2, live_out=True)])
        >>> program.references, program.ref_buffer.tolist(), program.ref_is_output.tolist()
        (2, [1, 0], [True, False])
    """

    instructions: tuple[Instruction, ...]
    buffers: tuple[Buffer, ...]
    aliases: tuple[tuple[int, ...], ...] = ()
    name: str = ""
    ref_instruction: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    ref_buffer: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    ref_is_output: NDArray[np.bool_] = field(init=False, repr=False, compare=False)
    next_ref: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    previous_ref: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    first_ref: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    buffer_first_ref: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    buffer_last_ref: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    buffer_uses: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    definition: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    sizes: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    group: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("instructions", _all_of("instructions", self.instructions, Instruction))
        put("buffers", _all_of("buffers", self.buffers, Buffer))
        put("aliases", tuple(tuple(check_int("aliases", b) for b in members) for members in self.aliases))
        if not self.instructions:
            raise OptimandError("instructions must hold at least one instruction, got none")
        _check_references(self)
        refs = [
            (i, b, kind == "outputs")
            for i, instruction in enumerate(self.instructions)
            for kind in ("outputs", "inputs")
            for b in getattr(instruction, kind)
        ]
        if not refs:
            raise OptimandError("instructions must use at least one buffer, got none")
        counts = [len(instruction.outputs) + len(instruction.inputs) for instruction in self.instructions]
        following, previous = np.full(len(refs), len(refs)), np.full(len(refs), -1)
        first, last = np.full(len(self.buffers), -1), np.full(len(self.buffers), -1)
        uses, definition = np.zeros(len(self.buffers), int), np.full(len(self.buffers), -1)
        for k, (i, b, is_output) in enumerate(refs):
            previous[k] = last[b]
            if last[b] >= 0:
                following[last[b]] = k
            else:
                first[b] = k
            last[b] = k
            uses[b] += not is_output
            if is_output:
                definition[b] = i
        instruction_of, buffer_of, is_output_of = zip(*refs, strict=True)
        found = {
            "ref_instruction": instruction_of, "ref_buffer": buffer_of, "ref_is_output": is_output_of,
            "next_ref": following, "previous_ref": previous, "first_ref": np.concatenate([[0], np.cumsum(counts)]),
            "buffer_first_ref": first, "buffer_last_ref": last, "buffer_uses": uses, "definition": definition,
            "sizes": [buffer.size for buffer in self.buffers], "group": _groups(self),
        }  # fmt: skip
        for name, values in found.items():
            array = np.array(values)
            array.setflags(write=False)
            put(name, array)

    def __repr__(self) -> str:
        return (
            f"<MemoryProgram {self.name!r}: {len(self.instructions)} instructions, {len(self.buffers)} buffers of "
            f"{sum(buffer.size for buffer in self.buffers)} bytes, {self.references} references>"
        )

    @property
    def references(self) -> int:
        """How many decisions an episode has."""
        return len(self.ref_buffer)

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryProgram, (self.instructions, self.buffers, self.aliases, self.name)


def tiny_program() -> MemoryProgram:
    """Five instructions, seven buffers, thirteen references: small enough to be enumerated.

    Example:
        >>> tiny_program().references
        13
    """
    buffers = (
        Buffer(4, param=True, name="P0"), Buffer(6, param=True, name="W1"), Buffer(4, name="A"), Buffer(4, name="B"),
        Buffer(2, name="C"), Buffer(4, name="D"), Buffer(2, live_out=True, name="E"),
    )  # fmt: skip
    uses = ((2.0, 2, (0,)), (3.0, 3, (2, 1)), (1.0, 4, (3,)), (2.0, 5, (2, 4)), (3.0, 6, (5, 1)))
    instructions = tuple(Instruction(c, (out,), inputs, f"i{i}") for i, (c, out, inputs) in enumerate(uses))
    return MemoryProgram(instructions, buffers, name="tiny")


def _all_of(name: str, found: Iterable[Any], kind: type) -> tuple[Any, ...]:
    items = tuple(found)
    for i, item in enumerate(items):
        if not isinstance(item, kind):
            raise TypeError(f"{name}[{i}] must be of {kind.__name__}, got {item!r} ({type(item).__name__})")
    return items


def _check_references(program: MemoryProgram) -> None:
    """OptimandError unless every buffer is defined once, before its uses, and named once per instruction."""
    total = len(program.buffers)
    defined = [buffer.param for buffer in program.buffers]
    written_by: dict[int, int] = {}
    for i, instruction in enumerate(program.instructions):
        where = f"instruction {i}" + (f" ({instruction.name})" if instruction.name else "")
        seen: set[int] = set()
        for b in (*instruction.outputs, *instruction.inputs):
            if b >= total:
                raise OptimandError(f"{where} refers to buffer {b}; the program has {total} buffers, numbered from 0")
            if b in seen:
                raise OptimandError(f"{where} names buffer {_called(program, b)} twice; expected each buffer once")
            seen.add(b)
        for b in instruction.inputs:
            if not defined[b]:
                raise OptimandError(f"{where} uses buffer {_called(program, b)} before its definition")
        for b in instruction.outputs:
            if program.buffers[b].param:
                raise OptimandError(f"{where} defines buffer {_called(program, b)}, which is a parameter")
            if b in written_by:
                raise OptimandError(
                    f"{where} defines buffer {_called(program, b)} again, which instruction {written_by[b]} defined"
                )
            written_by[b], defined[b] = i, True
    for b, is_defined in enumerate(defined):
        if not is_defined:
            raise OptimandError(f"buffer {_called(program, b)} is no parameter, and no instruction defines it")


def _groups(program: MemoryProgram) -> NDArray[np.int64]:
    """The alias group of each buffer; OptimandError where the groups are unfit."""
    group = np.full(len(program.buffers), -1)
    for g, members in enumerate(program.aliases):
        if len(members) < 2:
            raise OptimandError(f"aliases[{g}] must have at least two buffers, got {members!r}")
        for b in members:
            if not 0 <= b < len(program.buffers):
                raise OptimandError(f"aliases[{g}] holds {b}; the program has {len(program.buffers)} buffers")
            if group[b] >= 0:
                raise OptimandError(f"aliases[{g}] holds buffer {_called(program, b)}, which is in aliases[{group[b]}]")
            group[b] = g
        found = [program.buffers[b] for b in members]
        if len({buffer.size for buffer in found}) > 1:
            raise OptimandError(f"aliases[{g}] must have members of equal size, got {[x.size for x in found]}")
        if len({buffer.param for buffer in found}) > 1:
            raise OptimandError(f"aliases[{g}] must hold parameters only or none, got {[x.param for x in found]}")
    return group


def _called(program: MemoryProgram, b: int) -> str:
    name = program.buffers[b].name
    return f"{b} ({name})" if name else str(b)
