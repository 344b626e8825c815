"""What a trajectory of the mallocGame comes to: which buffer lies where in fast memory, and when it is copied."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Residency:
    """A stay of a buffer in fast memory.

    Attributes:
        buffer: its number.
        start, end: first and last instruction, both included.
        offset, size: it has the bytes [offset, offset + size).
        name: of the buffer.
    """

    buffer: int
    start: int
    end: int
    offset: int
    size: int
    name: str = ""


@dataclass(frozen=True)
class Copy:
    """An asynchronous copy from slow into fast memory.

    Attributes:
        buffer: its number.
        instruction: the use that it is for; it ends before.
        seconds: of each instruction behind which it is hidden, the copy time that it takes there.
    """

    buffer: int
    instruction: int
    seconds: dict[int, float] = field(hash=False)


@dataclass(frozen=True)
class Layout:
    """The fast memory over the time of a program.

    Attributes:
        residencies: in the order in which they were decided.
        time: seconds of the program with it.
        actions: the decision of each reference (0 DROP, 1 NOCOPY, 2 COPY); None where it came from elsewhere.
        copies: the copies; None where their times are not fixed.
        all_slow_time: seconds of the program with all buffers in slow memory; 0 where unknown.
        capacity: bytes of fast memory; None where unknown.
        program: name of the program.
        backups: alias groups that were taken back.
    """

    residencies: tuple[Residency, ...]
    time: float
    actions: tuple[int, ...] | None = None
    copies: tuple[Copy, ...] | None = None
    all_slow_time: float = 0.0
    capacity: int | None = None
    program: str = ""
    backups: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "residencies", tuple(self.residencies))

    def __repr__(self) -> str:
        faster = f", {self.speedup:.3f} times as fast as without" if self.all_slow_time and self.time else ""
        return (
            f"<Layout of {self.program!r}: {len(self.residencies)} residencies, peak {self.peak} of "
            f"{'unknown' if self.capacity is None else self.capacity} bytes, {self.time:.6g} s{faster}>"
        )

    @property
    def speedup(self) -> float:
        """All-slow time over time.

        Example:
            >>> Layout((), time=2.0, all_slow_time=3.0).speedup
            1.5
        """
        return self.all_slow_time / self.time

    @property
    def peak(self) -> int:
        """The highest address in use, in bytes."""
        return max((r.offset + r.size for r in self.residencies), default=0)
