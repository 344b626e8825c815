"""Battleship on 6 x 6 cells: a policy that chooses where to shoot next, given by five numbers or by code.

Of the kind of the experiment of Trace (arXiv 2406.16218), where a policy is written by a language model. Here the same
game can be played by weights of features, which a numeric optimizer can change, or by a function's source. The reward
is the share of the ships' cells that is hit in 18 shots, half of the board; shooting at random gives one half.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SIZE, SHOTS = 6, 18
SHIPS = (4, 3, 2)
UNKNOWN, MISS, HIT = ".", "o", "x"
FEATURES = ("next_to_hit", "in_line", "next_to_miss", "parity", "center")


def draw_boards(rng: np.random.Generator, count: int) -> Any:
    """Boards with the ships of lengths 4, 3 and 2 at random places, none on another; shape (count, 6, 6), bool.

    Example:
        >>> draw_boards(np.random.default_rng(0), 5).sum(axis=(1, 2)).tolist()
        [9, 9, 9, 9, 9]
    """
    boards = np.zeros((count, SIZE, SIZE), dtype=bool)
    for board in boards:
        for length in SHIPS:
            while True:
                row, column = int(rng.integers(SIZE)), int(rng.integers(SIZE - length + 1))
                view = board if rng.random() < 0.5 else board.T
                if not view[row, column : column + length].any():
                    view[row, column : column + length] = True
                    break
    return boards


def neighbours(cells: Any) -> Any:
    """How many of the four cells beside each one are set; shape (..., 6, 6)."""
    padded = np.pad(cells.astype(float), [(0, 0)] * (cells.ndim - 2) + [(1, 1), (1, 1)])
    return padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]


def in_line(hits: Any) -> Any:
    """In how many of the four directions the next two cells are hits; shape (..., 6, 6)."""
    padded = np.pad(hits.astype(float), [(0, 0)] * (hits.ndim - 2) + [(2, 2), (2, 2)])
    inner = slice(2, -2)
    return (
        padded[..., 1:-3, inner] * padded[..., :-4, inner]
        + padded[..., 3:-1, inner] * padded[..., 4:, inner]
        + padded[..., inner, 1:-3] * padded[..., inner, :-4]
        + padded[..., inner, 3:-1] * padded[..., inner, 4:]
    )


_ROW, _COLUMN = np.indices((SIZE, SIZE))
_PARITY = ((_ROW + _COLUMN) % 2).astype(float)
_CENTER = 1.0 - (np.abs(_ROW - 2.5) + np.abs(_COLUMN - 2.5)) / 5.0


def play(weights: Sequence[float], boards: Any, noise: Any, shots: int = SHOTS) -> Any:
    """Play all boards with a policy of weights.

    Args:
        weights: of the features next_to_hit, in_line, next_to_miss, parity, center; each shot goes where their sum is
            largest.
        boards: shape (n, 6, 6).
        noise: small numbers that decide between equal cells, shape (n, 6, 6).
        shots: of a game.

    Returns:
        The share of ships' cells hit, shape (n,).
    """
    hits, misses = np.zeros_like(boards), np.zeros_like(boards)
    every = np.arange(len(boards))
    fixed = weights[3] * _PARITY + weights[4] * _CENTER + noise
    for _ in range(shots):
        value = weights[0] * neighbours(hits) + weights[1] * in_line(hits) + weights[2] * neighbours(misses) + fixed
        value = np.where(hits | misses, -np.inf, value).reshape(len(boards), -1)
        shot = value.argmax(axis=1)
        row, column = shot // SIZE, shot % SIZE
        hit = boards[every, row, column]
        hits[every, row, column] = hit
        misses[every, row, column] = ~hit
    return hits.sum(axis=(1, 2)) / boards.sum(axis=(1, 2))


START = '''def aim(board, shot):
    """Where to shoot next.

    Args:
        board: six texts of six characters, '.' unknown, 'o' miss, 'x' hit.
        shot: how many shots were fired before.

    Returns:
        Row and column, 0 to 5 each.
    """
    for row in range(6):
        for column in range(6):
            if board[row][column] == ".":
                return row, column
'''


def fire(board: Sequence[str], cell: Any, fleet: Any) -> list[str]:
    """The board after a shot.

    Args:
        board: six texts of six characters: ``.`` unknown, ``o`` miss, ``x`` hit.
        cell: row and column.
        fleet: where ships are, six rows of six truth values.

    Raises:
        ValueError: ``cell`` is no cell, or one that was shot at before.

    Example:
        >>> fire(["......"] * 6, (0, 1), [[False, True] + [False] * 4] + [[False] * 6] * 5)[0]
        '.x....'
    """
    if not isinstance(cell, list | tuple) or len(cell) != 2 or not all(_is_index(part) for part in cell):
        raise ValueError(f"aim must return row and column, 0 to {SIZE - 1} each, got {cell!r:.60}")
    row, column = int(cell[0]), int(cell[1])
    if board[row][column] != UNKNOWN:
        raise ValueError(f"the cell in row {row} and column {column} was shot at before")
    mark = HIT if fleet[row][column] else MISS
    return [text[:column] + mark + text[column + 1 :] if i == row else text for i, text in enumerate(board)]


def share_hit(board: Sequence[str]) -> float:
    """The share of the ships' cells that is hit on a board."""
    return sum(text.count(HIT) for text in board) / sum(SHIPS)


def _is_index(part: Any) -> bool:
    return isinstance(part, int | np.integer) and not isinstance(part, bool) and bool(0 <= part < SIZE)


@functools.cache
def traced_play() -> Callable[..., Any]:
    """:func:`play` as a traced function of five numbers."""
    from ..tracing.bundles import bundle

    @bundle(description="[play] Plays all boards; shots go where the weighted sum of the cell's features is largest.")
    def played(next_to_hit: Any, in_line: Any, next_to_miss: Any, parity: Any, center: Any, fleet: Any) -> Any:
        boards, noise = fleet.value
        shares = play((next_to_hit, in_line, next_to_miss, parity, center), boards, noise)
        return {"share": float(shares.mean()), "worst": float(shares.min()), "best": float(shares.max())}

    return played
