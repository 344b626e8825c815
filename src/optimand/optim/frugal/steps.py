"""A step of FRUGAL for one matrix, by compiled code where that can serve, else by torch operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kernels import sign
from ..kernels.blocks import update_in_blocks
from ..projection import Shard2d, local_of
from ..projection.base import shares_memory, write_back
from ..projection.subspaces import Basis, Coordinates
from ..stochastic import HALF
from .kernels import Job, SubsetKernel
from .rules import STATE_FREE, STATE_FULL
from .spaces import NOISE, Space, Whole, load, store

_SUBSETS: dict[tuple[str, str, int], SubsetKernel] = {}


@dataclass
class Item:
    """A matrix in this step.

    Attributes:
        target: this process's part of the parameter.
        matrix: the same as a matrix, a view where the layout allows one.
        grad: its gradient, likewise.
        state: its state.
        space: its subspace.
        full: scalars of the rule with states.
        free: scalars of the rule without: what decay multiplies by, and the learning rate.
        key: 32-bit number for stochastic rounding, or None.
    """

    target: Tensor
    matrix: Tensor
    grad: Tensor
    state: dict[str, Any]
    space: Space
    full: tuple[float, ...]
    free: tuple[float, float]
    key: int | None

    def buffers(self, names: Sequence[str]) -> list[Any]:
        """The states' buffers."""
        return [self.state[name] for name in names]


def update(group: dict[str, Any], items: list[Item]) -> None:
    """Change all matrices and their states in place.

    Args:
        group: the group's hyperparameters.
        items: the matrices.
    """
    # An empty shard still takes part in the sums of a projection.
    items = [i for i in items if (i.matrix.numel() or isinstance(i.space, Basis)) and not _stands_still(group, i)]
    if group["fused"] is not False and not group["foreach"]:
        items = _update_compiled(group, items)
    for item in items:
        _update_by_torch(group, item)


def _stands_still(group: dict[str, Any], item: Item) -> bool:
    return item.space is None and group["state_free"] == "none" and item.free[0] == 1.0


def _update_compiled(group: dict[str, Any], items: list[Item]) -> list[Item]:
    """Update what compiled code can serve; returns the other matrices."""
    kernel, free, maximize = STATE_FULL[group["state_full"]], group["state_free"], group["maximize"]
    whole: list[Item] = []
    empty: list[Item] = []
    subsets: dict[int, list[Item]] = {0: [], 1: []}
    rest: list[Item] = []
    for item in items:
        quantized = item.space is not None and not all(
            isinstance(b, Tensor) and local_of(b).is_contiguous() for b in item.buffers(kernel.states)
        )
        if quantized or not shares_memory(item.matrix, item.target) or not item.matrix.is_contiguous():
            rest.append(item)
        elif item.space is None:
            empty.append(item)
        elif isinstance(item.space, Whole) or item.space.size(item.matrix.shape) == tuple(item.matrix.shape):
            (whole if not isinstance(item.space, Basis) else rest).append(item)
        elif isinstance(item.space, Coordinates):
            subsets[item.space.dim].append(item)
        else:
            rest.append(item)
    for chosen, rule, names in ((whole, kernel, kernel.states), (empty, STATE_FREE[free], ())):
        states = [[local_of(item.state[name]) for item in chosen] for name in names]
        table = [item.full if names else item.free for item in chosen]
        options: dict[str, Any] = {"maximize": maximize, "keys": _keys(group, chosen)}
        grads = [item.grad for item in chosen]
        left = rule.launch([i.matrix for i in chosen], grads, states, table, range(len(table)), **options)
        rest += [chosen[i] for i in left]
    for dim, chosen in subsets.items():
        jobs = [_job(item, kernel.states, dim) for item in chosen]
        key = (group["state_full"], free, dim)
        subset = _SUBSETS.get(key) or _SUBSETS.setdefault(key, SubsetKernel(kernel, free, dim))
        rest += [chosen[i] for i in subset.launch(jobs, maximize)]
    return rest


