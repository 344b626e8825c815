"""Lion with 8-bit momentum."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.lion import Lion

from .base import LowBitOptimizer, LowBitOptions


class Lion8bit(LowBitOptimizer):
    """Lion with 8-bit momentum: about 1.02 bytes of state per parameter instead of 4.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor. Start at AdamW's divided by 3 to 10.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        weight_decay: decoupled weight decay, at least 0. Start at AdamW's times 3 to 10.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv 2302.06675; states as in arXiv 2110.02861.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = Lion8bit([p], lr=0.01, weight_decay=0.1)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4895, 0.4895])
    """

    kernel = Lion.kernel

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return 1.0 - lr * group["weight_decay"], lr, beta1, 1.0 - beta1, beta2, 1.0 - beta2
