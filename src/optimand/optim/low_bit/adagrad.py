"""Adagrad with an 8-bit sum of squares."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from optimand.core.validation import check_number
from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.formulas import ADAGRAD

from .base import LowBitOptimizer, LowBitOptions


class Adagrad8bit(LowBitOptimizer):
    """Adagrad with an 8-bit sum of squares: about 1.02 bytes of state per parameter instead of 4.

    A sum that grows by less than half a level per step is rounded back and stands still: with ``"sqrt"`` storage
    that is about 1 % of the sum, reached after a hundred equal gradients. Effective step sizes then stop falling.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        lr_decay: the learning rate of step ``t`` is ``lr / (1 + (t - 1) lr_decay)``, at least 0.
        weight_decay: coupled (L2) weight decay, at least 0.
        initial_accumulator_value: the sum before the first step, at least 0.
        eps: added to the denominator, at least 0.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Duchi, Hazan, Singer, JMLR 12 (2011), as in ``torch.optim.Adagrad``; states as in arXiv 2110.02861, with the
        unsigned map.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = Adagrad8bit([p], lr=0.01)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4900, 0.4900])
    """

    kernel = ADAGRAD

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        for name in ("lr_decay", "initial_accumulator_value"):
            check_number(name, group[name], low=0.0)

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        super()._init_state(group, param, state)
        if group["initial_accumulator_value"]:
            state["sum"].fill_(group["initial_accumulator_value"])

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr = group["lr"] / (1.0 + (step - 1.0) * group["lr_decay"])
        return group["weight_decay"], lr, group["eps"]
