"""Problems of the family ``memory-mapping``: real programs, recorded, on a machine with a small fast memory.

The budget counts moves: decisions about single references, whether played, tried in a search tree or made in a playout.
The metric is the speed-up of the best layout so far over the program with all its data in slow memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int

from .game.sizes import read_bytes, shown_bytes

if TYPE_CHECKING:
    from .game.hardware import Hardware
    from .game.program import MemoryProgram


def sensible_capacity(program: MemoryProgram) -> int:
    """An eighth of the bytes of all buffers, rounded to a power of two: room for a part of what is worth keeping."""
    return int(2 ** round(math.log2(max(sum(buffer.size for buffer in program.buffers) / 8, 1))))


@dataclass(frozen=True, kw_only=True)
class MappingProblem:
    """A program and a machine to map it on, within a budget of moves.

    Attributes:
        name: what users type.
        summary: one line.
        program: the program.
        hardware: the machine.
        budget: moves by default.
        target: speed-up that counts for time-to-target, or None.
    """

    name: str
    summary: str
    program: MemoryProgram
    hardware: Hardware
    budget: int = 300_000
    target: float | None = None

    family: ClassVar[str] = "memory-mapping"
    unit: ClassVar[str] = "moves"
    metric: ClassVar[str] = "speedup"
    direction: ClassVar[Literal["min", "max"]] = "max"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)

    def instance(self) -> tuple[MemoryProgram, Hardware]:
        """Program and machine."""
        return self.program, self.hardware

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.combinatorial.memory_mapping.loop.run`."""
        from .loop import run

        run(self, method, {**method.defaults, **hyper}, seed=seed, budget=budget, recorder=recorder)


@problem("memory-program", family="memory-mapping")
def memory_program(
    program: str = "transformer", capacity: str = "", path: str = "", hardware: str = "", budget: int = 300_000
) -> MappingProblem:
    """A recorded program (or a file of one) whose data compete for a small fast memory.

    Args:
        program: one of the recorded programs, extracted from PyTorch and JAX.
        capacity: of the fast memory, such as ``1MiB``; by default one at which mapping the recorded program is neither
            trivial nor hopeless, or an eighth of a file's bytes, as a power of two.
        path: a CSV file of a program instead, as ``write_program`` makes it.
        hardware: the machine's bandwidths, for a file: the name of a preset, ``tpuv4i`` by default. A recorded program
            has its own machine.
        budget: moves.

    Raises:
        OptimandError: no capacity, a file that cannot be read, or a machine for a recorded program.
    """
    from .game.hardware import Hardware
    from .programs import hardware_of, read_program, recorded

    size = read_bytes(capacity) if str(capacity) else None
    if path:
        chosen = read_program(path)
        machine = Hardware.preset(hardware or "tpuv4i", capacity=sensible_capacity(chosen) if size is None else size)
    elif hardware:
        raise OptimandError(f"hardware is for a program from a file (path=…), got {hardware!r} without one")
    else:
        chosen, machine = recorded(program), hardware_of(program, size)
    what = f"program={program}"
    if path:
        what = f"path={path}" + (f",hardware={hardware}" if hardware else "")
    return MappingProblem(
        name=f"memory-program:{what},capacity={shown_bytes(machine.capacity)}",
        summary=f"{chosen.name or 'a program'}: {len(chosen.instructions)} instructions, {len(chosen.buffers)} "
        f"buffers, {shown_bytes(machine.capacity)} of fast memory",
        program=chosen,
        hardware=machine,
        budget=budget,
    )


@problem("tiny-memory", family="memory-mapping")
def tiny_memory(capacity: int = 12, budget: int = 2000) -> MappingProblem:
    """Five instructions, seven buffers: small enough for the optimum to be known by brute force.

    Args:
        capacity: of the fast memory; the heuristic is not optimal at 4, 6 and 12.
        budget: moves.
    """
    from .game.hardware import Hardware
    from .game.program import tiny_program

    machine = Hardware.preset("tiny", capacity=check_int("capacity", capacity, low=0))
    return MappingProblem(
        name=f"tiny-memory:capacity={capacity}", program=tiny_program(), hardware=machine, budget=budget,
        target=_optimum(capacity),
        summary=f"a program of five instructions, {capacity} units of fast memory; the target is the optimum",
    )  # fmt: skip


@functools.cache
def _optimum(capacity: int) -> float:
    """The best speed-up, by brute force, less a rounding error."""
    from .game.episodes import brute_force
    from .game.hardware import Hardware
    from .game.program import tiny_program
    from .game.simulator import Game

    program, machine = tiny_program(), Hardware.preset("tiny", capacity=capacity)
    return Game(program, machine).all_slow_time / brute_force(program, machine).time - 1e-9
