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

from .selection import draw_subset, orthonormal_vectors, side_of, singular_vectors, subset_size


@dataclass(frozen=True)
class Coordinates:
    """Whole rows, whole columns, or the crossings of some rows with some columns.

    Attributes:
        rows: indices of rows, ascending, or None for all of them.
        columns: indices of columns, ascending, or None for all of them.

    Example:
        >>> space = Coordinates(columns=torch.tensor([1, 3]))
        >>> space.down(torch.arange(8.0).view(2, 4))
        tensor([[1., 3.],
                [5., 7.]])
        >>> space.up(torch.ones(2, 2), (2, 4))
        tensor([[0., 1., 0., 1.],
                [0., 1., 0., 1.]])
    """

    rows: Tensor | None = None
    columns: Tensor | None = None

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the part of a matrix of this shape."""
        return (
            shape[0] if self.rows is None else len(self.rows),
            shape[1] if self.columns is None else len(self.columns),
        )

    def down(self, matrix: Tensor) -> Tensor:
        """The part of a matrix, a copy."""
        if self.rows is not None:
            matrix = matrix.index_select(0, self.rows)
        return matrix if self.columns is None else matrix.index_select(1, self.columns)

    def put_(self, matrix: Tensor, part: Tensor) -> Tensor:
        """Replace the part of a matrix, in place."""
        if self.rows is None:
            return matrix.copy_(part) if self.columns is None else matrix.index_copy_(1, self.columns, part)
        if self.columns is None:
            return matrix.index_copy_(0, self.rows, part)
        matrix[self.rows[:, None], self.columns] = part
        return matrix

    def up(self, part: Tensor, shape: Sequence[int]) -> Tensor:
        """The matrix that has this part and is 0 elsewhere."""
        return self.put_(part.new_zeros(*shape), part)


@dataclass(frozen=True)
class Entries:
    """Single entries.

    Attributes:
        flat: their indices in row-major order, ascending.

    Example:
        >>> space = Entries(torch.tensor([0, 5]))
        >>> space.down(torch.arange(6.0).view(2, 3)), space.up(torch.ones(2), (2, 3))
        (tensor([0., 5.]), tensor([[1., 0., 0.],
                [0., 0., 1.]]))
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

    def up(self, part: Tensor, shape: Sequence[int]) -> Tensor:
        """The tensor that has these entries and is 0 elsewhere."""
        return self.put_(part.new_zeros(*shape), part)


