"""Subspaces of matrices: what a subspace takes of a matrix, and how it is put back.

Rows, columns and single entries are subspaces along coordinates: their part can be taken and replaced exactly. A
basis spans one that lies across the coordinates. No optimizer inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .buffers import work_dtype
from .random import orthonormal_projection
from .selection import side_of, singular_vectors
from .sharding import Shard2d

SIDE_NAMES = ("left", "right")


@dataclass(frozen=True)
class Coordinates:
    """Whole rows or whole columns.

    Attributes:
        dim: 0 for rows, 1 for columns.
        index: their indices, ascending.

    Example:
        >>> space = Coordinates(1, torch.tensor([1, 3]))
        >>> space.down(torch.arange(8.0).view(2, 4))
        tensor([[1., 3.],
                [5., 7.]])
    """

    dim: int
    index: Tensor

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the part of a matrix of this shape."""
        return (len(self.index), shape[1]) if self.dim == 0 else (shape[0], len(self.index))

    def down(self, matrix: Tensor) -> Tensor:
        """The part of a matrix, a copy."""
        return matrix.index_select(self.dim, self.index)

    def put_(self, matrix: Tensor, part: Tensor) -> Tensor:
        """Replace the part of a matrix, in place."""
        return matrix.index_copy_(self.dim, self.index, part)


@dataclass(frozen=True)
class Entries:
    """Single entries.

    Attributes:
        flat: their indices in row-major order, ascending.

    Example:
        >>> Entries(torch.tensor([0, 5])).down(torch.arange(6.0).view(2, 3))
        tensor([0., 5.])
    """

    flat: Tensor

    def size(self, shape: Sequence[int]) -> tuple[int]:
        """The shape of the part of any tensor."""
        return (len(self.flat),)

    def down(self, matrix: Tensor) -> Tensor:
        """The entries of a tensor, a copy."""
        return matrix.take(self.flat)

    def put_(self, matrix: Tensor, part: Tensor) -> Tensor:
        """Replace the entries of a tensor, in place."""
        return matrix.put_(self.flat, part)


