"""What gradient-scaling methods compute from norms: ratios, and a limit on how fast an update may grow."""

from __future__ import annotations

import torch
from torch import Tensor

RATIO_FLOOR = 1e-8
# Squares of this many entries at a time stay in a core's cache.
BLOCK = 1 << 17


def norm_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """``numerator / (denominator + 1e-8)``: 0 where both norms are 0, never NaN for finite norms.

    Reference:
        The constant is that of the official code of APOLLO (arXiv 2412.05270); the paper has none.

    Example:
        >>> norm_ratio(torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0]))
        tensor([0.5000, 0.0000])
    """
    return numerator / (denominator + RATIO_FLOOR)


def channel_squares(matrix: Tensor, dim: int) -> Tensor:
    """Squared norms of the rows (``dim`` 0) or columns (1) of a matrix, as a column or a row that multiplies it.

    Args:
        matrix: rows x columns, float32 or float64.
        dim: the dimension whose entries have a norm each.

    Example:
        >>> channel_squares(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 0)
        tensor([[25.],
                [ 1.]])
        >>> channel_squares(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 1)
        tensor([[ 9., 17.]])
    """
    if dim == 0 or not matrix.is_cpu:
        return torch.linalg.vector_norm(matrix, dim=1 - dim, keepdim=True).square_()
    # On the CPU torch's norm over the leading dimension is ten times slower than over the last.
    rows = max(1, BLOCK // max(matrix.shape[1], 1))
    squares, total = matrix.new_empty(min(rows, matrix.shape[0]), matrix.shape[1]), matrix.new_zeros(matrix.shape[1])
    for block in matrix.split(rows):
        total += torch.mul(block, block, out=squares[: block.shape[0]]).sum(0)
    return total[None]


def limit_growth(norm: Tensor, record: Tensor, gamma: float) -> Tensor:
    """The factor, at most 1, that keeps an update's norm within ``gamma`` times the previous one's.

    ``record`` is replaced by the limited norm, in place. A norm of 0 counts as no record: otherwise a single zero
    gradient would leave updates that may only grow from almost nothing, by a percent a step.

    Args:
        norm: norm of the update, a 0-d tensor.
        record: limited norm of the previous update, a 0-d tensor; 0 where there is none.
        gamma: largest allowed growth, above 0.

    Reference:
        Chen et al., Fira, arXiv 2410.01623; Zhu et al., APOLLO, arXiv 2412.05270, algorithm 1.

    Example:
        >>> record = torch.tensor(0.0)
        >>> limit_growth(torch.tensor(2.0), record, 1.5), record
        (tensor(1.), tensor(2.))
        >>> limit_growth(torch.tensor(6.0), record, 1.5), record
        (tensor(0.5000), tensor(3.))
    """
    growth = (norm / (record + RATIO_FLOOR)).clamp(min=gamma) / gamma
    factor = growth.reciprocal().where(record > 0, 1.0)
    record.copy_(norm * factor)
    return factor