@dataclass(frozen=True)
class Basis:
    """The span of orthonormal vectors on one side of a matrix, or on both.

    Attributes:
        left: ``(rows, k)`` with orthonormal columns, or None.
        right: ``(k, columns)`` with orthonormal rows, or None.

    Example:
        >>> space = Basis(right=torch.tensor([[0.6, 0.8]]))
        >>> space.down(torch.tensor([[3.0, 4.0], [4.0, -3.0]]))
        tensor([[5.],
                [0.]])
    """

    left: Tensor | None = None
    right: Tensor | None = None

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the coordinates of a matrix of this shape."""
        return (
            shape[0] if self.left is None else self.left.shape[1],
            shape[1] if self.right is None else self.right.shape[0],
        )

    def down(self, matrix: Tensor) -> Tensor:
        """The coordinates of a matrix: ``left.T @ matrix @ right.T``."""
        if self.left is not None:
            matrix = self.left.T @ matrix
        return matrix if self.right is None else matrix @ self.right.T

    def up(self, part: Tensor, shape: Sequence[int] = ()) -> Tensor:
        """The matrix that has these coordinates: ``left @ part @ right``."""
        if self.left is not None:
            part = self.left @ part
        return part if self.right is None else part @ self.right

    def add_up_(self, matrix: Tensor, part: Tensor, alpha: float = 1.0) -> Tensor:
        """Add ``alpha`` times the matrix that has these coordinates, in place and without a temporary of its size."""
        if self.right is None:
            return matrix.add_(part, alpha=alpha) if self.left is None else matrix.addmm_(self.left, part, alpha=alpha)
        return matrix.addmm_(part if self.left is None else self.left @ part, self.right, alpha=alpha)


Subspace: TypeAlias = Coordinates | Entries | Basis


def draw_coordinates(shape: Sequence[int], kind: str, density: float, side: str, keys: Any) -> Coordinates | None:
    """Random rows and columns; None where the density is too small for a single one.

    Args:
        shape: rows and columns.
        kind: ``"columns"`` and ``"rows"`` take ``floor(density * number)`` of them; ``"randperm"`` takes
            ``round(density * smaller dimension)`` on the sides that ``side`` says.
        density: in [0, 1].
        side: see :func:`~optimand.optim.projection.selection.side_of`; only for ``"randperm"``.
        keys: for rows and for columns what names the draw, two sequences of integers.

    Reference:
        Zmushko et al., FRUGAL, arXiv 2411.07837.

    Example:
        >>> draw_coordinates((4, 8), "columns", 0.3, "std", ((0,), (0,))).size((4, 8))
        (4, 2)
        >>> draw_coordinates((4, 8), "randperm", 0.25, "full", ((0,), (0,))).size((4, 8))
        (1, 1)
    """
    if kind == "randperm":
        size = subset_size(min(shape[0], shape[1]), density, rounding="nearest")
        chosen = side_of(shape, side)
        sizes = (size if chosen != "right" else None, size if chosen != "left" else None)
    else:
        size = subset_size(shape[kind == "columns"], density)
        sizes = (size, None) if kind == "rows" else (None, size)
    if size == 0:
        return None
    parts = [n if n is None else draw_subset(shape[dim], n, (*keys[dim], dim)) for dim, n in enumerate(sizes)]
    return Coordinates(*parts)


def basis_of(grad: Tensor, kind: str, rank: int, side: str, key: Sequence[int]) -> Basis:
    """A basis of ``rank`` vectors on the chosen side: of the gradient (``"svd"``) or random (``"random"``).

    Args:
        grad: the gradient, a matrix.
        kind: ``"svd"`` or ``"random"``.
        rank: number of vectors, in [1, min(rows, columns)].
        side: see :func:`~optimand.optim.projection.selection.side_of`.
        key: what names a random basis.

    Reference:
        Zhao et al., GaLore, arXiv 2403.03507, section 4; random bases as in FRUGAL, arXiv 2411.07837.

    Example:
        >>> basis_of(torch.eye(3, 5), "random", 2, "full", (0,)).size((3, 5))
        (2, 2)
    """
    dtype = torch.float64 if grad.dtype == torch.float64 else torch.float32
    chosen = side_of(grad.shape, side)
    wanted = ("left", "right") if chosen == "full" else (chosen,)
    if kind == "svd":
        return Basis(**{name: singular_vectors(grad, rank, name) for name in wanted})
    return Basis(
        **{name: orthonormal_vectors(grad.shape, rank, name, key, device=grad.device, dtype=dtype) for name in wanted}
    )


def carry(old: Subspace, new: Subspace, state: Tensor, *, squares: bool = False) -> Tensor:
    """A state of the old subspace in terms of the new one.

    Coordinates that both have keep their values and the others begin at 0. Coordinates along a basis change with it:
    ``new.down(old.up(state))``, for averages of squares with the squared entries of the change of basis, which is
    exact for uncorrelated coordinates and keeps them non-negative.

    Args:
        old: the subspace whose state is given.
        new: another one of the same kind, on the same sides.
        state: of the old subspace's size.
        squares: whether the state averages squares.

    Raises:
        ValueError: the subspaces are of different kinds.

    Example:
        >>> old, new = Coordinates(columns=torch.tensor([0, 2])), Coordinates(columns=torch.tensor([1, 2]))
        >>> carry(old, new, torch.tensor([[5.0, 7.0]]))
        tensor([[0., 7.]])
    """
    if isinstance(old, Basis) and isinstance(new, Basis) and _sides(old) == _sides(new):
        if old.left is not None and new.left is not None:
            change = new.left.T @ old.left
            state = (change.square() if squares else change) @ state
        if old.right is not None and new.right is not None:
            change = old.right @ new.right.T
            state = state @ (change.square() if squares else change)
        return state
    if isinstance(old, Entries) and isinstance(new, Entries):
        return _move(state, 0, old.flat, new.flat)
    if isinstance(old, Coordinates) and isinstance(new, Coordinates) and _sides(old) == _sides(new):
        for dim, (before, after) in enumerate(((old.rows, new.rows), (old.columns, new.columns))):
            if before is not None and after is not None:
                state = _move(state, dim, before, after)
        return state
    raise ValueError(f"a state can be carried between subspaces of one kind, got {old!r} and {new!r}")


def _sides(space: Coordinates | Basis) -> tuple[bool, bool]:
    first, second = (space.rows, space.columns) if isinstance(space, Coordinates) else (space.left, space.right)
    return first is not None, second is not None


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