@dataclass(frozen=True)
class Basis:
    """The span of orthonormal vectors on one side of a matrix, of which this process may hold a block only.

    Attributes:
        dim: the side: 0 for the rows, which ``vectors`` of shape ``(rows, k)`` map to k, 1 for the columns, with
            ``(k, columns)``.
        vectors: of the whole matrix.
        part: what of them lies along the block.
        shard: where the block lies.

    Example:
        >>> vectors = torch.tensor([[0.6, 0.8]])
        >>> Basis(1, vectors, vectors, Shard2d((2, 2))).down(torch.tensor([[3.0, 4.0], [4.0, -3.0]]))
        tensor([[5.],
                [0.]])
    """

    dim: int
    vectors: Tensor
    part: Tensor
    shard: Shard2d

    @property
    def kept(self) -> int:
        """The dimension that coordinates share with the matrix."""
        return 1 - self.dim

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the coordinates of a block of this shape."""
        rank = self.vectors.shape[self.kept]
        return (rank, shape[1]) if self.dim == 0 else (shape[0], rank)

    def down(self, matrix: Tensor) -> Tensor:
        """The coordinates of the whole matrix, summed over the processes that hold other blocks of the side."""
        low = (self.part.T @ matrix if self.dim == 0 else matrix @ self.part.T).contiguous()
        self.shard.sum_over(self.dim, low)
        return low

    def add_up_(self, matrix: Tensor, low: Tensor, alpha: float = 1.0) -> Tensor:
        """Add ``alpha`` times this block of the matrix that has these coordinates, without a temporary of its size."""
        factors = (self.part, low) if self.dim == 0 else (low, self.part)
        return matrix.addmm_(*factors, alpha=alpha)


Subspace: TypeAlias = Coordinates | Entries | Basis


def draw_basis(
    state: dict[str, Any], grad: Tensor, kind: str, rank: int, side: str, key: Sequence[int], shard: Shard2d
) -> None:
    """Put ``rank`` vectors of the whole matrix into a state, under ``left`` or ``right``, in the place of its last.

    Args:
        state: the matrix's.
        grad: this process's block of the gradient; only its device and precision matter for a random basis.
        kind: ``"svd"``: the gradient's leading singular vectors; ``"random"``: random orthonormal ones.
        rank: number of vectors, in [1, min(rows, columns)].
        side: see :func:`~optimand.optim.projection.selection.side_of`.
        key: what names a random basis.
        shard: where the block lies in the whole matrix.

    Reference:
        Zhao et al., GaLore, arXiv 2403.03507, section 4; random bases as in FRUGAL, arXiv 2411.07837.

    Example:
        >>> state = {}
        >>> draw_basis(state, torch.eye(3, 5), "random", 2, "right", (0,), Shard2d((3, 5)))
        >>> state["right"].shape
        torch.Size([2, 5])
    """
    side = side_of(shard.shape, side)
    if kind == "svd":
        vectors = singular_vectors(shard.full(grad), rank, side)
    else:
        dim, options = SIDE_NAMES.index(side), {"device": grad.device, "dtype": work_dtype(grad)}
        vectors = orthonormal_projection(rank, shard.shape[dim], (*key, dim), **options)  # type: ignore[arg-type]
        vectors = vectors if dim else vectors.T.contiguous()
    for name in SIDE_NAMES:
        state.pop(name, None)
    state[side] = vectors


def basis_in(state: dict[str, Any], matrix: Tensor, shard: Shard2d) -> Basis | None:
    """The basis that a state holds, as it applies to a block of the matrix; None where it holds none."""
    for dim, side in enumerate(SIDE_NAMES):
        if side in state:
            vectors = state[side]
            part = vectors if shard.whole else vectors.narrow(dim, shard.offset[dim], matrix.shape[dim])
            return Basis(dim, vectors, part, shard)
    return None


def carry(old: Subspace, new: Subspace, state: Tensor, *, squares: bool = False) -> Tensor:
    """A state of the old subspace in terms of the new one.

    Coordinates that both have keep their values and the others begin at 0. Coordinates along a basis change with it:
    the old ones put back and taken again, for averages of squares with the squared entries of the change of basis,
    which is exact for uncorrelated coordinates and keeps them non-negative.

    Args:
        old: the subspace whose state is given.
        new: another one of the same kind, on the same side.
        state: of the old subspace's size.
        squares: whether the state averages squares.

    Example:
        >>> old, new = Coordinates(1, torch.tensor([0, 2])), Coordinates(1, torch.tensor([1, 2]))
        >>> carry(old, new, torch.tensor([[5.0, 7.0]]))
        tensor([[0., 7.]])
    """
    if isinstance(old, Basis) and isinstance(new, Basis):
        change = new.vectors.T @ old.vectors if new.dim == 0 else old.vectors @ new.vectors.T
        change = change.square() if squares else change
        return change @ state if new.dim == 0 else state @ change
    if isinstance(old, Entries) and isinstance(new, Entries):
        return _move(state, 0, old.flat, new.flat)
    assert isinstance(old, Coordinates)
    assert isinstance(new, Coordinates)
    return _move(state, old.dim, old.index, new.index)


def _move(state: Tensor, dim: int, old: Tensor, new: Tensor) -> Tensor:
    """Slices of ``state`` at the places that their indices have in ``new``; both lists of indices ascend."""
    shape = list(state.shape)
    shape[dim] = len(new)
    moved = state.new_zeros(shape)
    if not len(old) or not len(new):
        return moved
    place = torch.searchsorted(new, old).clamp(max=len(new) - 1)
    stays = new[place] == old
    moved.index_copy_(dim, place[stays], state.index_select(dim, stays.nonzero().flatten()))
    return moved
