"""The mallocGame (arXiv:2305.07440): a single player maps a program's buffers to memory, a reference at a time.

At each reference, DROP serves it from slow memory, NOCOPY from where the buffer lies in fast memory (or places an
output there), COPY prefetches it. A reward is the fall of the program's time, so the return of an episode is the
all-slow time less the final time, exactly. The rules are those of :mod:`.kernels`, which also documents the arrays;
rules of the paper that could not be checked in a source are replaced by a complete specification of our own.

A :class:`Game` also keeps count for whoever plays it: moves made and the best complete trajectory, shared by all
copies, so that a budget holds however a solver searches. Code that calls the kernels directly on its own arrays
reports its moves with :meth:`Game.charge` and what it found with :meth:`Game.offer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimand.core.running import BudgetSpent
from optimand.core.validation import OptimandError, check_int, check_number

from . import arrays as ix
from . import episodes, kernels
from .arrays import Floats, Ints
from .hardware import Hardware
from .layouts import Copy, Layout, Residency
from .program import MemoryProgram

ENDLESS = 2**62
MovesSpent = BudgetSpent
"""The game's limit of moves is reached: whoever gave the limit ends the solver here."""
NAMES = {ix.DROP: "DROP", ix.NOCOPY: "NOCOPY", ix.COPY: "COPY"}


class Snapshot(NamedTuple):
    """A state, to be given back to :meth:`Game.restore`."""

    ints: Ints
    floats: Floats


@dataclass
class MoveBudget:
    """What a game and its copies share."""

    limit: int = ENDLESS
    moves: int = 0
    time: float = float("inf")
    actions: NDArray[np.int8] | None = None

    @property
    def left(self) -> int:
        """Moves that may still be made."""
        return self.limit - self.moves

    def end(self) -> BudgetSpent:
        """What is raised where more moves are asked for."""
        return BudgetSpent(f"the game's limit of {self.limit} moves is reached")

    def keep(self, time: float, decisions: NDArray[np.int64]) -> None:
        """Keep a complete trajectory if it is the best."""
        if time < self.time:
            self.time, self.actions = float(time), decisions.astype(np.int8)


