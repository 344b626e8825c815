"""AdEMAMix with 8-bit states: a fast and a slow average of the gradient."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from optimand.core.validation import check_int, check_number
from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.formulas import ADEMAMIX, adam_scalars

from .base import LowBitOptimizer, LowBitOptions


class AdEMAMix8bit(LowBitOptimizer):
    """AdEMAMix with 8-bit states: about 3.05 bytes of state per parameter instead of 12.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the fast average, of the second moment and of the slow average, each in [0, 1).
        alpha: the weight of the slow average, at least 0.
        eps: added to the denominator, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        t_alpha: steps over which ``alpha`` grows from 0, at least 1; None: at its full value from the start.
        t_beta3: steps over which the slow average's decay rate grows from the fast one's, at least 1; None: at once.
            Needs rates above 0.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Pagliardini, Ablin, Grangier, The AdEMAMix Optimizer: Better, Faster, Older, arXiv 2409.03137, algorithm 1
        and equation 3; states as in arXiv 2110.02861.

    Example:
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = AdEMAMix8bit([p], lr=0.01, weight_decay=0.0)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]  # 0.5 - 0.01 * (1 + 5 * 0.0001)
        tensor([0.4900, 0.4900])
    """

    kernel = ADEMAMIX
    count_of_betas = 3

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        t_alpha: int | None = None,
        t_beta3: int | None = None,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        betas = group["betas"]
        check_number("alpha", group["alpha"], low=0.0)
        for name in ("t_alpha", "t_beta3"):
            if group[name] is not None:
                check_int(name, group[name], low=1)
        if group["t_beta3"] is not None and 0.0 in (betas[0], betas[2]):
            raise ValueError(f"betas must be above 0 for t_beta3={group['t_beta3']}, got {betas!r}")

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr, (beta1, beta2, beta3) = group["lr"], group["betas"]
        _, decay, size, *rates, eps = adam_scalars(lr, (beta1, beta2), group["eps"], group["weight_decay"], step)
        alpha = scheduled_alpha(group["alpha"], step, group["t_alpha"])
        beta3 = scheduled_beta3(beta1, beta3, step, group["t_beta3"])
        slow_size = size * (1.0 - beta1**step) * alpha
        return decay, size, slow_size, *rates, beta3, 1.0 - beta3, eps


def scheduled_alpha(alpha: float, step: Any, steps: int | None) -> Any:
    """The weight of the slow average in step ``step``: linear from 0 over ``steps`` steps.

    Example:
        >>> scheduled_alpha(5.0, 10, 100), scheduled_alpha(5.0, 200, 100), scheduled_alpha(5.0, 1, None)
        (0.5, 5.0, 5.0)
    """
    if steps is None:
        return alpha
    share = step / steps
    return alpha * (share.clamp(max=1.0) if isinstance(share, Tensor) else min(share, 1.0))


def scheduled_beta3(beta1: float, beta3: float, step: Any, steps: int | None) -> Any:
    """The slow decay rate in step ``step``: its half-life grows linearly from that of ``beta1``.

    Example:
        >>> [round(scheduled_beta3(0.9, 0.9999, t, 1000), 6) for t in (0, 500, 1000, 2000)]
        [0.9, 0.9998, 0.9999, 0.9999]
    """
    if steps is None:
        return beta3
    share = step / steps
    start, end = math.log(beta1), math.log(beta3)
    if isinstance(share, Tensor):
        share = share.clamp(max=1.0)
        return torch.exp(start * end / ((1.0 - share) * end + share * start))
    share = min(share, 1.0)
    return math.exp(start * end / ((1.0 - share) * end + share * start))
