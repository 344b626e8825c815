"""LAMB with 8-bit moments: Adam whose step is in proportion to the norm of each tensor."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from optimand.core.validation import check_number
from optimand.optim.base import Params
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.fused import lamb_norms
from optimand.optim.checks import arguments
from optimand.optim.formulas import LAMB

from .base import LowBitOptimizer, LowBitOptions
from .norms import total, trust_ratio, value_pieces
from .storage import local, local_grad, sum_over_shards


class LAMB8bit(LowBitOptimizer):
    """LAMB with 8-bit moments: about 2.03 bytes of state per parameter instead of 8.

    The update of Adam plus ``weight_decay p`` is rescaled, tensor by tensor, to the norm of the parameter; by 1
    where either is all zero, and by 0 where either is not finite.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0: the relative length of a step; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: weight decay, rescaled with the update, at least 0.
        trust_clip: the largest trust ratio, above 0; None for no limit.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, arXiv 1904.00962,
        algorithm 2; states as in arXiv 2110.02861.

    Example:
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = LAMB8bit([p], lr=0.01)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4950, 0.4950])
    """

    kernel = LAMB

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        trust_clip: float | None = None,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        if group["trust_clip"] is not None:
            check_number("trust_clip", group["trust_clip"], low=0.0, low_open=True)

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        rest = 1.0 - beta2**step
        debias2 = 1.0 / (torch.sqrt(rest) if isinstance(rest, Tensor) else math.sqrt(rest))
        rates = beta1, 1.0 - beta1, beta2, 1.0 - beta2
        return group["weight_decay"], group["lr"], 1.0 / (1.0 - beta1**step), debias2, *rates, group["eps"]

    def adapts_to_tensors(self, group: dict[str, Any]) -> bool:
        return True

    def scaled(
        self,
        group: dict[str, Any],
        scalars: tuple[Any, ...],
        param: Tensor,
        grad: Tensor,
        states: list[Any],
        factor: Any,
    ) -> tuple[Any, ...]:
        decay, lr, *others = scalars
        here = [local(param), local_grad(grad, param), *(local(s) if isinstance(s, Tensor) else s for s in states)]
        compiled = group["fused"] is not False and not group["foreach"] and not isinstance(factor, Tensor)
        squares = _compiled_squares(here, scalars, factor) if compiled else None
        if squares is None:
            squares = _squares(here, decay, others, factor)
        norm, length = torch.sqrt(sum_over_shards(squares, param)).unbind()
        trust = trust_ratio(norm, length, (norm == 0) | (length == 0))
        if group["trust_clip"] is not None:
            trust = trust.clamp(max=group["trust_clip"])
        return decay, lr * trust, *others


def _squares(here: list[Any], decay: Any, others: list[Any], factor: Any) -> Tensor:
    """The squared norms of the parameter and of its update, by torch operations."""
    of_param, of_update = [], []
    for p, g, *moments in value_pieces(here):
        # From 0 with a learning rate of -1 and no decay, the formula gives Adam's update itself.
        update, *_ = LAMB.on_tensors(torch.zeros_like(p), factor * g, *moments, 0.0, -1.0, *others)
        of_param.append(torch.linalg.vector_norm(p).square())
        of_update.append(torch.linalg.vector_norm(update + decay * p).square())
    return torch.stack([total(of_param, here[0]), total(of_update, here[0])])


def _compiled_squares(here: list[Any], scalars: tuple[Any, ...], factor: float) -> Tensor | None:
    """The same by compiled code; None where it does not serve."""
    p, g, *states = here
    quantized = all(isinstance(state, QuantizedTensor) for state in states)
    # The compiled pass leaves out what is not finite, where the other one stops the whole tensor.
    if not quantized or not p.is_cpu or torch.compiler.is_compiling() or not bool(torch.isfinite(g.sum())):
        return None
    table = [tuple(float(x) for x in scalars)]
    found = lamb_norms([p], [g], [[state] for state in states], table, factors=[factor])[0]
    return None if found is None else torch.tensor(found, dtype=torch.float32)
