"""A relaxation of the memory-mapping game for OR-tools' CP-SAT: a bound on the time, and mappings to play.

Kept from the game: which references are served fast and by which rule, slow writes of outputs, the amounts of copy time
between two uses of a buffer, and the sum of the sizes that are in fast memory at each instruction. Left out: addresses
(fragmentation is free), the order in which residencies are decided (nobody reserves ahead), that a copy uses the latest
time there is, and that members of an alias group share a side and an address (members of one group are not counted
against the capacity twice). Every trajectory of the game is a solution of the model, so its optimum is a lower bound of
the program's least time; where a solution that is played reaches the bound, it is optimal.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int, check_number

from ..game.hardware import Hardware
from ..game.program import MemoryProgram
from ..game.simulator import Game
from . import evolution
from .xla_like import xla_like

_UNITS = 2**36  # of time, in the all-slow time of the program


@dataclass(frozen=True)
class Relaxed:
    """What the relaxation gave.

    Attributes:
        bound: seconds that no trajectory of the game can beat, to a relative 1e-9.
        time: seconds of the relaxation's best solution, infinite without one.
        fast: that solution: whether each reference is served fast.
        optimal: the relaxation was solved to its optimum.
        strings: all solutions found on the way, the best last.
    """

    bound: float
    time: float
    fast: NDArray[np.bool_] | None
    optimal: bool
    strings: tuple[NDArray[np.bool_], ...] = ()


def solve(
    game: Game,
    rng: Any = None,
    *,
    seconds: float = 30.0,
    effort: float | None = None,
    workers: int = 1,
    repair: int = 500,
) -> Generator[None, None, str]:
    """Solve the relaxation, play its solutions, the best first, and repair the best of what was played.

    A solution of the relaxation need not fit once addresses are chosen, so it may be slower than a heuristic. Therefore
    greedy and the XLA-like heuristic are played as well, with the best solution as the first unit of work, and in the
    end a short evolution goes on from the best of all.

    Args:
        game: to be played on.
        rng: what ``numpy.random.default_rng`` takes; it seeds the solver.
        seconds: limit of wall time.
        effort: limit of the solver's deterministic time, about seconds; with it and one thread, and where it ends
            before ``seconds``, the result depends on the seed alone.
        workers: threads.
        repair: evaluations of that evolution, an episode each; 0 for none.

    Returns:
        At its end: in words, whether the relaxation was solved to its optimum.
    """
    check_int("repair", repair, low=0)
    seed = int(np.random.default_rng(rng).integers(2**31))
    found = relax(game.program, game.hardware, seconds=seconds, effort=effort, seed=seed, workers=workers)
    strings = list(reversed(found.strings))
    for bits in (*strings[:1], np.ones(game.program.references, bool), xla_like(game)):
        game.play(bits)
    yield
    for bits in strings[1:]:
        game.play(bits)
        yield
    if repair:
        yield from evolution.solve(game, seed, starts=("best",), evaluations=repair)
    if found.fast is None:
        return "the relaxation was not solved within its limit; only heuristics were played and improved"
    state = "to its optimum" if found.optimal else "but not to a proven optimum within its limit"
    return f"the relaxation was solved {state}; its solutions and the heuristics were played and improved"


def relax(
    program: MemoryProgram,
    hardware: Hardware,
    *,
    seconds: float = 30.0,
    effort: float | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Relaxed:
    """Solve the relaxation.

    Args:
        program: the program.
        hardware: the two memories.
        seconds: limit of wall time; the bound holds whenever the solver ends.
        effort: limit of the solver's deterministic time.
        seed: of the solver.
        workers: threads.

    Raises:
        OptimandError: OR-tools is not installed.
    """
    check_number("seconds", seconds, low=0, low_open=True)
    if effort is not None:
        check_number("effort", effort, low=0, low_open=True)
    check_int("workers", workers, low=1)
    cp_model, solver = or_tools(seconds, workers, seed)
    model = _Model(program, hardware, cp_model.CpModel())
    if effort is not None:
        solver.parameters.max_deterministic_time = effort
    strings: list[NDArray[np.bool_]] = []

    class Collect(cp_model.CpSolverSolutionCallback):  # type: ignore[misc, name-defined]
        def on_solution_callback(self) -> None:
            strings.append(np.array([bool(self.value(x)) for x in model.fast]))

    status = solver.solve(model.model, Collect())
    least = sum(model.least) * model.unit
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Relaxed(max(least, float(solver.best_objective_bound) * model.unit), np.inf, None, False)
    return Relaxed(
        max(least, solver.best_objective_bound * model.unit),
        solver.objective_value * model.unit,
        strings[-1],
        status == cp_model.OPTIMAL,
        tuple(strings),
    )


def or_tools(seconds: float, workers: int, seed: int) -> tuple[Any, Any]:
    """The module of CP-SAT and a solver with these limits; OptimandError where OR-tools is missing."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise OptimandError("method 'cp-sat' needs OR-tools: python -m pip install ortools") from None
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = min(seconds, 1e9)
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed % 2**31
    return cp_model, solver


