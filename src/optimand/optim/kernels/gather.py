"""Which tensors a compiled kernel can serve, sorted by dtype, with the addresses of their memory.

With many small tensors these checks cost more than the update itself. They run as ``map`` over a torch method
wherever all tensors are alike, and tensor by tensor only for those that are not.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter, is_
from typing import Any, TypeVar

import torch
from torch import Tensor

from .compiler import Variant
from .elementwise import is_eager

K = TypeVar("K")
HALF = (torch.bfloat16, torch.float16)
# The dtypes that compiled code reads.
NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}


def arithmetic_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The precision in which an update of these tensors is computed: float64 if one has it, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


@dataclass
class Batch:
    """Tensors that one call of a compiled kernel serves.

    Attributes:
        indices: positions in the caller's lists.
        numels: numbers of elements.
        pointers: for the parameters, the gradients and each state: addresses.
        written: the tensors that the kernel writes.
        held: copies made for this call, which must outlive it.
    """

    indices: list[int]
    numels: list[int]
    pointers: list[list[int]]
    written: list[Tensor]
    held: list[Tensor] = field(default_factory=list)


class Memo:
    """Parameters and states that were found fit at the last step: until they move, only gradients are new.

    It keeps none of them alive.
    """

    def __init__(self) -> None:
        self.lists: list[list[weakref.ref[Tensor]]] = []
        self.pointers: list[list[int]] = []
        self.key: Any = None
        self.stochastic = False

    def keep(self, lists: Sequence[Sequence[Tensor]], batch: Batch, key: Any, stochastic: bool = False) -> None:
        """Remember that all of these tensors made up one batch, of which ``key`` says what they share."""
        self.lists = [list(map(weakref.ref, tensors)) for tensors in (lists[0], *lists[2:])]
        self.pointers = [batch.pointers[0], *batch.pointers[2:]]
        self.key, self.stochastic, self.grad_dtype = key, stochastic, lists[1][0].dtype

    def batch(self, lists: Sequence[Sequence[Tensor]], stochastic: bool = False) -> Batch | None:
        """The batch of the same parameters and states with new gradients; None if anything else has changed."""
        kept = [lists[0], *lists[2:]]
        if list(map(len, kept)) != list(map(len, self.lists)) or stochastic != self.stochastic:
            return None
        if not all(all(map(is_, ts, [ref() for ref in old])) for ts, old in zip(kept, self.lists, strict=True)):
            return None
        if [list(map(Tensor.data_ptr, ts)) for ts in kept] != self.pointers:
            return None
        params, grads = lists[0], lists[1]
        numels = list(map(Tensor.numel, params))
        if set(map(attrgetter("dtype"), grads)) != {self.grad_dtype}:
            return None
        if not all(map(Tensor.is_contiguous, params)) or not are_plain(grads, numels):
            return None
        pointers = [self.pointers[0], list(map(Tensor.data_ptr, grads)), *self.pointers[1:]]
        return Batch(list(range(len(params))), numels, pointers, [t for ts in kept for t in ts])


def collect(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Sequence[Tensor]],
    stochastic: bool,
    memo: Memo | None = None,
) -> tuple[dict[Variant, Batch], list[int]]:
    """Sort tensors by dtype; returns the batches and the indices of the tensors that no kernel can serve."""
    if not is_eager():
        return {}, list(range(len(params)))
    lists = [params, grads, *states]
    if memo is not None and (known := memo.batch(lists, stochastic)) is not None:
        return {memo.key: known}, []
    keys = list(zip(*(map(attrgetter("dtype"), ts) for ts in lists), strict=True))
    buckets = bucketed(keys)
    batches: dict[Variant, Batch] = {}
    rest: list[int] = []
    for key, indices in buckets.items():
        if not all(dtype in NAMES for dtype in key):
            rest.extend(indices)
            continue
        chosen = lists if len(buckets) == 1 else [[ts[i] for i in indices] for ts in lists]
        batch = _uniform_batch(indices, chosen)
        if batch is None:
            batch, refused = _mixed_batch(indices, chosen)
            rest.extend(refused)
        variant = Variant(tuple(NAMES[d] for d in key), stochastic and key[0] in HALF)
        if batch.indices:
            batches[variant] = batch
        if memo is not None and len(batch.indices) == len(params) and not batch.held:
            memo.keep(lists, batch, variant, variant.stochastic)
    return batches, rest


def bucketed(keys: Sequence[K]) -> dict[K, list[int]]:
    """The positions of each key."""
    buckets: dict[K, list[int]] = {key: [] for key in dict.fromkeys(keys)}
    for i, key in enumerate(keys):
        buckets[key].append(i)
    return buckets


def _uniform_batch(indices: list[int], lists: Sequence[Sequence[Tensor]]) -> Batch | None:
    """A batch of all these tensors if every one is plain, contiguous, on the CPU and of its parameter's size."""
    numels = list(map(Tensor.numel, lists[0]))
    if not all(are_plain(tensors, numels) for tensors in lists):
        return None
    pointers = [list(map(Tensor.data_ptr, tensors)) for tensors in lists]
    return Batch(indices, numels, pointers, [t for tensors in (lists[0], *lists[2:]) for t in tensors])


def are_plain(tensors: Sequence[Tensor], numels: list[int]) -> bool:
    """Whether all are ordinary contiguous CPU tensors with these numbers of elements."""
    return (
        set(map(type, tensors)) <= {Tensor, torch.nn.Parameter}
        and set(map(attrgetter("layout"), tensors)) == {torch.strided}
        and all(map(attrgetter("is_cpu"), tensors))
        and all(map(Tensor.is_contiguous, tensors))
        and not any(map(Tensor.is_neg, tensors))
        and list(map(Tensor.numel, tensors)) == numels
    )


def _mixed_batch(indices: list[int], lists: Sequence[Sequence[Tensor]]) -> tuple[Batch, list[int]]:
    """A batch of those tensors that a kernel can serve one by one, and the indices of the others."""
    batch = Batch([], [], [[] for _ in lists], [])
    rest = []
    for at, tensors in zip(indices, zip(*lists, strict=True), strict=True):
        if not all(type(t) in (Tensor, torch.nn.Parameter) and t.layout is torch.strided and t.is_cpu for t in tensors):
            rest.append(at)
            continue
        p, g, *states = tensors
        if not is_dense(p) or any(t.shape != p.shape or t.is_neg() for t in tensors):
            rest.append(at)
            continue
        if g.stride() != p.stride():
            g = torch.empty_strided(p.shape, p.stride(), dtype=g.dtype).copy_(g)
            batch.held.append(g)
        if p.numel() and any(state.stride() != p.stride() for state in states):
            rest.append(at)
            continue
        batch.indices.append(at)
        batch.numels.append(p.numel())
        for pointers, t in zip(batch.pointers, (p, g, *states), strict=True):
            pointers.append(t.data_ptr())
        batch.written.extend((p, *states))
    return batch, rest


def is_dense(t: Tensor) -> bool:
    """Whether the elements fill their memory without gaps or overlaps, in any order of the dimensions."""
    if t.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(t.stride(), t.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
