"""Which part of a matrix a subspace method takes: sizes, and draws that are a pure function of integers.

Every draw is made on the CPU from a key of integers (seed, parameter or group, number of the refresh), so processes
and devices agree, a resumed run draws the same again, and torch's global generator is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from optimand.core.validation import check_choice

from ..kernels.rounding import GOLDEN, MIX1, MIX2
from .random import generator_of, mix64

SIDES = ("std", "reverse_std", "left", "right")
ORDERS = ("random", "shuffled", "ascending", "descending")
# The hash of an entry is one of 2^32 different numbers.
MOST_ENTRIES = 1 << 32
PIECE = 1 << 16


def subset_size(total: int, density: float, *, rounding: str = "floor") -> int:
    """How many of ``total`` things a density takes: ``floor``, or the ``nearest`` (ties to even).

    Args:
        total: at least 0.
        density: in [0, 1].
        rounding: ``"floor"`` (columns, rows, entries) or ``"nearest"`` (tensors, ranks).

    Example:
        >>> subset_size(10, 0.29), subset_size(10, 0.29, rounding="nearest"), subset_size(100, 0.29)
        (2, 3, 29)
    """
    # 0.29 * 100 is 28.999999999999996 in binary.
    return math.floor(density * total + 1e-9) if rounding == "floor" else round(density * total)


def side_of(shape: Sequence[int], side: str) -> str:
    """The dimension that is projected: ``"left"`` (rows) or ``"right"`` (columns).

    Args:
        shape: rows and columns.
        side: ``"std"`` takes the smaller dimension (the columns of a square matrix), ``"reverse_std"`` the other one;
            ``"left"`` and ``"right"`` are themselves.

    Raises:
        ValueError: unknown side.

    Example:
        >>> side_of((4, 6), "std"), side_of((6, 6), "std"), side_of((6, 6), "reverse_std")
        ('left', 'right', 'left')
    """
    check_choice("proj_side", side, SIDES)
    if side in ("std", "reverse_std"):
        return "right" if (shape[0] >= shape[1]) == (side == "std") else "left"
    return side


def kept_dim(shape: Sequence[int], side: str) -> int:
    """The dimension that is not projected, which a matrix shares with its projection: 0 (rows) or 1 (columns).

    Args:
        shape: rows and columns.
        side: see :func:`side_of`.

    Example:
        >>> [kept_dim(shape, "std") for shape in ((4, 2), (3, 3), (2, 4))]
        [0, 0, 1]
    """
    return int(side_of(shape, side) == "left")


def draw_subset(total: int, size: int, key: Sequence[int]) -> Tensor:
    """``size`` of the numbers 0 to ``total - 1``, each subset equally likely, in ascending order (int64, CPU).

    Example:
        >>> draw_subset(6, 3, (0, 1, 2)).tolist() == draw_subset(6, 3, (0, 1, 2)).tolist()
        True
    """
    return torch.randperm(total, generator=generator_of(*key))[:size].sort().values


def _hashes(begin: int, end: int, key: int) -> np.ndarray:
    """Different 32-bit numbers for different entries: every operation is a bijection of 32-bit numbers."""
    x = np.arange(begin, end, dtype=np.uint32)
    x *= np.uint32(GOLDEN)
    x += np.uint32(key & 0xFFFFFFFF)
    for shift, factor in ((16, MIX1), (15, MIX2)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x


def entry_limit(total: int, size: int, key: Sequence[int]) -> int:
    """The number that :func:`entries_within` needs to find a random subset of ``size`` entries again.

    Args:
        total: number of entries, below 2^32.
        size: at most ``total``; with 0 the limit is -1.
        key: what names the draw.

    Raises:
        ValueError: there are 2^32 entries or more.
    """
    if total >= MOST_ENTRIES:
        raise ValueError(f"random entries can be drawn from fewer than {MOST_ENTRIES}, got {total}")
    if size == 0:
        return -1
    return int(np.partition(_hashes(0, total, mix64(*key)), size - 1)[size - 1])


def entries_within(total: int, limit: int, key: Sequence[int]) -> Tensor:
    """The entries whose hash is at most ``limit``, in ascending order (int64, CPU).

    The set is not stored: with the key and one number it is found again at about 3 ns an entry.

    Example:
        >>> limit = entry_limit(1000, 100, (0, 1))
        >>> len(entries_within(1000, limit, (0, 1)))
        100
    """
    if limit < 0:
        return torch.empty(0, dtype=torch.int64)
    word = mix64(*key)
    found = [
        np.flatnonzero(_hashes(begin, min(begin + PIECE, total), word) <= limit) + begin
        for begin in range(0, total, PIECE)
    ]
    return torch.from_numpy(np.concatenate(found)) if found else torch.empty(0, dtype=torch.int64)


def active_blocks(total: int, count: int, order: str, refresh: int, key: Sequence[int]) -> list[int]:
    """Which of ``total`` blocks are active after refresh number ``refresh`` (from 0).

    Args:
        total: number of blocks.
        count: number of active ones, at most ``total``.
        order: ``"random"`` draws anew each time; ``"shuffled"`` takes all of them in a random order before it draws
            another order; ``"ascending"`` and ``"descending"`` go round from the first or from the last one;
        refresh: number of the refresh.
        key: what names the draws of this group.

    Raises:
        ValueError: unknown order.

    Reference:
        Zmushko et al., FRUGAL, arXiv 2411.07837; ``"shuffled"`` is BAdam's random order, arXiv 2404.02827.

    Example:
        >>> [active_blocks(5, 2, "descending", r, ()) for r in range(3)]
        [[4, 3], [2, 1], [0, 4]]
    """
    check_choice("block_order", order, ORDERS)
    if total == 0 or count == 0:
        return []
    if order == "random":
        return torch.randperm(total, generator=generator_of(*key, refresh))[:count].tolist()  # type: ignore[no-any-return]
    places = range(refresh * count, (refresh + 1) * count)
    if order == "shuffled":
        rounds = {place // total for place in places}
        orders = {r: torch.randperm(total, generator=generator_of(*key, r)).tolist() for r in rounds}
        # A round may end within one set of active blocks, and the next one may begin with a block of that set.
        return list(dict.fromkeys(orders[place // total][place % total] for place in places))
    ascending = [place % total for place in places]
    return ascending if order == "ascending" else [total - 1 - at for at in ascending]


def singular_vectors(matrix: Tensor, rank: int, side: str) -> Tensor:
    """The leading singular vectors of a matrix, in memory of their own.

    The smaller side's Gram matrix in float64 has them as eigenvectors; that is as accurate as a decomposition in
    float32, which resolves singular values down to 1e-7 of the largest (1e-8 here), and 1.3 to 3.6 times as fast.
    Where the larger side is asked for, or the matrix is float64 itself, it is decomposed directly. Entries that are
    not finite count as 0. The largest entry of each vector is positive.

    Args:
        matrix: ``(rows, columns)``, of any floating-point dtype.
        rank: number of vectors, in [1, min(rows, columns)].
        side: ``"left"`` for columns of length ``rows``, ``"right"`` for rows of length ``columns``.

    Returns:
        ``(rows, rank)`` or ``(rank, columns)``, in float32, or float64 if ``matrix`` is.

    Reference:
        Zhao et al., GaLore, arXiv 2403.03507, section 4.

    Example:
        >>> singular_vectors(torch.tensor([[0.0, -2.0], [0.0, 0.0], [1.0, 0.0]]), 1, "right")
        tensor([[0., 1.]])
    """
    rows, columns = matrix.shape
    left = side == "left"
    x = torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
    if x.dtype == torch.float64 or x.device.type == "mps" or (rows > columns if left else columns > rows):
        x = x if x.dtype == torch.float64 else x.float()
        u, _, vh = torch.linalg.svd(x, full_matrices=False)
        vectors = u[:, :rank] if left else vh[:rank].T
    else:
        x = x.double()
        gram = x @ x.T if left else x.T @ x
        vectors = torch.linalg.eigh(gram).eigenvectors[:, -rank:].flip(1).float()
    # A decomposition leaves the signs open; states that stay when the basis changes depend on them.
    extreme = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(extreme < 0, -1.0, 1.0).to(vectors.dtype)
    return vectors.contiguous() if left else vectors.T.contiguous()
