"""A formula over many tensors by torch operations, in blocks that stay in the cache.

Small tensors are joined into flat blocks and large ones are cut into blocks, so the temporaries of a step are small
and few however many operations the formula has. This is the path behind ``foreach``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .elementwise import is_eager
from .gather import arithmetic_dtype
from .kernel import Kernel
from .pool import run_pieces

CPU_BLOCK = 1 << 17
DEVICE_BLOCK = 1 << 24


def update_in_blocks(
    kernel: Kernel,
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Sequence[Tensor]],
    table: Sequence[Sequence[Any]],
    rows: Sequence[int],
    indices: Sequence[int],
    *,
    maximize: bool = False,
) -> None:
    """Update the parameters at ``indices`` and their states in place.

    Args:
        kernel: the formula.
        params: parameters; those at ``indices`` are plain strided tensors on any devices, of any dtypes.
        grads: their gradients.
        states: for each state of the formula, one tensor for each parameter.
        table: rows of scalars.
        rows: for each parameter its row in ``table``.
        indices: which parameters to update.
        maximize: whether the gradients' signs are turned.
    """
    buckets: dict[Any, list[int]] = {}
    for i in indices:
        key = (rows[i], *((t[i].dtype, t[i].device) for t in (params, grads, *states)))
        buckets.setdefault(key, []).append(i)
    jobs: list[Callable[[], None]] = []
    elements = 0
    for key, members in buckets.items():
        scalars = table[key[0]]
        on_cpu = params[members[0]].device.type == "cpu"
        size = CPU_BLOCK if on_cpu else DEVICE_BLOCK
        small = [i for i in members if params[i].numel() < size]
        for run in _runs(small, params, size):
            joined = [[ts[i] for i in run] for ts in (params, grads, *states)]
            jobs.append(partial(_update_joined, kernel, joined, scalars, maximize))
        for i in members:
            if params[i].numel() >= size:
                tensors = [params[i], grads[i], *(state[i] for state in states)]
                for p, g, *rest in _pieces(tensors, size):
                    jobs.append(partial(kernel.apply, p, g, rest, scalars, maximize=maximize))
        elements += on_cpu * sum(params[i].numel() for i in members)

    def run_jobs(begin: int, end: int) -> None:
        with torch.no_grad():  # a setting of each thread
            for job in jobs[begin:end]:
                job()

    if jobs:
        run_pieces(run_jobs, len(jobs), elements if is_eager() else 0)


def _pieces(tensors: list[Tensor], size: int) -> Iterable[tuple[Tensor, ...]]:
    """Views of the same elements of all tensors, of ``size`` elements each where their layout allows it."""
    if not all(t.is_contiguous() for t in tensors):
        return [tuple(tensors)]
    return zip(*(t.detach().view(-1).split(size) for t in tensors), strict=True)


def _runs(indices: Sequence[int], params: Sequence[Tensor], size: int) -> Iterator[list[int]]:
    """Cut ``indices`` into runs whose tensors have at most ``size`` elements together."""
    run: list[int] = []
    total = 0
    for i in indices:
        numel = params[i].numel()
        if run and total + numel > size:
            yield run
            run, total = [], 0
        run.append(i)
        total += numel
    if run:
        yield run


def _update_joined(kernel: Kernel, lists: list[list[Tensor]], scalars: Sequence[Any], maximize: bool) -> None:
    if len(lists[0]) == 1:
        tensors = [ts[0] for ts in lists]
        kernel.apply(tensors[0], tensors[1], tensors[2:], scalars, maximize=maximize)
        return
    target = arithmetic_dtype([ts[0] for ts in lists])
    flat = [torch._C._nn.flatten_dense_tensors(ts).to(target) for ts in lists]
    if maximize:
        flat[1] = -flat[1]
    updated = kernel.on_tensors(*flat, *scalars)
    written = [lists[0], *lists[2:]]
    for tensors, new in zip(written, updated, strict=True):
        torch._foreach_copy_(tensors, torch._C._nn.unflatten_dense_tensors(new, tensors))