class Game:
    """A program on a machine, as a game.

    Where a member of an alias group cannot be served as the group demands, the game returns to the group's first
    decision and drops all its references (each group at most once).

    Args:
        program: what is to be mapped.
        hardware: the two memories.
        limit: most moves ever, over all episodes and copies; None for no limit.

    Attributes:
        all_slow_time: seconds with every reference in slow memory.
        least_time: seconds with every reference in fast memory and no slow writes, which no mapping can beat.
        P, Q, S, F: the arrays of :mod:`.kernels`; S and F stay the same objects.

    Raises:
        TypeError, ValueError: a bad limit, or something else than a program and a machine.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program
        >>> game = Game(tiny_program(), Hardware.preset("tiny"))
        >>> sum(game.step("DNC".index(a)) for a in "DDNDDNNNDNDND")
        17.6
        >>> game.done, game.all_slow_time - game.time
        (True, 17.6)
    """

    def __init__(self, program: MemoryProgram, hardware: Hardware, *, limit: int | None = None) -> None:
        if not isinstance(program, MemoryProgram):
            raise TypeError(f"program must be a MemoryProgram, got {program!r} ({type(program).__name__})")
        if not isinstance(hardware, Hardware):
            raise TypeError(f"hardware must be a Hardware, got {hardware!r} ({type(hardware).__name__})")
        self.program, self.hardware = program, hardware
        self.P, self.Q = ix.pack_program(program, hardware)
        self.S, self.F = ix.make_state(self.P)
        self._scratch = ix.make_state(self.P)
        self._budget = MoveBudget(ENDLESS if limit is None else check_int("limit", limit, low=0))
        self._references = program.references
        self.all_slow_time = float(self.Q[ix.ALL_SLOW])
        fast = program.sizes[program.ref_buffer] / hardware.fast_bw
        together = np.bincount(program.ref_instruction, fast, len(program.instructions))
        self.least_time = float(np.maximum([i.compute for i in program.instructions], together).sum())
        self.reset()

    @property
    def position(self) -> int:
        """The reference that is decided next; as many as there are when the episode is over."""
        return int(self.S[ix.POSITION])

    @property
    def done(self) -> bool:
        """Whether all references are decided."""
        return bool(self.S[ix.POSITION] >= self._references)

    @property
    def time(self) -> float:
        """Seconds of the program with the decisions so far, open references counted as slow."""
        return float(self.F[ix.TIME])

    @property
    def backups(self) -> int:
        """Alias groups that were taken back in this episode."""
        return int(self.S[ix.BACKUPS])

    @property
    def decisions(self) -> NDArray[np.int8]:
        """The action of each reference, -1 where it is open."""
        return self.S[ix.DECISIONS : ix.DECISIONS + self._references].astype(np.int8)

    @property
    def residencies(self) -> tuple[Residency, ...]:
        """What lies in fast memory by the decisions so far, with the reserved ends."""
        return _residencies(self.program, self.P, self.S)

    @property
    def moves(self) -> int:
        """Moves made with this game and its copies, over all episodes."""
        return self._budget.moves

    @property
    def remaining(self) -> int | None:
        """Moves left; None without a limit."""
        return None if self._budget.limit == ENDLESS else self._budget.left

    @property
    def best(self) -> tuple[float, NDArray[np.int8]] | None:
        """Time and decisions of the best complete trajectory so far; None before the first."""
        return None if self._budget.actions is None else (self._budget.time, self._budget.actions.copy())

    def legal(self) -> NDArray[np.bool_]:
        """Which of DROP, NOCOPY and COPY are legal: DROP and at most one other; one alone, or none at the end."""
        if self.S[ix.POSITION] >= self._references:
            return ix.NONE_LEGAL
        return ix.LEGAL[self.S[ix.FORCED]][self.S[ix.FAST]]

    def reset(self) -> None:
        """Begin an episode."""
        kernels.reset(self.P, self.Q, self.S, self.F)

    def step(self, action: int) -> float:
        """Decide the reference at the position.

        Args:
            action: DROP 0, NOCOPY 1 or COPY 2.

        Returns:
            The fall of the program's time in seconds; negative where a slow write or a backup makes it rise.

        Raises:
            ValueError: the action is illegal here, or the episode is over.
            MovesSpent: the limit is reached.
        """
        budget = self._budget
        if budget.moves >= budget.limit:
            raise budget.end()
        reward: float = kernels.step(self.P, self.Q, self.S, self.F, int(action))
        if reward != reward:
            raise ValueError(self._complaint(action))
        budget.moves += 1
        if self.S[ix.POSITION] >= self._references:
            self._keep(self.F[ix.TIME], self.S)
        return reward

    def play(self, fast: ArrayLike) -> float:
        """Play a whole episode apart from the current one, which stays as it is.

        Args:
            fast: for each reference, whether to take the fast option; DROP where it says no, or none is legal.

        Returns:
            Seconds of the program.

        Raises:
            MovesSpent: the limit ended the episode before its end.
        """
        bits = np.asarray(fast, dtype=np.bool_)
        if bits.shape != (self._references,):
            raise ValueError(f"fast must have one entry for each of {self._references} references, got {bits.shape}")
        s, f = self._scratch
        kernels.reset(self.P, self.Q, s, f)
        self._budget.moves += int(episodes.play(self.P, self.Q, s, f, bits, self._budget.left))
        if s[ix.POSITION] < self._references:
            raise self._budget.end()
        self._keep(f[ix.TIME], s)
        return float(f[ix.TIME])

    def play_random(self, seed: int, fast_probability: float = 0.5, count: int = 1) -> float:
        """Play random episodes from the current state to the end; the state stays as it is.

        Args:
            seed: of the episodes, which depend on nothing else.
            fast_probability: of the fast option where two actions are legal; 1 is the greedy policy.
            count: how many episodes.

        Returns:
            The mean of their times in seconds.

        Raises:
            MovesSpent: the limit ended the episodes before their end.
        """
        check_int("count", count, low=1)
        check_number("fast_probability", fast_probability, low=0, high=1)
        best = np.empty(self._references, np.int64)
        seed = check_int("seed", seed) % 2**63
        moves, least, total, complete = episodes.play_random(
            self.P, self.Q, self.S, self.F, *self._scratch, best, seed, float(fast_probability), int(count),
            self._budget.left,
        )  # fmt: skip
        self._budget.moves += int(moves)
        if complete:
            self._budget.keep(least, best)
        if complete < count:
            raise self._budget.end()
        return float(total / count)

    def snapshot(self) -> Snapshot:
        """The state, bit for bit."""
        return Snapshot(self.S.copy(), self.F.copy())

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state of this program on this machine."""
        ints, floats = snapshot
        if ints.shape != self.S.shape or floats.shape != self.F.shape:
            raise ValueError(f"snapshot must be of this game, with {self.S.shape} integers, got {ints.shape}")
        self.S[:] = ints
        self.F[:] = floats

    def copy(self) -> Game:
        """A game in the same state that moves on its own; limit, moves and best trajectory are shared."""
        twin = object.__new__(Game)
        twin.__dict__.update(self.__dict__)
        twin.S, twin.F = self.S.copy(), self.F.copy()
        twin._scratch = ix.make_state(self.P)
        return twin

    def charge(self, moves: int) -> None:
        """Count moves made on the arrays directly; MovesSpent where that passes the limit."""
        allowed = min(check_int("moves", moves, low=0), self._budget.left)
        self._budget.moves += allowed
        if allowed < moves:
            raise self._budget.end()

    def offer(self, actions: ArrayLike) -> float:
        """Keep a complete trajectory found elsewhere if it is the best; it is replayed, uncounted, for its time.

        Raises:
            ValueError: an action is illegal.
        """
        found = self._checked(actions)
        s, f = self._scratch
        wrong = int(episodes.play_actions(self.P, self.Q, s, f, found))
        if wrong >= 0:
            raise ValueError(f"actions[{wrong}] is illegal there, got {int(found[wrong])}")
        self._keep(f[ix.TIME], s)
        return float(f[ix.TIME])

    def layout(self, actions: ArrayLike | None = None) -> Layout:
        """Where the buffers lie.

        Args:
            actions: a decision for each reference; None for the best trajectory so far.

        Raises:
            ValueError: an action is illegal.
            OptimandError: no actions, and no complete trajectory yet.
        """
        if actions is None:
            if self._budget.actions is None:
                raise OptimandError("layout needs actions before the first complete trajectory, got none")
            actions = self._budget.actions
        return _traced(self, self._checked(actions))

    def _keep(self, time: Any, s: Ints) -> None:
        self._budget.keep(time, s[ix.DECISIONS : ix.DECISIONS + self._references])

    def _checked(self, actions: ArrayLike) -> Ints:
        found = np.asarray(actions)
        if found.shape != (self._references,):
            raise ValueError(
                f"actions must have one entry for each of {self._references} references, got {found.shape}"
            )
        return found.astype(np.int64)

    def _complaint(self, action: Any) -> str:
        if self.done:
            return f"action {action!r}: the episode is over; call reset first"
        k = self.position
        b, i = self.program.ref_buffer[k], self.program.ref_instruction[k]
        legal = ", ".join(f"{a} ({NAMES[a]})" for a in np.flatnonzero(self.legal()).tolist())
        return f"action must be one of {legal} at reference {k} (buffer {b}, instruction {i}), got {action!r}"


def _traced(game: Game, actions: Ints) -> Layout:
    """The layout of a trajectory: a replay on the side that notes where buffers lie and when they are copied.

    Args:
        game: its state stays as it is, and no move is counted.
        actions: a decision for each reference; one that comes up again after a backup is taken again.

    Raises:
        ValueError: an action is illegal.
    """
    program, P, Q = game.program, game.P, game.Q
    S, F = ix.make_state(P)
    kernels.reset(P, Q, S, F)
    first, last = P[ix.F_USED], P[ix.F_USED] + len(program.instructions)
    copies: dict[int, Copy] = {}
    while S[ix.POSITION] < program.references:
        k, before = int(S[ix.POSITION]), F[first:last].copy()
        reward = kernels.step(P, Q, S, F, int(actions[k]))
        if np.isnan(reward):
            raise ValueError(f"actions[{k}] is illegal there, got {int(actions[k])}")
        if S[ix.POSITION] == k + 1 and actions[k] == ix.COPY:
            taken = F[first:last] - before
            seconds = {int(j): float(taken[j]) for j in np.flatnonzero(taken)}
            copies[k] = Copy(int(program.ref_buffer[k]), int(program.ref_instruction[k]), seconds)
        elif S[ix.POSITION] <= k:  # a backup: what came after the group's first decision is undone
            copies = {at: copy for at, copy in copies.items() if at < S[ix.POSITION]}
    decisions = tuple(S[ix.DECISIONS :][: program.references].tolist())
    return Layout(
        residencies=_residencies(program, P, S),
        time=float(F[ix.TIME]),
        actions=decisions,
        copies=tuple(copies[k] for k in sorted(copies)),
        all_slow_time=game.all_slow_time,
        capacity=game.hardware.capacity,
        program=program.name,
        backups=int(S[ix.BACKUPS]),
    )


def _residencies(program: MemoryProgram, P: Ints, S: Ints) -> tuple[Residency, ...]:
    """The residencies of a state, in the order in which they were decided."""
    parts = (ix.S_WHOSE, ix.S_START, ix.S_END, ix.S_LOW)
    rows = zip(*(S[P[part] :][: S[ix.COUNT]].tolist() for part in parts), strict=True)
    buffers = program.buffers
    return tuple(Residency(b, start, end, low, buffers[b].size, buffers[b].name) for b, start, end, low in rows)