def _keys(group: dict[str, Any], items: list[Item]) -> list[int] | None:
    return [item.key or 0 for item in items] if group["stochastic_rounding"] else None


def _job(item: Item, names: Sequence[str], dim: int) -> Job:
    assert isinstance(item.space, Coordinates)
    index = item.space.index
    states = [local_of(item.state[name]) for name in names]
    if states[0].shape[dim] != len(index):  # room that only other shards need
        states = [state.narrow(dim, 0, len(index)) for state in states]
    key = item.key if item.matrix.dtype in HALF else None
    return Job(item.matrix, item.grad.contiguous(), states, index, item.full, item.free, key)


def _update_by_torch(group: dict[str, Any], item: Item) -> None:
    matrix, space = item.matrix, item.space
    work = matrix.float() if matrix.dtype in HALF else matrix
    grad = item.grad.to(work.dtype)
    if group["maximize"]:
        grad = -grad
    if space is None:
        free_step(work, grad, group["state_free"], *item.free)
    elif isinstance(space, Basis):
        _projected_step(group, item, work, grad)
    elif isinstance(space, Whole):
        _full_step(group, item, work, grad)
    else:
        part = space.down(work)
        free_step(work, grad, group["state_free"], *item.free)
        _full_step(group, item, part, space.down(grad))
        space.put_(work, part)
    write_back(work, matrix, item.target, item.key)


def free_step(matrix: Tensor, grad: Tensor, rule: str, decay: float, lr: float) -> None:
    """The step without states, in place: decoupled decay, then the sign of the gradient, the gradient, or nothing.

    Example:
        >>> p = torch.tensor([1.0, 2.0])
        >>> free_step(p, torch.tensor([-3.0, 0.0]), "sign_sgd", 1.0, 0.5)
        >>> p
        tensor([1.5000, 2.0000])
    """
    if decay != 1.0:
        matrix.mul_(decay)
    if rule == "sign_sgd":
        matrix.add_(sign(grad), alpha=-lr)
    elif rule == "sgd":
        matrix.sub_(lr * grad)


def _full_step(group: dict[str, Any], item: Item, part: Tensor, grad: Tensor) -> None:
    """The step with states, in place, of what the subspace takes of a matrix."""
    kernel = STATE_FULL[group["state_full"]]
    buffers = item.buffers(kernel.states)
    quantized = not isinstance(buffers[0], Tensor) and buffers[0].shape == part.shape
    if quantized and part.dtype == torch.float32:
        out, row = part.contiguous(), [[buffer] for buffer in buffers]
        from ..blockwise.kernel import quantized_kernel

        rule = quantized_kernel(kernel)
        rule.launch([out], [grad.contiguous()], row, [item.full], fused=group["fused"] is not False)
        if out is not part:
            part.copy_(out)
        return
    states = [load(buffer, item.space, item.matrix) for buffer in buffers]
    update_in_blocks(kernel, [part], [grad], [[state] for state in states], [item.full], [0], [0])
    for buffer, state in zip(buffers, states, strict=True):
        store(buffer, item.space, item.matrix, state)


def _projected_step(group: dict[str, Any], item: Item, matrix: Tensor, grad: Tensor) -> None:
    """The step of a matrix whose subspace lies across the coordinates, in place."""
    space = item.space
    assert isinstance(space, Basis)
    down = space.down(grad)
    moved = torch.zeros_like(down)
    _full_step(group, item, moved, down)
    if group["state_free"] == "none":
        free_step(matrix, grad, "none", *item.free)
    else:
        rest = space.add_up_(grad.clone(), down, -1.0)
        # The sign of rounding noise would move weights by a full step.
        rest.masked_fill_(rest.abs() <= NOISE * _largest(grad, space.shard), 0.0)
        free_step(matrix, rest, group["state_free"], *item.free)
    space.add_up_(matrix, moved)


def _largest(grad: Tensor, shard: Shard2d) -> Tensor:
    """The largest magnitude in the whole gradient."""
    largest = grad.abs().max() if grad.numel() else grad.new_zeros(())
    for process_group in (*shard.groups[0], *shard.groups[1]):
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, group=process_group)
    return largest
