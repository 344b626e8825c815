"""The subspace of one matrix: drawn at a refresh, found again in each step, and its states' buffers.

What is drawn is a pure function of integers and the density, so a state holds only the number of the refresh and the
density (and a basis that cannot be drawn again); indices are found anew. Of a sharded matrix each process draws the
rows, columns or entries of its own shard along a dimension that is split, and the same as all others along one that
is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..projection import Shard2d, local_of, read, work_dtype, write
from ..projection.buffers import pack
from ..projection.selection import draw_subset, entries_within, entry_limit, subset_size
from ..projection.sharding import distributed
from ..projection.subspaces import SIDE_NAMES, Basis, Coordinates, Entries, basis_in, carry, draw_basis
from .rules import STATE_FULL

COORDINATES = ("rows", "columns")
PROJECTED = ("svd", "random")
SUBSPACES = (*COORDINATES, "randk", "block", *PROJECTED)
# Where a projected gradient is put back, what is below this share of the largest entry is rounding noise.
NOISE = 1e-5


@dataclass(frozen=True)
class Whole:
    """All of a matrix: a block that is active."""

    def size(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape itself."""
        return tuple(shape)


Space = Coordinates | Entries | Basis | Whole | None


@dataclass
class Cache:
    """What was found for a matrix, until its refresh, its density or its shape change.

    Attributes:
        drawn_from: all that the draw depends on.
        space: rows and columns.
        limit: what random entries are found by.
    """

    drawn_from: tuple[Any, ...] = ()
    space: Space = None
    limit: int = -1


def find(group: dict[str, Any], state: dict[str, Any], matrix: Tensor, shard: Shard2d, cache: Cache) -> Space:
    """The subspace that a state belongs to, None for an empty one.

    Args:
        group: the group's hyperparameters.
        state: the matrix's state, in which a refresh has been made.
        matrix: this process's block of the matrix.
        shard: where the block lies in the whole matrix.
        cache: of this matrix; entries of ``randk`` are not kept there, because they take as much memory as states.
    """
    kind, shape = state["subspace"], (matrix.shape[0], matrix.shape[1])
    if kind == "block":
        return Whole() if _buffer_names(state) else None
    if kind in PROJECTED:
        return basis_in(state, matrix, shard)
    keys = _keys(group, state, shard)
    source = (kind, state["density"], shape, keys, matrix.device)
    fresh = cache.drawn_from != source
    if kind in COORDINATES:
        if fresh:
            dim = COORDINATES.index(kind)
            size = subset_size(shape[dim], state["density"])
            drawn = Coordinates(dim, draw_subset(shape[dim], size, (*keys[dim], dim)).to(matrix.device))
            # Where other shards may have states, this one must have some too, if empty ones.
            cache.drawn_from, cache.space = source, drawn if size or not shard.whole else None
        return cache.space
    size = subset_size(matrix.numel(), state["density"])
    if size == 0 and shard.whole:
        return None
    key = (*keys[0], *keys[1])
    if fresh:
        cache.drawn_from, cache.limit = source, entry_limit(matrix.numel(), size, key)
    return Entries(entries_within(matrix.numel(), cache.limit, key).to(matrix.device))


