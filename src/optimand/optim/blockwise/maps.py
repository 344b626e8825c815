"""Codebooks: which numbers the codes of a block stand for, as shares of the block's extreme.

A map is a table of increasing values and, for some, a transform: ``dynamic_unsigned_sqrt`` stores square roots. The
dynamic maps have levels in seven decades, the more the larger the values are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int


def dynamic_map(signed: bool = True, bits: int = 8, exponent_bits: int = 7) -> Tensor:
    """The dynamic map: ``exponent_bits`` decades, the largest with the most levels.

    Decade ``i`` holds ``10^(i - exponent_bits + 1) (0.1 + 0.9 (j + 0.5) / n)`` for ``j`` from 0 to ``n - 1``, where
    ``n = 2^(i + bits - 1 - exponent_bits)``, twice as many without signs; 0 and 1 are added, and -1 is not.

    Args:
        signed: also with the negative of every value except 1.
        bits: of a code, 2 to 8.
        exponent_bits: number of decades, 1 to ``bits - 1``.

    Returns:
        The increasing values, float32: ``2^bits`` of them where ``exponent_bits`` is ``bits - 1``, fewer otherwise.

    Raises:
        TypeError, ValueError: a number is none, or out of range.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861, section 2.2; the values are
        those of the authors' code, bit for bit.

    Example:
        >>> table = dynamic_map()
        >>> len(table), table[[0, 126, 127, 128, 255]].tolist()  # doctest: +ELLIPSIS
        (256, [-0.99296..., -5.50000...e-07, 0.0, 5.50000...e-07, 1.0])
        >>> dynamic_map(bits=4, exponent_bits=3)[7:11]
        tensor([0.0000, 0.0055, 0.0325, 0.0775])
    """
    check_int("bits", bits, low=2, high=8)
    check_int("exponent_bits", exponent_bits, low=1, high=bits - 1)
    parts = [np.array([0.0, 1.0], np.float32)]
    for i in range(exponent_bits):
        bins = 2 ** (i + bits - 1 - exponent_bits + (not signed))
        edges = _linspace(bins)
        middles = (edges[:-1] + edges[1:]) / np.float32(2.0)
        values = np.float32(10.0 ** (i - exponent_bits + 1)) * middles
        parts += [values, -values] if signed else [values]
    return torch.from_numpy(np.sort(np.concatenate(parts)))


def _linspace(bins: int) -> np.ndarray:
    """``torch.linspace(0.1, 1, bins + 1)`` in float32, one rounding for each value, whatever the processor."""
    start, end = np.float32(0.1), np.float32(1.0)
    step = np.float64((end - start) / np.float32(bins))
    i = np.arange(bins + 1)
    from_start = (np.float64(start) + step * i).astype(np.float32)
    from_end = (np.float64(end) - step * (bins - i)).astype(np.float32)
    return np.where(i < (bins + 1) // 2, from_start, from_end)


@dataclass(frozen=True)
class Map:
    """A map by name.

    Attributes:
        name: its name in :data:`MAPS`.
        bits: of a code: 8, or 4 with two codes in a byte.
        signed: whether it has negative values.
        root: stores the square root of a non-negative value.
    """

    name: str
    bits: int = 8
    signed: bool = False
    root: bool = False

    def table(self, device: torch.device | str = "cpu") -> Tensor:
        """The increasing values, float32; the same tensor at every call."""
        return _tables(self.name, torch.device(device))[0]

    def midpoints(self, device: torch.device | str = "cpu") -> Tensor:
        """What separates the values: up to ``midpoints[i]``, value ``i`` is the nearest."""
        return _tables(self.name, torch.device(device))[1]

    def cells(self, device: torch.device | str = "cpu") -> Tensor:
        """For the first 16 bits of a float32 number, the code of the least number that starts with them."""
        return _tables(self.name, torch.device(device))[2]

    @property
    def zero(self) -> int:
        """The code of 0, or that of the least value where 0 is missing."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 0


# A plain dict: torch.compile looks through it, but not through functools.cache.
_TABLES: dict[tuple[str, torch.device], tuple[Tensor, Tensor, Tensor]] = {}
MAPS: dict[str, Map] = {
    m.name: m
    for m in (
        Map("dynamic", signed=True),
        Map("dynamic_unsigned"),
        Map("dynamic_unsigned_sqrt", root=True),
        Map("dynamic4", bits=4, signed=True),
        Map("linear4_unsigned", bits=4),
    )
}


def map_of(name: str) -> Map:
    """The map of this name; ValueError if there is none.

    Example:
        >>> map_of("dynamic4").table().numel()
        16
    """
    return MAPS[check_choice("map", name, MAPS)]


def midpoints_of(table: Tensor) -> Tensor:
    """The decision points of exact nearest rounding: the largest float32 not above the middle of two neighbours.

    A float32 number is at most the middle just if it is at most this number, so comparing with it gives the nearest
    value exactly, and the lower one on a tie.

    Example:
        >>> midpoints_of(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.2500, 0.7500])
    """
    exact = table.double()
    middle = (exact[:-1] + exact[1:]) / 2.0
    rounded = middle.float()
    below = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
    return torch.where(rounded.double() > middle, below, rounded)


def cells_of(midpoints: Tensor) -> Tensor:
    """For each of the 65,536 first halves of a float32 number, the number of decision points below all that have it.

    Args:
        midpoints: increasing, at most one of them within the numbers of a cell (which 128 cells an octave give).

    Returns:
        uint8; the code of a number is its cell's entry, or one more if the number is above that decision point.

    Example:
        >>> cells = cells_of(torch.tensor([0.25, 0.75]))
        >>> cells[torch.tensor([0.5, 0.751, -1.0]).view(torch.int32).bitwise_right_shift(16) & 0xFFFF].tolist()
        [1, 1, 0]
    """
    first = torch.arange(1 << 16, dtype=torch.int64) << 16
    least = torch.where(first < 1 << 31, first, (first | 0xFFFF) - (1 << 32))
    values = least.to(torch.int32).view(torch.float32)
    return torch.bucketize(values.nan_to_num(nan=0.0), midpoints.cpu()).to(torch.uint8)


def _tables(name: str, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    if (name, device) not in _TABLES:
        m = MAPS[name]
        if name == "linear4_unsigned":
            table = torch.arange(1, 17, dtype=torch.float32) / 16.0
        else:
            table = dynamic_map(m.signed, m.bits, m.bits - 1)
        midpoints = midpoints_of(table)
        _TABLES[name, device] = table.to(device), midpoints.to(device), cells_of(midpoints).to(device)
    return _TABLES[name, device]
