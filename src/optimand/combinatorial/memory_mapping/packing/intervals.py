"""Intervals of time that need addresses: the data of a packing, minimalloc's files, and an independent check.

The files are those of google/minimalloc: columns id, lower, upper (exclusive), size, and, in a solution, offset. The
columns start, end and buffer are understood too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimand.core.validation import OptimandError, check_int

_NAMES = {"id": ("id", "buffer"), "lower": ("lower", "start", "begin"), "upper": ("upper", "end"), "size": ("size",)}


@dataclass(frozen=True)
class Intervals:
    """Intervals [lower, upper) of time, each with a size in address units.

    Args:
        lower: first moments of life.
        upper: first moments after it, above ``lower``.
        size: address units, at least 1.
        names: for messages and files; numbers where None.

    Raises:
        OptimandError: lengths that differ, an empty interval, a size below 1, numbers that are no integers.

    Example:
        >>> Intervals([0, 2], [3, 4], [5, 1]).load_bound()
        6
    """

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    size: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __init__(self, lower: ArrayLike, upper: ArrayLike, size: ArrayLike, names: Iterable[str] | None = None) -> None:
        for name, values in (("lower", lower), ("upper", upper), ("size", size)):
            object.__setattr__(self, name, _integers(name, values))
        count = len(self.lower)
        given = tuple(str(i) for i in range(count)) if names is None else tuple(str(name) for name in names)
        object.__setattr__(self, "names", given)
        lengths = {"lower": count, "upper": len(self.upper), "size": len(self.size), "names": len(given)}
        if len(set(lengths.values())) > 1:
            raise OptimandError(f"lower, upper, size and names must be equally long, got {lengths}")
        for i in np.flatnonzero(self.upper <= self.lower):
            raise OptimandError(
                f"interval {given[i]!r} must end after its start, got lower {self.lower[i]}, upper {self.upper[i]}"
            )
        for i in np.flatnonzero(self.size < 1):
            raise OptimandError(f"interval {given[i]!r} must have a size of at least 1, got {self.size[i]}")
        if count and int(self.size.astype(object).sum()) >= 2**62:
            raise OptimandError("the sizes must sum to less than 2**62")

    def __len__(self) -> int:
        return len(self.size)

    def sections(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """First and last (exclusive) section of each interval and the number of sections.

        Sections lie between consecutive moments at which an interval starts or ends.
        """
        moments = np.unique(np.concatenate([self.lower, self.upper]))
        return np.searchsorted(moments, self.lower), np.searchsorted(moments, self.upper), max(0, len(moments) - 1)

    def loads(self) -> NDArray[np.int64]:
        """Summed size of what is alive, per section."""
        first, last, count = self.sections()
        change = np.zeros(count + 1, np.int64)
        np.add.at(change, first, self.size)
        np.subtract.at(change, last, self.size)
        return np.cumsum(change)[:count]

    def load_bound(self) -> int:
        """The largest summed size of intervals that are alive at once: no packing is lower."""
        return int(self.loads().max(initial=0))


def as_intervals(value: Any) -> Intervals:
    """``Intervals`` from one, from a path of minimalloc's format, or from (lower, upper, size) triples."""
    if isinstance(value, Intervals):
        return value
    if isinstance(value, str | Path):
        return read_minimalloc(value)
    try:
        rows = [tuple(row) for row in value]
    except TypeError:
        raise TypeError(f"intervals must be Intervals, a path or (lower, upper, size) triples, got {value!r}") from None
    for i, row in enumerate(rows):
        if len(row) != 3:
            raise OptimandError(f"intervals[{i}] must be a triple (lower, upper, size), got {row!r}")
    lower, upper, size = zip(*rows, strict=True) if rows else ((), (), ())
    return Intervals(lower, upper, size)


def read_minimalloc(path: str | Path) -> Intervals:
    """Read a file in minimalloc's CSV format.

    Raises:
        OptimandError: the file cannot be read, lacks a column, or a line is unfit; the line is named.
    """
    rows, columns = _rows(Path(path))
    missing = [name for name in ("lower", "upper", "size") if name not in columns]
    if missing:
        raise OptimandError(f"file {str(path)!r} must have the columns id, lower, upper, size; it lacks {missing}")
    parts: dict[str, list[int]] = {name: [] for name in ("lower", "upper", "size")}
    for number, row in enumerate(rows, start=2):
        for name, values in parts.items():
            text = row.get(columns[name])
            try:
                values.append(int(str(text)))
            except ValueError:
                raise OptimandError(
                    f"file {str(path)!r}, line {number}: {name} must be an integer, got {text!r}"
                ) from None
    names = [row[columns["id"]] for row in rows] if "id" in columns else None
    return Intervals(parts["lower"], parts["upper"], parts["size"], names)


def write_minimalloc(path: str | Path, intervals: Intervals, offsets: ArrayLike | None = None) -> None:
    """Write minimalloc's CSV format, with the column offset where a solution is given."""
    table = [intervals.lower, intervals.upper, intervals.size]
    header = ["id", "lower", "upper", "size"]
    if offsets is not None:
        table.append(_integers("offsets", offsets))
        header.append("offset")
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header)
        out.writerows(
            [name, *map(int, row)] for name, row in zip(intervals.names, zip(*table, strict=True), strict=True)
        )


def check_packing(intervals: Intervals, offsets: ArrayLike, capacity: int | None = None) -> int:
    """Check a packing pair by pair and return its height.

    Args:
        offsets: lowest address of each interval.
        capacity: the height that it may not exceed; None for any.

    Raises:
        OptimandError: a negative offset, two intervals that share time and addresses, an address beyond the capacity.
    """
    at = _integers("offsets", offsets)
    if len(at) != len(intervals):
        raise OptimandError(f"offsets must be {len(intervals)} integers, got {len(at)}")
    tops = at + intervals.size
    for below in np.flatnonzero(at < 0):
        raise OptimandError(f"interval {intervals.names[below]!r} lies at the negative offset {at[below]}")
    for i in range(len(at)):
        in_time = (intervals.lower[:i] < intervals.upper[i]) & (intervals.lower[i] < intervals.upper[:i])
        for j in np.flatnonzero(in_time & (at[:i] < tops[i]) & (at[i] < tops[:i])):
            raise OptimandError(f"intervals {intervals.names[j]!r} and {intervals.names[i]!r} overlap")
    height = int(tops.max(initial=0))
    if capacity is not None and height > check_int("capacity", capacity, low=0):
        raise OptimandError(f"the packing is {height} high, above the capacity {capacity}")
    return height


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    try:
        raw = np.asarray(values)
        array = raw.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        raise OptimandError(f"{name} must be integers, got {values!r}") from None
    if raw.ndim != 1 or (raw.dtype.kind not in "iu" and raw.size and not np.array_equal(raw, array)):
        raise OptimandError(f"{name} must be a one-dimensional array of integers, got {values!r}")
    array.setflags(write=False)
    return array


def _rows(path: Path) -> tuple[Sequence[dict[str, str]], dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError) as error:
        raise OptimandError(f"file {str(path)!r} could not be read: {error}") from error
    return rows, {name: found for name, known in _NAMES.items() for found in header if found in known}