def _keys(group: dict[str, Any], state: dict[str, Any], shard: Shard2d) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For rows and for columns what names the draw; blocks that share a range of rows draw the same rows."""
    key = (group["seed"], state["index"], state["refresh"])
    return (*key, shard.offset[0]), (*key, shard.offset[1])


def _buffer_names(state: dict[str, Any]) -> list[str]:
    return [name for name in ("exp_avg", "exp_avg_sq", "momentum_buffer") if name in state]


def enter(
    group: dict[str, Any],
    state: dict[str, Any],
    matrix: Tensor,
    grad: Tensor,
    shard: Shard2d,
    cache: Cache,
    refresh: int,
    active: bool,
) -> Space:
    """Draw a matrix's subspace number ``refresh`` and bring its states there, as ``on_change`` says.

    Args:
        group: the group's hyperparameters.
        state: the matrix's state; ``state["step"]`` counts this step already and begins at 1 where states do.
        matrix: this process's block of the matrix.
        grad: its gradient.
        shard: where the block lies in the whole matrix.
        cache: of this matrix.
        refresh: number of the refresh.
        active: whether the matrix belongs to the active blocks; read in block mode only.

    Raises:
        ValueError: the matrix is sharded, and its states cannot have 8 bits.
    """
    before: Any = find(group, state, matrix, shard, cache) if "refresh" in state else None
    names = STATE_FULL[group["state_full"]].states
    old = {name: state.pop(name) for name in _buffer_names(state)}
    for side in SIDE_NAMES:
        state.pop(side, None)
    kind, density = group["subspace"], float(group["density"])
    state.update(refresh=refresh, density=density, subspace=kind)
    if kind == "block":
        after: Any = Whole() if active else None
    else:
        rank = subset_size(min(shard.shape), density, rounding="nearest")
        if kind in PROJECTED and rank > 0:
            key = (group["seed"], state["index"], refresh)
            draw_basis(state, grad.to(work_dtype(grad)), kind, rank, group["proj_side"], key, shard)
        after = find(group, state, matrix, shard, cache)
    if after is None:
        return None
    stays = set(old) == set(names) and before is not None and group["on_change"] != "reset"
    if stays and type(before) is type(after):
        equal = before.size(matrix.shape) == after.size(matrix.shape)
        if isinstance(after, Whole) or (group["on_change"] == "keep" and equal):
            state.update(old)
            return after
        if group["on_change"] == "project" and getattr(before, "dim", 0) == getattr(after, "dim", 0):
            for name in names:
                state[name] = _buffer(group, name, after, matrix, shard)
                values = load(old[name], before, matrix)
                store(state[name], after, matrix, carry(before, after, values, squares=name.endswith("_sq")))
            return after
    for name in names:
        state[name] = _buffer(group, name, after, matrix, shard)
    state["step"] = 1
    return after


def _buffer(group: dict[str, Any], name: str, space: Any, matrix: Tensor, shard: Shard2d) -> Any:
    """A state of zeros; of a sharded matrix a DTensor in which every shard has equal room."""
    size, dtype, unsigned = list(space.size(matrix.shape)), group["state_dtype"], name.endswith("_sq")
    if shard.whole or isinstance(space, Basis):
        buffer = pack(size, matrix, dtype, unsigned=unsigned)
        return shard.wrap(buffer, space.kept) if isinstance(space, Basis) and torch.is_tensor(buffer) else buffer
    from torch.distributed.tensor import Replicate, Shard

    placements: Any = list(shard.like.placements)
    parts = [math.prod(torch.distributed.get_world_size(g) for g in groups) for groups in shard.groups]
    largest = [-(-extent // n) for extent, n in zip(shard.shape, parts, strict=True)]
    whole, alike = list(shard.shape), False
    if isinstance(space, Entries):
        placements = [Replicate() if isinstance(p, Replicate) else Shard(0) for p in placements]
        size = [subset_size(math.prod(largest), group["density"])]
        whole = [size[0] * math.prod(parts)]
    elif isinstance(space, Coordinates):
        dim = space.dim
        alike = parts[dim] == 1  # all shards have the same rows, or columns
        size[dim] = size[dim] if alike else subset_size(largest[dim], group["density"])
        whole[dim] = size[dim] * parts[dim]
    buffer = pack(size, matrix, dtype, unsigned=unsigned)
    if torch.is_tensor(buffer):
        return distributed(buffer, shard.like.device_mesh, placements, whole)
    if not alike:
        raise ValueError(
            f"state_dtype='8bit' with subspace={group['subspace']!r} needs whole matrices, got a DTensor split as "
            f"{tuple(placements)}: take float32 or bfloat16 states, or columns of matrices that are split by rows"
        )
    return buffer


def load(buffer: Any, space: Any, matrix: Tensor) -> Tensor:
    """A state in the working precision, its own memory where it has that; without the room that other shards need."""
    return _used(read(buffer, work_dtype(matrix)), space, matrix)


def store(buffer: Any, space: Any, matrix: Tensor, values: Tensor) -> None:
    """Put back what :func:`load` gave and a step has changed."""
    if isinstance(buffer, Tensor):
        buffer = _used(local_of(buffer), space, matrix)
    elif tuple(buffer.shape) != tuple(values.shape):
        whole = values.new_zeros(buffer.shape)
        _used(whole, space, matrix).copy_(values)
        values = whole
    write(buffer, values)


def _used(values: Tensor, space: Any, matrix: Tensor) -> Tensor:
    size = space.size(matrix.shape)
    return values if tuple(values.shape) == tuple(size) else values[tuple(slice(n) for n in size)]
