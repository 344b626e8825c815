"""What projected methods compute: Adam's direction, ratios of norms, a limit on how fast an update may grow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..formulas import ADAM
from .sharding import local_of

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


def adam_direction(low: Tensor, exp_avg: Any, exp_avg_sq: Any, betas: tuple[float, float], eps: float) -> Tensor:
    """Advance the moments, in place, by the projected gradient ``low``; returns ``exp_avg / (sqrt(exp_avg_sq) + eps)``.

    There is no bias correction: multiply the learning rate by ``sqrt(1 - beta2^t) / (1 - beta1^t)``, and for AdamW's
    ``eps`` give ``eps * sqrt(1 - beta2^t)``.

    Args:
        low: projected gradient, float32 or float64, contiguous.
        exp_avg: first moment, of the same shape: a tensor, a DTensor of which this process holds that shape, or
            quantized.
        exp_avg_sq: second moment, likewise.
        betas: decay rates of the moments.
        eps: added to the root of the second moment.

    Example:
        >>> m, v = torch.zeros(2), torch.zeros(2)
        >>> adam_direction(torch.tensor([1.0, -2.0]), m, v, (0.5, 0.75), 0.0), m, v
        (tensor([ 1., -1.]), tensor([ 0.5000, -1.0000]), tensor([0.2500, 1.0000]))
    """
    (beta1, beta2), out = betas, torch.zeros_like(low)
    # A step of Adam from zero, with -1 for the learning rate.
    row = (0.0, 1.0, -1.0, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps)
    if not isinstance(exp_avg, Tensor):
        from ..blockwise.kernel import quantized_kernel

        quantized_kernel(ADAM).launch([out], [low], [[exp_avg], [exp_avg_sq]], [row])
        return out
    states = [local_of(exp_avg), local_of(exp_avg_sq)]
    if low.is_cpu and not ADAM.launch([out], [low], [[state] for state in states], [row]):
        return out
    m, v = (state.to(low.dtype) for state in states)
    m.mul_(beta1).add_(low, alpha=1.0 - beta1)
    v.mul_(beta2).addcmul_(low, low, value=1.0 - beta2)
    for state, new in zip(states, (m, v), strict=True):
        if new is not state:
            state.copy_(new)
    torch.sqrt(v, out=out).add_(eps)
    return torch.div(m, out, out=out)
