"""Block-wise quantization: every block of values as codes and one scale, by exact rounding to the nearest code.

The blocks are consecutive runs of the flattened tensor, the last one possibly short. This is the reference that
compiled code must equal; it runs on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optimand.core.validation import check_int
from optimand.optim.kernels import sqrt

from .maps import Map, map_of, midpoints_of


def check_block_size(block_size: int) -> int:
    """``block_size`` if it is a power of two from 64 to 4096; TypeError or ValueError otherwise."""
    size = check_int("block_size", block_size, low=64, high=4096)
    if size & (size - 1):
        raise ValueError(f"block_size must be a power of two in [64, 4096], got {size}")
    return size


def quantize_blockwise(
    x: Tensor,
    code: str | Tensor = "dynamic",
    block_size: int = 256,
    *,
    signed_scale: bool = True,
) -> tuple[Tensor, Tensor]:
    """Codes and scales of ``x``, flattened in row-major order: for each value the nearest entry times the scale.

    Args:
        x: floating-point values of any shape, finite.
        code: the map: a name in :data:`~optimand.optim.blockwise.MAPS`, or its increasing values (float32, 2 to 256
            of them, within [-1, 1]).
        block_size: values that share a scale, a power of two from 64 to 4096; the last block may be short.
        signed_scale: with a signed map, the scale is the block's extreme with its sign (the positive one where both
            are as large), so the extreme is always stored exactly; otherwise the scale is its absolute value, and a
            negative extreme becomes -0.993 of it.

    Returns:
        ``(codes, scales)``: uint8 of ``x``'s shape, also for maps of 4 bits; float32, one per block. A value halfway
        between two entries gets the lower one. A block of zeros has scale 0.

    Raises:
        TypeError: ``x`` is not a floating-point tensor.
        ValueError: ``code`` or ``block_size`` is bad, or ``x`` has values that are not finite in float32, or negative
            values where the map has none.

    Reference:
        Dettmers et al., arXiv 2110.02861, section 2.1. The signed scale is an addition.

    Example:
        >>> codes, scale = quantize_blockwise(torch.tensor([0.5, -1.0, 0.001, 2.0]))
        >>> codes.tolist(), scale.tolist()
        ([201, 35, 138, 255], [2.0])
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x must be a floating-point tensor, got {what}")
    block_size = check_block_size(block_size)
    m, table, midpoints, cells = _tables(code, x.device)
    flat = x.detach().reshape(-1).float()
    signed = bool(table[0] < 0)
    if not signed and bool((flat < 0).any()):
        raise ValueError(f"x must not be negative for the unsigned map {code!r}")
    codes = torch.empty(flat.shape, dtype=torch.uint8, device=x.device)
    scales = torch.empty(-(-flat.numel() // block_size), dtype=torch.float32, device=x.device)
    for begin, end, rows in pieces(flat.numel(), block_size, flat.numel()):
        stored = flat[begin:end].view(rows, -1)
        stored = sqrt(stored) if m is not None and m.root else stored
        scale = block_scale(stored, signed, signed_scale)
        part = nearest(stored, scale, midpoints, cells)
        codes[begin:end] = part.view(-1)
        first = begin // block_size
        scales[first : first + rows] = scale.view(-1)
    if not bool(torch.isfinite(scales).all()):
        raise ValueError("x must be finite: one NaN or inf would spoil its whole block")
    return codes.view(x.shape), scales


def dequantize_blockwise(codes: Tensor, scale: Tensor, code: str | Tensor = "dynamic", block_size: int = 256) -> Tensor:
    """The values that ``codes`` and ``scale`` stand for.

    Args:
        codes: uint8 of any shape, as :func:`quantize_blockwise` gave them.
        scale: float32, one per block.
        code: the map, by name or by its values.
        block_size: values that share a scale.

    Returns:
        float32 of the shape of ``codes``.

    Raises:
        TypeError: ``codes`` is not a uint8 tensor, or ``scale`` no tensor.
        ValueError: ``code`` or ``block_size`` is bad, there is not one scale per block, or a code is none of the map's.

    Reference:
        Dettmers et al., arXiv 2110.02861, section 2.1.

    Example:
        >>> codes, scale = torch.tensor([201, 35, 138, 255], dtype=torch.uint8), torch.tensor([2.0])
        >>> dequantize_blockwise(codes, scale)
        tensor([ 4.9531e-01, -1.0016e+00,  9.8750e-04,  2.0000e+00])
    """
    if not isinstance(codes, Tensor) or codes.dtype != torch.uint8:
        what = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
        raise TypeError(f"codes must be a uint8 tensor, got {what}")
    if not isinstance(scale, Tensor):
        raise TypeError(f"scale must be a tensor, got {type(scale).__name__}")
    block_size = check_block_size(block_size)
    blocks = -(-codes.numel() // block_size)
    if scale.shape != (blocks,):
        raise ValueError(f"scale must have shape ({blocks},), one number per block, got {tuple(scale.shape)}")
    m, table, *_ = _tables(code, codes.device)
    flat = codes.reshape(-1)
    if table.numel() < 256 and bool((flat >= table.numel()).any()):
        raise ValueError(f"codes must be below {table.numel()} for the map {code!r}, got {int(flat.max())}")
    out = torch.empty(flat.shape, dtype=torch.float32, device=codes.device)
    for begin, end, rows in pieces(flat.numel(), block_size, flat.numel()):
        first = begin // block_size
        values = lookup(flat[begin:end], table).view(rows, -1) * scale[first : first + rows].view(rows, 1)
        out[begin:end] = (values * values if m is not None and m.root else values).view(-1)
    return out.view(codes.shape)


def pieces(numel: int, block_size: int, at_most: int) -> list[tuple[int, int, int]]:
    """Cut ``numel`` values into pieces ``(begin, end, blocks)`` of equally long blocks.

    A piece has ``at_most`` values or a single block; a last short block is a piece of its own.

    Example:
        >>> pieces(600, 128, 300)
        [(0, 256, 2), (256, 512, 2), (512, 600, 1)]
    """
    rows = max(1, at_most // block_size)
    full = numel // block_size
    cut = [
        (first * block_size, min(first + rows, full) * block_size, min(rows, full - first))
        for first in range(0, full, rows)
    ]
    if numel % block_size:
        cut.append((full * block_size, numel, 1))
    return cut


def block_scale(x: Tensor, signed: bool, signed_scale: bool) -> Tensor:
    """The scale of each row of ``x``, as a column; not finite where a value of the row is not."""
    high = x.amax(dim=1, keepdim=True)
    if signed:
        low = x.amin(dim=1, keepdim=True)
        high = torch.where(high >= -low, high, low) if signed_scale else torch.maximum(high, -low)
    return high + 0.0  # no -0.0, which of two zeros is the larger is anyone's choice


def nearest(x: Tensor, scale: Tensor, midpoints: Tensor, cells: Tensor | None = None) -> Tensor:
    """The codes (int32) nearest to the rows of ``x`` in units of their scales.

    Args:
        x: finite values, a row for each block.
        scale: a column.
        midpoints: decision points.
        cells: of these decision points, if they have them: a look-up and a comparison instead of a search.
    """
    y = x / torch.where(scale == 0, 1.0, scale)
    if cells is None:
        codes = torch.bucketize(y, midpoints, out_int32=True)
    else:
        flat = y.view(-1)
        codes = torch.index_select(cells, 0, (flat.view(torch.int32) >> 16) & 0xFFFF).to(torch.int32)
        above = flat > torch.index_select(midpoints, 0, codes.clamp(max=midpoints.numel() - 1))
        codes = torch.where(codes < midpoints.numel(), codes + above, codes).view_as(y)
    return codes


def lookup(codes: Tensor, table: Tensor) -> Tensor:
    """The table's values of flat ``codes``."""
    return torch.index_select(table, 0, codes.to(torch.int32))


def pack_nibbles(codes: Tensor) -> Tensor:
    """Two codes of 4 bits in a byte, the first in the low half; a last single one has 0 beside it.

    Example:
        >>> pack_nibbles(torch.tensor([1, 2, 15], dtype=torch.uint8)).tolist()
        [33, 15]
    """
    if codes.numel() % 2:
        codes = torch.nn.functional.pad(codes, (0, 1))
    pairs = codes.to(torch.uint8).view(-1, 2)
    return pairs[:, 0] | (pairs[:, 1] << 4)


def unpack_nibbles(packed: Tensor, numel: int) -> Tensor:
    """The ``numel`` codes of 4 bits in ``packed``.

    Example:
        >>> unpack_nibbles(torch.tensor([33, 15], dtype=torch.uint8), 3).tolist()
        [1, 2, 15]
    """
    return torch.stack((packed & 15, packed >> 4), dim=1).view(-1)[:numel]


def _tables(code: str | Tensor, device: torch.device) -> tuple[Map | None, Tensor, Tensor, Tensor | None]:
    """The map by name (None for a table of values), its values, its decision points and their cells (for a map)."""
    if isinstance(code, str):
        m = map_of(code)
        return m, m.table(device), m.midpoints(device), m.cells(device)
    if not isinstance(code, Tensor) or code.dim() != 1 or not 2 <= code.numel() <= 256:
        raise ValueError(f"code must be the name of a map or a vector of 2 to 256 values, got {code!r}")
    table = code.detach().to(device=device, dtype=torch.float32)
    if not bool((table[1:] > table[:-1]).all()) or not bool((table.abs() <= 1).all()):
        raise ValueError(f"code must be increasing values within [-1, 1], got {code!r}")
    return None, table, midpoints_of(table), None
