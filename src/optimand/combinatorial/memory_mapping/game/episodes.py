"""Compiled loops over whole episodes: an action string, random playouts, and all trajectories of a small program."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled
from optimand.core.validation import OptimandError, check_int

from . import arrays as ix
from .hardware import Hardware
from .kernels import reset, step
from .program import MemoryProgram


@compiled(error_model="numpy")
def draw(state: Any) -> float:
    """A uniform number in [0, 1) from a state of one uint64 (splitmix64)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return float(z >> np.uint64(11)) * 1.1102230246251565e-16


@compiled
def play(P: Any, Q: Any, S: Any, F: Any, fast: Any, most: Any) -> Any:
    """Go on from a state to the end: the fast option where ``fast`` says so and it is legal; returns the moves made.

    ``fast`` has an entry for each reference. Stops after ``most`` moves.
    """
    moves = 0
    while S[ix.POSITION] < P[ix.R] and moves < most:
        action = ix.DROP
        if S[ix.FORCED] == 1 or fast[S[ix.POSITION]]:
            action = S[ix.FAST]
        step(P, Q, S, F, action)
        moves += 1
    return moves


@compiled
def play_actions(P: Any, Q: Any, S: Any, F: Any, actions: Any) -> Any:
    """Play decisions from the start; the first position whose action is illegal, -1 where all are legal.

    A position that comes up again after a backup takes its decision again, which is legal only if it is DROP.
    """
    reset(P, Q, S, F)
    while S[ix.POSITION] < P[ix.R]:
        k = S[ix.POSITION]
        reward = step(P, Q, S, F, np.int64(actions[k]))
        if reward != reward:
            return k
    return -1


@compiled
def play_random(
    P: Any, Q: Any, S: Any, F: Any, s: Any, f: Any, best: Any, seed: Any, fast_probability: Any, count: Any, most: Any
) -> Any:
    """``count`` random episodes from the state (S, F), which stays; the best one's decisions go into ``best``.

    ``s`` and ``f`` are room for a state. Where two actions are legal, the fast one has ``fast_probability``.

    Returns:
        moves made, time of the best episode, sum of the times, and complete episodes.
    """
    word = np.array([seed], np.uint64)
    moves, done = 0, 0
    least, total = np.inf, 0.0
    for _ in range(count):
        s[:] = S
        f[:] = F
        while s[ix.POSITION] < P[ix.R] and moves < most:
            action = s[ix.FAST]
            if action != ix.DROP and s[ix.FORCED] == 0 and draw(word) >= fast_probability:
                action = ix.DROP
            step(P, Q, s, f, action)
            moves += 1
        if s[ix.POSITION] < P[ix.R]:
            break
        done += 1
        total += f[ix.TIME]
        if f[ix.TIME] < least:
            least = f[ix.TIME]
            best[:] = s[ix.DECISIONS : ix.DECISIONS + P[ix.R]]
    return moves, least, total, done


@compiled
def enumerate_all(P: Any, Q: Any, best: Any, most: Any) -> Any:
    """Depth-first search over all trajectories, without pruning.

    Returns:
        least time, and complete trajectories, or -1 where there are more than ``most``.
    """
    depth = (P[ix.G] + 1) * P[ix.R] + 1
    states = np.empty((depth, P[ix.S_LENGTH]), np.int64)
    times = np.empty((depth, P[ix.F_LENGTH]))
    reset(P, Q, states[0], times[0])
    least, leaves, top = np.inf, 0, 1
    while top > 0:
        top -= 1
        S, F = states[top], times[top]
        # The open alternative takes the row above, so a row in use is never written.
        while S[ix.POSITION] < P[ix.R]:
            action = S[ix.FAST]
            if action != ix.DROP and S[ix.FORCED] == 0:
                states[top + 1] = S
                times[top + 1] = F
                step(P, Q, states[top], times[top], np.int64(ix.DROP))
                top += 1
                S, F = states[top], times[top]
            step(P, Q, S, F, action)
        leaves += 1
        if leaves > most:
            return least, -1
        if F[ix.TIME] < least:
            least = F[ix.TIME]
            best[:] = S[ix.DECISIONS : ix.DECISIONS + P[ix.R]]
    return least, leaves


class Optimum(NamedTuple):
    """What an enumeration found.

    Attributes:
        time: least seconds.
        actions: a trajectory that has them.
        leaves: complete trajectories.
    """

    time: float
    actions: NDArray[np.int8]
    leaves: int


def brute_force(program: MemoryProgram, hardware: Hardware, *, max_leaves: int = 20_000_000) -> Optimum:
    """The best of all trajectories of the game.

    Args:
        program: small; trajectories grow exponentially with its references.
        hardware: the two memories.
        max_leaves: most trajectories, about 5 to 10 million a minute.

    Raises:
        OptimandError: there are more trajectories.

    Example:
        >>> from optimand.combinatorial.memory_mapping import Hardware, tiny_program
        >>> found = brute_force(tiny_program(), Hardware.preset("tiny"))
        >>> round(50 - found.time, 9), found.leaves
        (17.6, 114)
    """
    check_int("max_leaves", max_leaves, low=1)
    p, q = ix.pack_program(program, hardware)
    best = np.zeros(program.references, np.int64)
    time, leaves = enumerate_all(p, q, best, max_leaves)
    if leaves < 0:
        raise OptimandError(
            f"a program of {program.references} references has more than max_leaves={max_leaves} trajectories; "
            "enumerate a smaller one, or search"
        )
    return Optimum(float(time), best.astype(np.int8), int(leaves))
