"""Programs as CSV files that people can read and write.

Columns kind, name, bytes, seconds, flags, outputs, inputs. A line of kind ``buffer`` has a name, bytes and flags out of
``param`` and ``live_out``; one of kind ``instruction`` has a name, seconds of arithmetic, and names of buffers that it
writes and reads, with blanks between them; one of kind ``alias`` has the names of a group as inputs. Buffers are
numbered in the order of their lines, and instructions run in the order of theirs.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from optimand.core.validation import OptimandError

from ..game.program import Buffer, Instruction, MemoryProgram

COLUMNS = ("kind", "name", "bytes", "seconds", "flags", "outputs", "inputs")
_FLAGS = ("param", "live_out")


def write_program(path: str | Path, program: MemoryProgram) -> None:
    """Write a program; reading it gives an equal one, but for buffers without a name, which get one.

    Args:
        path: of the file.
        program: the program.

    Raises:
        TypeError: the arguments are something else, such as the two in the other order.
    """
    if isinstance(path, MemoryProgram):
        raise TypeError("path must be a file's path, got a MemoryProgram: call write_program(path, program)")
    if not isinstance(program, MemoryProgram):
        raise TypeError(f"program must be a MemoryProgram, got {program!r} ({type(program).__name__})")
    Path(path).write_text(format_program(program), encoding="utf-8")


def read_program(path: str | Path, name: str | None = None) -> MemoryProgram:
    """Read a program from a CSV file.

    Args:
        path: of the file.
        name: of the program; None for the file's name without its ending.

    Raises:
        OptimandError: the file cannot be read, or a line is unfit; the line is named.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptimandError(f"file {str(path)!r} could not be read: {error}") from error
    return parse_program(text, path.stem if name is None else name, source=f"file {str(path)!r}")


def format_program(program: MemoryProgram) -> str:
    """The text of a program's file.

    Example:
        >>> from optimand.combinatorial.memory_mapping.game.program import tiny_program
        >>> format_program(tiny_program()).splitlines()[1]
        'buffer,P0,4,,param,,'
    """
    names, taken = [], set()
    for b, buffer in enumerate(program.buffers):
        name = "_".join(buffer.name.split()) or f"b{b}"
        while name in taken:
            name += f"_{b}"
        taken.add(name)
        names.append(name)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, buffer in zip(names, program.buffers, strict=True):
        flags = " ".join(flag for flag in _FLAGS if getattr(buffer, flag))
        writer.writerow(["buffer", name, buffer.size, "", flags, "", ""])
    for instruction in program.instructions:
        outputs, inputs = (" ".join(names[b] for b in side) for side in (instruction.outputs, instruction.inputs))
        writer.writerow(["instruction", instruction.name, "", repr(instruction.compute), "", outputs, inputs])
    for members in program.aliases:
        writer.writerow(["alias", "", "", "", "", "", " ".join(names[b] for b in members)])
    return out.getvalue()


def parse_program(text: str, name: str = "", source: str = "text") -> MemoryProgram:
    """The program of a text in the format of this module; ``source`` is what errors call it."""
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise OptimandError(f"{source} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}")
    buffers: dict[str, int] = {}
    found: list[Buffer] = []
    instructions: list[Instruction] = []
    groups: list[tuple[int, ...]] = []
    rows = [(f"{source}, line {number}", row) for number, row in enumerate(reader, start=2)]
    for where, row in rows:
        if row["kind"] == "buffer":
            if row["name"] in buffers or not row["name"] or len(row["name"].split()) != 1:
                raise OptimandError(f"{where}: name must be one word that no other buffer has, got {row['name']!r}")
            buffers[row["name"]] = len(found)
            found.append(_buffer(where, row))
        elif row["kind"] not in ("instruction", "alias"):
            raise OptimandError(f"{where}: kind must be buffer, instruction or alias, got {row['kind']!r}")
    for where, row in rows:
        if row["kind"] == "buffer":
            continue
        outputs, inputs = (_numbers(where, row, side, buffers) for side in ("outputs", "inputs"))
        if row["kind"] == "alias":
            groups.append(inputs)
            continue
        try:
            instructions.append(Instruction(float(row["seconds"] or ""), outputs, inputs, row["name"]))
        except ValueError as error:
            raise OptimandError(f"{where}: seconds must be a number of at least 0: {error}") from None
    try:
        return MemoryProgram(tuple(instructions), tuple(found), tuple(groups), name)
    except OptimandError as error:
        raise OptimandError(f"{source}: {error}") from None


def _buffer(where: str, row: dict[str, str]) -> Buffer:
    flags = (row["flags"] or "").split()
    for flag in flags:
        if flag not in _FLAGS:
            raise OptimandError(f"{where}: flags must be among {', '.join(_FLAGS)}, got {flag!r}")
    try:
        return Buffer(int(row["bytes"] or ""), "param" in flags, "live_out" in flags, row["name"])
    except ValueError as error:
        raise OptimandError(f"{where}: bytes must be an integer of at least 1: {error}") from None


def _numbers(where: str, row: dict[str, str], side: str, buffers: dict[str, int]) -> tuple[int, ...]:
    names = (row[side] or "").split()
    for name in names:
        if name not in buffers:
            raise OptimandError(f"{where}: {side} must be names of buffers, got {name!r}")
    return tuple(buffers[name] for name in names)
