"""A basis of a matrix of which this process may hold a block only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .sharding import Shard2d
from .subspaces import Basis, basis_of


@dataclass(frozen=True)
class LocalBasis:
    """A basis of a whole matrix, applied to this process's block of it.

    Attributes:
        basis: of the whole matrix.
        part: its rows and columns that lie along the block.
        shard: where the block lies.

    Example:
        >>> import torch
        >>> space = local_basis(Basis(left=torch.eye(3)[:, :2]), torch.ones(3, 4), Shard2d((3, 4)))
        >>> space.down(torch.ones(3, 4)).shape, space.kept
        (torch.Size([2, 4]), 1)
    """

    basis: Basis
    part: Basis
    shard: Shard2d

    @property
    def kept(self) -> int | None:
        """The dimension that coordinates share with the matrix, None where both sides are projected."""
        if self.basis.left is not None and self.basis.right is not None:
            return None
        return 0 if self.basis.left is None else 1

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the coordinates of a block of this shape."""
        return self.part.size(shape)

    def down(self, grad: Tensor) -> Tensor:
        """The coordinates of the whole matrix, summed over the processes that hold other blocks of a projected side."""
        low = self.part.down(grad)
        low = low if low.is_contiguous() else low.contiguous()
        for dim, side in enumerate((self.basis.left, self.basis.right)):
            if side is not None:
                self.shard.sum_over(dim, low)
        return low

    def up(self, low: Tensor) -> Tensor:
        """This process's block of the matrix that has these coordinates."""
        return self.part.up(low)

    def add_up_(self, matrix: Tensor, low: Tensor, alpha: float = 1.0) -> Tensor:
        """Add ``alpha`` times that block, in place."""
        return self.part.add_up_(matrix, low, alpha)


def local_basis(basis: Basis, matrix: Tensor, shard: Shard2d) -> LocalBasis:
    """The basis as it applies to a block of the matrix."""
    if shard.whole:
        return LocalBasis(basis, basis, shard)
    left, right = basis.left, basis.right
    left = left if left is None else left[shard.part(matrix.shape[0], 0)]
    right = right if right is None else right[:, shard.part(matrix.shape[1], 1)]
    return LocalBasis(basis, Basis(left, right), shard)


def new_basis(grad: Tensor, kind: str, rank: int, side: str, key: Sequence[int], shard: Shard2d) -> Basis:
    """A basis of the whole matrix, as :func:`~optimand.optim.projection.subspaces.basis_of` makes it.

    Args:
        grad: this process's block of the gradient; all blocks are gathered for ``"svd"``.
        kind: ``"svd"`` or ``"random"``.
        rank: number of vectors.
        side: which side is projected.
        key: what names a random basis.
        shard: where the block lies.
    """
    if kind == "svd":
        return basis_of(shard.full(grad), kind, rank, side, key)
    return basis_of(grad.new_empty(()).expand(shard.shape), kind, rank, side, key)


def take_basis(state: dict[str, Any]) -> Basis | None:
    """The basis that a state holds under ``left`` and ``right``, None where it holds none."""
    found = {side: state[side] for side in ("left", "right") if side in state}
    return Basis(**found) if found else None


def keep_basis(state: dict[str, Any], basis: Basis) -> None:
    """Put a basis into a state, in the place of the one it holds."""
    for side, vectors in (("left", basis.left), ("right", basis.right)):
        state.pop(side, None)
        if vectors is not None:
            state[side] = vectors
