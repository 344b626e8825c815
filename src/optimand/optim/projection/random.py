"""Random projections that are a pure function of integers.

A projection is drawn on the CPU from a generator seeded with a 64-bit mix of the integers that name it, so every
process and every device has the same one, a resumed run draws it again, and torch's global generator is left alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optimand.core.validation import check_int

MASK64 = (1 << 64) - 1


def mix64(*words: int) -> int:
    """A 64-bit hash of integers, in order: the finalizer of SplitMix64 absorbed word by word.

    Args:
        words: integers of any size and sign; their low 64 bits count.

    Example:
        >>> mix64(0, 1, 2) == mix64(0, 1, 2), mix64(0, 1, 2) == mix64(0, 2, 1)
        (True, False)
    """
    state = 0x9E3779B97F4A7C15
    for word in words:
        x = (state ^ (int(word) & MASK64)) + 0x9E3779B97F4A7C15 & MASK64  # NumPy's integers would overflow
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
        state = x ^ (x >> 31)
    return state


def generator_of(*words: int) -> torch.Generator:
    """A CPU generator that draws the same numbers for the same ``words``.

    Example:
        >>> a, b = (torch.rand(2, generator=generator_of(7, 3)) for _ in range(2))
        >>> torch.equal(a, b)
        True
    """
    generator = torch.Generator()
    generator.manual_seed(mix64(*words))
    return generator


def gaussian_projection(
    rank: int,
    size: int,
    key: tuple[int, ...],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A ``rank x size`` matrix with independent entries N(0, 1/rank), so that it keeps norms in expectation.

    Args:
        rank: number of rows, at least 1.
        size: number of columns, the dimension that is projected, at least 1.
        key: what names the projection, for instance seed, parameter index and number of the refresh; the shape is
            mixed in.
        device: where the result is needed; it is drawn on the CPU in any case.
        dtype: of the result; the numbers are those of float32 in any case.

    Raises:
        ValueError: ``rank`` or ``size`` is below 1.

    Reference:
        Zhu et al., APOLLO, arXiv 2412.05270, algorithm 1 and theorem A.1.

    Example:
        >>> P = gaussian_projection(64, 1000, (0, 1, 0))
        >>> P.shape, bool(abs(P.var() * 64 - 1) < 0.05)
        (torch.Size([64, 1000]), True)
    """
    check_int("rank", rank, low=1)
    check_int("size", size, low=1)
    drawn = torch.empty(rank, size).normal_(0.0, rank**-0.5, generator=generator_of(*key, rank, size))
    return drawn.to(device=device, dtype=dtype)


def orthonormal_projection(
    rank: int,
    size: int,
    key: tuple[int, ...],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A ``rank x size`` matrix with orthonormal rows that span a uniformly random subspace.

    Args:
        rank: number of rows, in [1, ``size``].
        size: number of columns, the dimension that is projected.
        key: as for :func:`gaussian_projection`.
        device: where the result is needed; it is drawn on the CPU in any case.
        dtype: of the result; it is computed in float32.

    Raises:
        ValueError: ``rank`` is not in [1, ``size``].

    Example:
        >>> Q = orthonormal_projection(3, 8, (0, 1, 0))
        >>> torch.allclose(Q @ Q.T, torch.eye(3), atol=1e-5)
        True
    """
    check_int("rank", rank, low=1, high=size)
    drawn = torch.empty(size, rank).normal_(generator=generator_of(*key, rank, size))
    q, r = torch.linalg.qr(drawn)
    # With a positive diagonal of r the factor is unique, and its distribution uniform.
    q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return q.T.contiguous().to(device=device, dtype=dtype)
