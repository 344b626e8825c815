"""Norms of whole tensors, piece by piece: without a large temporary, and the same for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.codec import pieces
from optimand.optim.blockwise.kernel import DEVICE_PIECE
from optimand.optim.blockwise.tensor import PIECE
from optimand.optim.kernels.gather import arithmetic_dtype, is_dense


def squared_norm(x: Tensor) -> Tensor:
    """The sum of the squares of ``x``, 0-d float32.

    Example:
        >>> squared_norm(torch.tensor([3.0, 4.0]))
        tensor(25.)
    """
    return total([torch.linalg.vector_norm(part).square() for (part,) in value_pieces([x])], x)


def total(sums: Sequence[Tensor], like: Tensor) -> Tensor:
    """The sum of 0-d tensors, float32; 0 on the device of ``like`` where there are none."""
    if not sums:
        return torch.zeros((), device=like.device)
    return torch.stack(list(sums)).sum().float()


def trust_ratio(numerator: Tensor, denominator: Tensor, zero: Tensor) -> Tensor:
    """The quotient of two norms; 1 where ``zero`` says that one is 0, and 0 where it is not finite.

    So values that are not finite stop the whole tensor rather than give it a step of another size.

    Example:
        >>> a, b = torch.tensor([3.0, 0.0, 1.0]), torch.tensor([2.0, 1.0, torch.nan])
        >>> trust_ratio(a, b, a == 0)
        tensor([1.5000, 1.0000, 0.0000])
    """
    ratio = numerator / torch.where(zero, torch.ones_like(denominator), denominator)
    usual = torch.where(torch.isfinite(ratio), ratio, torch.zeros_like(ratio))
    return torch.where(zero, torch.ones_like(ratio), usual)


def value_pieces(tensors: Sequence[Any]) -> Iterator[tuple[Tensor, ...]]:
    """The same elements of all tensors, a piece at a time, in the precision of the arithmetic.

    Args:
        tensors: of the same shape; the first is an ordinary tensor, others may be quantized ones.
    """
    plain = [t for t in tensors if isinstance(t, Tensor)]
    quantized = [t for t in tensors if isinstance(t, QuantizedTensor)]
    dtype = arithmetic_dtype(plain)
    first = plain[0]
    size = first.numel() if torch.compiler.is_compiling() else PIECE if first.device.type == "cpu" else DEVICE_PIECE
    if quantized:
        order = quantized[0]
        flat = [order.flat(t) if isinstance(t, Tensor) else t for t in tensors]
        cut = pieces(order.numel, order.block_size, size)
    elif is_dense(first) and all(t.stride() == first.stride() for t in plain):
        flat = [t.as_strided((first.numel(),), (1,)) for t in plain]
        cut = [(at, min(at + size, first.numel()), 1) for at in range(0, first.numel(), max(size, 1))]
    else:
        yield tuple(t.to(dtype) for t in plain)
        return
    for begin, end, rows in cut:
        yield tuple(
            t[begin:end].to(dtype) if isinstance(t, Tensor) else t.read(begin, end, rows).view(-1).to(dtype)
            for t in flat
        )
