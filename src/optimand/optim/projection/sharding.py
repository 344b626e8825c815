"""A matrix as this process holds it: whole, or a shard of a DTensor (FSDP2, tensor parallelism).

A method that works on local shards needs to know where they lie in the whole matrix and over which processes a
sum must run; :class:`Shard2d` says both, and for a whole matrix does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shard2d:
    """Where a process's block of a matrix lies, and whom to sum with.

    Attributes:
        shape: rows and columns of the whole matrix.
        offset: row and column of the block's first entry.
        groups: for the rows and for the columns, the process groups over which that dimension is split.
        like: a DTensor with the parameter's mesh and placements, or None for a whole matrix.
    """

    shape: tuple[int, int]
    offset: tuple[int, int] = (0, 0)
    groups: tuple[tuple[Any, ...], tuple[Any, ...]] = ((), ())
    like: Any = field(default=None, repr=False, compare=False)

    @property
    def whole(self) -> bool:
        """Whether this process holds the whole matrix."""
        return self.like is None

    def sum_over(self, dim: int, *values: Tensor) -> None:
        """Sum, in place, what the processes found for their parts of the rows (``dim`` 0) or columns (1)."""
        for group in self.groups[dim]:
            for value in values:
                torch.distributed.all_reduce(value, group=group)

    def sum_over_all(self, *values: Tensor) -> None:
        """Sum, in place, what the processes found for their blocks."""
        self.sum_over(0, *values)
        self.sum_over(1, *values)

    def part(self, size: int, dim: int) -> slice:
        """The block's range of rows (``dim`` 0) or columns (1); ``size`` is the block's own extent there."""
        return slice(self.offset[dim], self.offset[dim] + size)

    def full(self, local: Tensor) -> Tensor:
        """The whole matrix, gathered from every process's block (``local`` here)."""
        if self.like is None:
            return local
        return distributed(local, self.like.device_mesh, self.like.placements, self.shape).full_tensor()

    def wrap(self, local: Tensor, kept: int | None) -> Tensor:
        """A state tensor, as a DTensor where the parameter is one, so that distributed checkpoints know its place.

        Args:
            local: this process's part of a matrix of which one dimension is the parameter's.
            kept: the dimension (0 or 1) that state and parameter share, split like the parameter's; None where
                every process has the whole state.
        """
        if self.like is None:
            return local
        from torch.distributed.tensor import Replicate, Shard

        shape = list(local.shape)
        placements: list[Any] = [Replicate()] * len(self.like.placements)
        if kept is not None:
            shape[kept] = self.shape[kept]
            split = [isinstance(p, Shard) and p.dim == kept for p in self.like.placements]
            placements = [Shard(kept) if here else Replicate() for here in split]
        return distributed(local, self.like.device_mesh, placements, shape)


def distributed(
    local: Tensor, mesh: Any, placements: Any, shape: Sequence[int], stride: tuple[int, ...] | None = None
) -> Any:
    """This process's part of a tensor as a DTensor, which processes do not compare their parts for.

    Args:
        local: the part.
        mesh: of the processes.
        placements: for each dimension of the mesh, how the tensor is spread over it.
        shape: of the whole tensor.
        stride: of the whole tensor; row-major by default.
    """
    from torch.distributed.tensor import DTensor

    stride = stride or torch.empty(shape, device="meta").stride()
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=torch.Size(shape), stride=stride)


def local_of(tensor: Tensor) -> Tensor:
    """The tensor itself, or the part of a DTensor that this process holds (the same memory).

    Example:
        >>> t = torch.ones(2)
        >>> local_of(t) is t
        True
    """
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def local_gradient(param: Tensor) -> Tensor:
    """This process's part of a parameter's gradient, split as the parameter is.

    Example:
        >>> p = torch.nn.Parameter(torch.ones(2))
        >>> p.grad = torch.zeros(2)
        >>> local_gradient(p)
        tensor([0., 0.])
    """
    return local_as(param.grad, param)


def local_as(value: Any, param: Tensor) -> Tensor:
    """This process's part of a tensor of a parameter's shape, split as the parameter is."""
    placements = getattr(param, "placements", None)
    if placements is not None and value.placements != placements:
        value = value.redistribute(placements=placements)
    return local_of(value)


def shard_of(param: Tensor) -> Shard2d:
    """How a parameter of two or more dimensions, seen as a matrix ``(out, rest)``, is spread over processes.

    Raises:
        ValueError: a DTensor is split in a way that leaves no block of that matrix: a partial sum, a strided
            shard, or a split of a later dimension of a tensor with more than two.

    Example:
        >>> shard_of(torch.zeros(4, 3, 2, 2)).shape
        (4, 12)
    """
    shape = (param.shape[0], param.numel() // max(param.shape[0], 1))
    if not hasattr(param, "to_local"):
        return Shard2d(shape)
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    mesh: Any = param.device_mesh  # type: ignore[attr-defined]
    placements: Any = param.placements  # type: ignore[attr-defined]
    groups: tuple[list[Any], list[Any]] = ([], [])
    for mesh_dim, placement in enumerate(placements):
        if isinstance(placement, Replicate):
            continue
        dim = placement.dim if type(placement) is Shard else None
        if dim is None or (dim > 0 and param.ndim > 2) or dim > 1:
            raise ValueError(
                f"a matrix must be replicated or split by rows or columns, got {placement} for a parameter of "
                f"shape {tuple(param.shape)}"
            )
        groups[dim].append(mesh.get_group(mesh_dim))
    _, offset = compute_local_shape_and_global_offset(param.shape, mesh, placements)
    column = int(offset[1]) if param.ndim == 2 else 0
    return Shard2d(shape, (int(offset[0]), column), (tuple(groups[0]), tuple(groups[1])), param)
