"""Games of several programs side by side, and compiled steps from one decision to the next.

A decision is a position where both DROP and a fast action are legal; positions with one legal action are played
through. Action 0 is slow, action 1 is fast. Rewards are relative to T of the all-slow state, moves are counted, and
the best complete trajectory of each program is kept whoever meets it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

from ...game import arrays as ix
from ...game.episodes import draw
from ...game.kernels import reset, step
from ..features import static_features, uses_after


class Board(NamedTuple):
    """G programs, padded to the longest, and what is kept about each of them."""

    p: NDArray[np.int64]  # (G, …), see game.arrays
    q: NDArray[np.float64]  # (G, …)
    table: NDArray[np.float32]  # (G, R, features), static features
    later: NDArray[np.int64]  # (G, R)
    guide: NDArray[np.float64]  # (G, R), probability of the fast action in playouts
    best_time: NDArray[np.float64]  # (G,), seconds
    best: NDArray[np.int8]  # (G, R), actions of the best trajectory
    moves: NDArray[np.int64]  # (G,), moves that may still be made
    start_ints: NDArray[np.int64]  # (G, …), state at the first decision
    start_floats: NDArray[np.float64]  # (G, …)


def make_board(programs: list[tuple[NDArray, NDArray]], *, position: bool) -> Board:
    """A board of packed programs.

    Args:
        programs: pairs as ``game.arrays.pack_program`` gives them.
        position: whether the features tell the position by sines and cosines.
    """
    tables = [static_features(p, q, position=position) for p, q in programs]
    references = max(len(table) for table in tables)
    count = len(programs)
    board = Board(
        p=_stack([p for p, _ in programs]),
        q=_stack([q for _, q in programs]),
        table=np.zeros((count, references, tables[0].shape[1]), np.float32),
        later=_stack([uses_after(p) for p, _ in programs]),
        guide=np.full((count, references), 0.5),
        best_time=np.full(count, np.inf),
        best=np.zeros((count, references), np.int8),
        moves=np.full(count, np.iinfo(np.int64).max),
        start_ints=_stack([np.zeros(p[ix.S_LENGTH], np.int64) for p, _ in programs]),
        start_floats=_stack([np.zeros(p[ix.F_LENGTH]) for p, _ in programs]),
    )
    for g, (p, q) in enumerate(programs):
        board.table[g, : len(tables[g])] = tables[g]
        reset(p, q, board.start_ints[g], board.start_floats[g])
        skip_forced(p, q, board.start_ints[g], board.start_floats[g], board.moves[g : g + 1])
    return board


def blank_states(board: Board, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Room for states, (count, …) integers and numbers."""
    return np.zeros((count, board.start_ints.shape[1]), np.int64), np.zeros((count, board.start_floats.shape[1]))


def _stack(rows: list[NDArray]) -> NDArray:
    out = np.zeros((len(rows), max(len(row) for row in rows)), rows[0].dtype)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


@compiled(error_model="numpy")
def skip_forced(P: NDArray, Q: NDArray, S: NDArray, F: NDArray, moves: NDArray) -> bool:
    """Play while one action is legal; False where the moves ran out first."""
    while S[ix.POSITION] < P[ix.R] and (S[ix.FAST] == 0 or S[ix.FORCED] == 1):
        if moves[0] <= 0:
            return False
        moves[0] -= 1
        step(P, Q, S, F, S[ix.FAST])
    return True


@compiled(error_model="numpy")
def decide(P: NDArray, Q: NDArray, S: NDArray, F: NDArray, action: int, moves: NDArray) -> bool:
    """Play a decision and go on to the next; False where the moves ran out first."""
    if moves[0] <= 0:
        return False
    moves[0] -= 1
    step(P, Q, S, F, S[ix.FAST] if action == 1 else ix.DROP)
    return skip_forced(P, Q, S, F, moves)


@compiled(error_model="numpy")
def is_over(P: NDArray, S: NDArray) -> bool:
    """Whether the last reference was decided."""
    return S[ix.POSITION] >= P[ix.R]


@compiled(error_model="numpy")
def saved(Q: NDArray, F: NDArray) -> float:
    """Seconds saved so far relative to the all-slow time."""
    return (Q[ix.ALL_SLOW] - F[ix.TIME]) / Q[ix.ALL_SLOW] if Q[ix.ALL_SLOW] > 0.0 else 0.0


@compiled(error_model="numpy")
def keep_best(board: Board, g: int, S: NDArray, F: NDArray) -> bool:
    """Offer a complete trajectory; True where it is the best so far."""
    if not F[ix.TIME] < board.best_time[g]:
        return False
    board.best_time[g] = F[ix.TIME]
    for at in range(board.p[g, ix.R]):
        board.best[g, at] = S[ix.DECISIONS + at]
    return True


@compiled(error_model="numpy")
def copy_state(S: NDArray, F: NDArray, to_S: NDArray, to_F: NDArray) -> None:
    """Copy a state; loops, because assignments of slices take a second each to compile."""
    for at in range(S.shape[0]):
        to_S[at] = S[at]
    for at in range(F.shape[0]):
        to_F[at] = F[at]


@compiled(error_model="numpy")
def begin(board: Board, g: int, S: NDArray, F: NDArray) -> None:
    """Set a state to the first decision of program ``g``; the forced moves before it are counted."""
    copy_state(board.start_ints[g], board.start_floats[g], S, F)
    board.moves[g] = max(board.moves[g] - S[ix.POSITION], 0)


@compiled(error_model="numpy")
def play_out(board: Board, g: int, S: NDArray, F: NDArray, rng: NDArray) -> bool:
    """Play to the end, fast with the guide's probability at each decision, and offer the result; False: no moves."""
    P, Q, moves, guide = board.p[g], board.q[g], board.moves[g : g + 1], board.guide[g]
    while not is_over(P, S):
        action = 1 if draw(rng) < guide[S[ix.POSITION]] else 0
        if not decide(P, Q, S, F, action, moves):
            return False
    keep_best(board, g, S, F)
    return True
