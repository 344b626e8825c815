"""Which tensors compiled code can serve, sorted by what they share, with the addresses of their memory.

As in ``kernels/gather.py``: with many small tensors these checks cost as much as the update itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter, is_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optimand.optim.kernels.elementwise import is_eager
from optimand.optim.kernels.gather import are_plain, is_dense

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


@dataclass
class Batch:
    """Tensors that one call of compiled code serves.

    Attributes:
        indices: positions in the caller's lists.
        numels: numbers of elements.
        params: addresses of the parameters.
        grads: addresses of the gradients.
        codes: for each state the addresses of the codes.
        scales: for each state the addresses of the scales.
        held: copies made for this call, which must outlive it.
    """

    indices: list[int]
    numels: list[int] = field(default_factory=list)
    params: list[int] = field(default_factory=list)
    grads: list[int] = field(default_factory=list)
    codes: list[list[int]] = field(default_factory=list)
    scales: list[list[int]] = field(default_factory=list)
    held: list[Tensor] = field(default_factory=list)


class Known:
    """Parameters and states that made up one batch at the last call: until they move, only gradients are new.

    It is kept with the first of the states and keeps nothing else alive.
    """

    def __init__(self, layout: Layout, batch: Batch, lists: Sequence[Sequence[Any]]) -> None:
        self.layout, self.last = layout, batch
        self.members = [[weakref.ref(member) for member in members] for members in lists]

    def batch(
        self, params: Sequence[Tensor], grads: Sequence[Tensor], states: Sequence[Sequence[QuantizedTensor]]
    ) -> Batch | None:
        """The batch of the same parameters and states with new gradients; None if anything else has changed."""
        lists = [params, *states]
        if list(map(len, lists)) != list(map(len, self.members)):
            return None
        if not all(all(map(is_, new, [old() for old in kept])) for new, kept in zip(lists, self.members, strict=True)):
            return None
        last, layout = self.last, self.layout
        if list(map(Tensor.data_ptr, params)) != last.params or not all(map(Tensor.is_contiguous, params)):
            return None
        for qs, codes, scales in zip(states, last.codes, last.scales, strict=True):
            if list(map(Tensor.data_ptr, map(_CODES, qs))) != codes:
                return None
            if list(map(Tensor.data_ptr, map(_SCALE, qs))) != scales:
                return None
        if set(map(_DTYPE, params)) != {layout.param} or set(map(_DTYPE, grads)) != {layout.grad}:
            return None
        if not are_plain(grads, last.numels):
            return None
        addresses = list(map(Tensor.data_ptr, grads))
        return Batch(last.indices, last.numels, last.params, addresses, last.codes, last.scales)


def collect(
    params: Sequence[Tensor], grads: Sequence[Tensor], states: Sequence[Sequence[QuantizedTensor]]
) -> tuple[dict[Layout, Batch], list[int]]:
    """Sort tensors by layout; returns the batches and the indices of the tensors that no compiled code can serve.

    Args:
        params: parameters.
        grads: their gradients.
        states: for each state of the formula, one quantized tensor for each parameter.

    Example:
        >>> p = torch.ones(4)
        >>> batches, rest = collect([p, p.double()], [p, p.double()], [[QuantizedTensor.zeros_like(p)] * 2])
        >>> [(layout.states, batch.indices) for layout, batch in batches.items()], rest
        ([((('dynamic', 256, True),), [0])], [1])
    """
    if not is_eager() or not params or not states:
        return {}, list(range(len(params)))
    known: Known | None = states[0][0].__dict__.get("_known")
    if known is not None:
        batch = known.batch(params, grads, states)
        if batch is not None:
            return {known.layout: batch}, []
    of_states = zip(*(map(QUANTIZED, qs) for qs in states), strict=True)
    layouts = list(map(Layout, map(_DTYPE, params), map(_DTYPE, grads), of_states))
    buckets: dict[Layout, list[int]] = {layout: [] for layout in dict.fromkeys(layouts)}
    for i, layout in enumerate(layouts):
        buckets[layout].append(i)
    batches: dict[Layout, Batch] = {}
    rest: list[int] = []
    for layout, indices in buckets.items():
        if layout.param not in DTYPES or layout.grad not in DTYPES:
            rest.extend(indices)
            continue
        whole = len(buckets) == 1
        ps, gs = (list(ts) if whole else [ts[i] for i in indices] for ts in (params, grads))
        qs = [list(ts) if whole else [ts[i] for i in indices] for ts in states]
        batch = _uniform(indices, ps, gs, qs)
        if batch is None:
            batch, refused = _one_by_one(indices, ps, gs, qs)
            rest.extend(refused)
        elif whole:
            states[0][0].__dict__["_known"] = Known(layout, batch, [ps, *qs])
        if batch.indices:
            batches[layout] = batch
    return batches, rest


def _uniform(
    indices: list[int], params: list[Tensor], grads: list[Tensor], states: list[list[QuantizedTensor]]
) -> Batch | None:
    """A batch of all, if every tensor is plain and contiguous and the states' layouts are the parameters'."""
    batch = Batch(indices, list(map(Tensor.numel, params)))
    shapes, strides = [p.shape for p in params], list(map(Tensor.stride, params))
    if not are_plain(params, batch.numels) or not are_plain(grads, batch.numels):
        return None
    for qs in states:
        contents = [t for q in qs for t in q.tensors()]
        if [q.shape for q in qs] != shapes or [q.stride for q in qs] != strides:
            return None
        if not are_plain(contents, list(map(Tensor.numel, contents))):
            return None
        batch.codes.append(list(map(Tensor.data_ptr, contents[::2])))
        batch.scales.append(list(map(Tensor.data_ptr, contents[1::2])))
    batch.params, batch.grads = list(map(Tensor.data_ptr, params)), list(map(Tensor.data_ptr, grads))
    return batch


def _one_by_one(
    indices: list[int], params: list[Tensor], grads: list[Tensor], states: list[list[QuantizedTensor]]
) -> tuple[Batch, list[int]]:
    """A batch of those tensors that can be served, and the indices of the others."""
    batch, rest = Batch([], codes=[[] for _ in states], scales=[[] for _ in states]), []
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
        batch.params.append(p.data_ptr())
        batch.grads.append(g.data_ptr())
        for q, codes, scales in zip(qs, batch.codes, batch.scales, strict=True):
            codes.append(q.codes.data_ptr())
            scales.append(q.scale.data_ptr())
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
