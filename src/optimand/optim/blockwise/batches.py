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
from optimand.optim.kernels.gather import Batch, Memo, are_plain, bucketed, is_dense

from .tensor import QuantizedTensor, row_major

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
QUANTIZED = attrgetter("map", "block_size", "signed_scale")
_DTYPE, _CODES, _SCALE = attrgetter("dtype"), attrgetter("codes"), attrgetter("scale")


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
    of_states = zip(*(map(QUANTIZED, qs) for qs in states), strict=True)
    buckets = bucketed(list(map(Layout, map(_DTYPE, params), map(_DTYPE, grads), of_states)))
    batches: dict[Layout, Batch] = {}
    rest: list[int] = []
    for layout, indices in buckets.items():
        if layout.param not in DTYPES or layout.grad not in DTYPES:
            rest.extend(indices)
            continue
        ps, gs = ([ts[i] for i in indices] for ts in (params, grads))
        qs = [[ts[i] for i in indices] for ts in states]
        batch = _uniform_batch(indices, ps, gs, qs)
        if batch is None:
            batch, refused = _mixed_batch(indices, ps, gs, qs)
            rest.extend(refused)
        if batch.indices:
            batches[layout] = batch
        if memo is not None and len(batch.indices) == len(params) and not batch.held:
            memo.keep(lists, batch, layout)
    return batches, rest


def _uniform_batch(
    indices: list[int], params: list[Tensor], grads: list[Tensor], states: list[list[QuantizedTensor]]
) -> Batch | None:
    """A batch of all these, if every tensor is plain and contiguous and the states' layouts are the parameters'."""
    numels, shapes = list(map(Tensor.numel, params)), [p.shape for p in params]
    strides = list(map(Tensor.stride, params))
    parts = [list(map(part, qs)) for qs in states for part in (_CODES, _SCALE)]
    if any([q.shape for q in qs] != shapes or [q.stride for q in qs] != strides for qs in states):
        return None
    if not (are_plain(params, numels) and are_plain(grads, numels)):
        return None
    if not all(are_plain(tensors, list(map(Tensor.numel, tensors))) for tensors in parts):
        return None
    return Batch(indices, numels, [list(map(Tensor.data_ptr, tensors)) for tensors in (params, grads, *parts)], [])


def _mixed_batch(
    indices: list[int], params: list[Tensor], grads: list[Tensor], states: list[list[QuantizedTensor]]
) -> tuple[Batch, list[int]]:
    """A batch of those tensors that can be served one by one, and the indices of the others."""
    batch, rest = Batch([], [], [[] for _ in range(2 + 2 * len(states))], []), []
    for i, p, g, *qs in zip(indices, params, grads, *states, strict=True):
        row_order = p.is_contiguous() and all(q.stride == row_major(q.shape) for q in qs)
        if not are_served([p, g], qs) or not is_dense(p) or not (row_order or all(q.stride == p.stride() for q in qs)):
            rest.append(i)
            continue
        if g.stride() != p.stride():
            g = torch.empty_strided(p.shape, p.stride(), dtype=g.dtype).copy_(g)
            batch.held.append(g)
        batch.indices.append(i)
        batch.numels.append(p.numel())
        for pointers, t in zip(batch.pointers, (p, g, *(t for q in qs for t in q.tensors())), strict=True):
            pointers.append(t.data_ptr())
    return batch, rest


def are_served(tensors: Sequence[Tensor], states: Sequence[QuantizedTensor]) -> bool:
    """Whether all are plain CPU tensors of the first one's shape."""
    shape = tensors[0].shape
    return (
        is_eager()
        and all(type(t) in (Tensor, torch.nn.Parameter) and t.layout is torch.strided for t in tensors)
        and all(t.is_cpu and not t.is_neg() and t.shape == shape for t in tensors)
        and all(q.shape == shape and all(t.is_cpu and t.is_contiguous() for t in q.tensors()) for q in states)
    )