class _Model:
    """The variables and constraints. Seconds become integers: costs rounded down, copy time per instruction up."""

    def __init__(self, program: MemoryProgram, hardware: Hardware, model: Any) -> None:
        self.program, self.hardware, self.model = program, hardware, model
        slow = [
            max(x.compute, sum(program.buffers[b].size for b in (*x.outputs, *x.inputs)) / hardware.slow_bw)
            for x in program.instructions
        ]
        self.unit = sum(slow) / _UNITS
        self.copy_time = [int(np.ceil(seconds / self.unit)) + 1 for seconds in slow]
        self.fast = [model.new_bool_var(f"fast {k}") for k in range(program.references)]
        self.kept: dict[int, Any] = {}  # input references: served where it lies
        self.inside: list[dict[int, list[Any]]] = [{} for _ in program.instructions]  # buffer -> terms of presence
        self.copies: list[list[Any]] = [[] for _ in program.instructions]
        self.least: list[int] = []
        for b, buffer in enumerate(program.buffers):
            self._buffer(b, buffer.size)
        self._capacity()
        self._time()

    def _cost(self, size: int, rate: float) -> int:
        return int(np.floor(size / rate / self.unit))

    def _buffer(self, b: int, size: int) -> None:
        """How the references of a buffer may be served."""
        program, model = self.program, self.model
        references = np.flatnonzero(program.ref_buffer == b).tolist()
        previous = None
        for k in references:
            i = int(program.ref_instruction[k])
            if size > self.hardware.capacity:
                model.add(self.fast[k] == 0)
            self._present(i, b, self.fast[k])
            if not program.ref_is_output[k]:
                kept = self.kept[k] = model.new_bool_var(f"kept {k}")
                copied = model.new_bool_var(f"copied {k}")
                model.add(kept + copied == self.fast[k])
                if previous is None:
                    model.add(kept == 0)
                else:
                    model.add_implication(kept, self.fast[previous])
                    for j in range(int(program.ref_instruction[previous]) + 1, i):
                        self._present(j, b, kept)
                begin = 0 if previous is None else int(program.ref_instruction[previous]) + 1
                self._copy(k, b, copied, begin, i)
            previous = k

    def _copy(self, k: int, b: int, copied: Any, begin: int, end: int) -> None:
        """Copy time in [begin, end) that suffices if the reference is copied; presence from where it starts."""
        model = self.model
        need = self._cost(self.program.buffers[b].size, self.hardware.copy_bw)
        need -= max(1, need // 10**11)
        parts, present = [], None
        for j in range(begin, end):
            part = model.new_int_var(0, max(0, min(need, self.copy_time[j])), f"copy {k} at {j}")
            here = model.new_bool_var(f"present {k} at {j}")
            model.add(part == 0).only_enforce_if(here.negated())
            model.add_implication(here, copied)
            if present is not None:
                model.add_implication(present, here)
            present = here
            parts.append(part)
            self.copies[j].append(part)
            self._present(j, b, here)
        if not parts:
            model.add(copied == 0)
            return
        model.add_implication(copied, present)  # some of the copy is made in the end, by the instruction before
        model.add(sum(parts) >= need).only_enforce_if(copied)

    def _present(self, i: int, b: int, term: Any) -> None:
        self.inside[i].setdefault(b, []).append(term)

    def _capacity(self) -> None:
        """At no instruction are more bytes in fast memory than fit; the terms of one buffer exclude each other."""
        program, model = self.program, self.model
        for i, inside in enumerate(self.inside):
            groups: dict[int, list[Any]] = {}
            terms: list[Any] = []
            for b, alternatives in inside.items():
                presence = sum(alternatives)
                if program.group[b] < 0:
                    terms.append(program.buffers[b].size * presence)
                else:
                    groups.setdefault(int(program.group[b]), []).append((b, presence))
            for g, members in groups.items():
                some = model.new_bool_var(f"group {g} at {i}")
                for _, presence in members:
                    model.add(presence <= some)
                terms.append(program.buffers[members[0][0]].size * some)
            if terms:
                model.add(sum(terms) <= self.hardware.capacity)
            if self.copies[i]:
                model.add(sum(self.copies[i]) <= self.copy_time[i])

    def _time(self) -> None:
        """Seconds of each instruction, and their sum as objective."""
        program, model, hardware = self.program, self.model, self.hardware
        total = []
        for i, instruction in enumerate(program.instructions):
            terms: list[Any] = []
            most = least = 0
            for k in range(int(program.first_ref[i]), int(program.first_ref[i + 1])):
                b = int(program.ref_buffer[k])
                size = program.buffers[b].size
                slow, fast = self._cost(size, hardware.slow_bw), self._cost(size, hardware.fast_bw)
                terms.append(slow + (fast - slow) * self.fast[k])
                most += max(slow, fast)
                least += min(slow, fast)
                if program.ref_is_output[k]:
                    terms.append(slow * self._written(k, b))
                    most += slow
            compute = int(np.floor(instruction.compute / self.unit))
            seconds = model.new_int_var(max(compute, least), max(compute, most), f"time {i}")
            model.add(seconds >= sum(terms))
            total.append(seconds)
            self.least.append(max(compute, least))
        model.minimize(sum(total))

    def _written(self, k: int, b: int) -> Any:
        """Whether a fast output is written to slow memory as well."""
        if self.program.buffers[b].live_out:
            return self.fast[k]
        written = self.model.new_bool_var(f"written {k}")
        for x in np.flatnonzero(self.program.ref_buffer == b).tolist():
            if x != k:
                self.model.add(written >= self.fast[k] - self.kept[x])
        return written
