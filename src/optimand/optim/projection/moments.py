"""Adam's moments of a projected gradient, and the direction they give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..formulas import ADAM
from .sharding import local_of


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
