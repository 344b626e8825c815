"""Which tensors compiled code can serve, sorted by what they share, with the addresses of their memory.

As in ``kernels/gather.py``: with many small tensors these checks cost as much as the update itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor

from optimand.optim.kernels.elementwise import is_eager
from optimand.optim.kernels.gather import Batch, Memo, is_dense

from .tensor import QuantizedTensor, row_major

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
QUANTIZED = attrgetter("map", "block_size", "signed_scale")
_CODES, _SCALE = attrgetter("codes"), attrgetter("scale")


class Layout(NamedTuple):
    """What tensors must share to be served by one call.

    Attributes:
        param: dtype of the parameters.
        grad: dtype of the gradients.
        states: for each state its map, block size, and whether its scales have signs.
    """

    param: torch.dtype
    grad: torch.dtype
    states: tuple[tuple[str, int, bool], ...]


def collect(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Sequence[QuantizedTensor]],
    memo: Memo | None = None,
) -> tuple[dict[Layout, Batch], list[int]]:
    """Sort tensors by layout; returns the batches and the indices of the tensors that no compiled code can serve.

    A batch has the addresses of the parameters, of the gradients, and of each state's codes and scales.

    Args:
        params: parameters.
        grads: their gradients.
        states: for each state of the formula, one quantized tensor for each parameter.
        memo: kept by the caller between calls with the same parameters and states, to save checks.

    Example:
        >>> p = torch.ones(4)
        >>> batches, rest = collect([p, p.double()], [p, p.double()], [[QuantizedTensor.zeros_like(p)] * 2])
        >>> [(layout.states, batch.indices) for layout, batch in batches.items()], rest
        ([((('dynamic', 256, True),), [0])], [1])
    """
    if not is_eager() or not params or not states:
        return {}, list(range(len(params)))
    lists = [params, grads, *(list(map(part, qs)) for qs in states for part in (_CODES, _SCALE))]
    if memo is not None and (known := memo.batch(lists)) is not None:
        return {memo.key: known}, []
    batches: dict[Layout, Batch] = {}
    rest: list[int] = []
    for i, (p, g, *qs) in enumerate(zip(params, grads, *states, strict=True)):
        row_order = p.is_contiguous() and all(q.stride == row_major(q.shape) for q in qs)
        readable = p.dtype in DTYPES and g.dtype in DTYPES and are_served([p, g], qs) and is_dense(p)
        if not readable or not (row_order or all(q.stride == p.stride() for q in qs)):
            rest.append(i)
            continue
        layout = Layout(p.dtype, g.dtype, tuple(map(QUANTIZED, qs)))
        batch = batches.setdefault(layout, Batch([], [], [[] for _ in lists], []))
        if g.stride() != p.stride():
            g = torch.empty_strided(p.shape, p.stride(), dtype=g.dtype).copy_(g)
            batch.held.append(g)
        batch.indices.append(i)
        batch.numels.append(p.numel())
        for pointers, t in zip(batch.pointers, (p, g, *(t for q in qs for t in q.tensors())), strict=True):
            pointers.append(t.data_ptr())
    if memo is not None and len(batches) == 1 and not rest and not batch.held:
        memo.keep(lists, batch, layout)
    return batches, rest


def are_served(tensors: Sequence[Tensor], states: Sequence[QuantizedTensor]) -> bool:
    """Whether all are plain CPU tensors of the first one's shape."""
    shape = tensors[0].shape
    return (
        is_eager()
        and all(type(t) in (Tensor, torch.nn.Parameter) and t.layout is torch.strided for t in tensors)
        and all(t.is_cpu and not t.is_neg() and t.shape == shape for t in tensors)
        and all(q.shape == shape and all(t.is_cpu and t.is_contiguous() for t in q.tensors()) for q in states)
    )
