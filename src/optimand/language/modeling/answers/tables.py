"""Tables in a text: where each number stands, under which heading, in whose row."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

_RULE = re.compile(r"^[\s|:-]+$")


@dataclass(frozen=True)
class Cell:
    """A cell of a table written with bars.

    Attributes:
        start, end: positions in the text.
        row: what the first cell of its row says.
        column: its column's heading.
        place: number of the table, row and column.
    """

    start: int
    end: int
    row: str
    column: str
    place: tuple[int, int, int]


@functools.lru_cache(maxsize=64)
def cells(text: str) -> tuple[Cell, ...]:
    """The cells below the headings and right of the first column.

    Example:
        >>> [(c.row, c.column) for c in cells("| Good | cost |\\n| --- | --- |\\n| tea | 3 |\\n")]
        [('tea', 'cost')]
    """
    found: list[Cell] = []
    headings: list[str] = []
    table, row, at = 0, 0, 0
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith("|"):
            table, row, headings = table + bool(headings), 0, []
        elif not _RULE.match(line):
            parts = [match for match in re.finditer(r"[^|]+", line) if match.group().strip()]
            listed = [part.group().strip() for part in parts]
            if not headings:
                headings = listed
            else:
                row += 1
                for column, part in enumerate(parts[1:], 1):
                    heading = headings[column] if column < len(headings) else ""
                    found.append(Cell(at + part.start(), at + part.end(), listed[0], heading, (table, row, column)))
        at += len(line)
    return tuple(found)


def cell_at(text: str, position: int) -> Cell | None:
    """The cell that holds a position, if any."""
    return next((cell for cell in cells(text) if cell.start <= position < cell.end), None)
