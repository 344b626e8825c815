"""RMSprop with 8-bit states."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from optimand.core.validation import check_number
from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.formulas import RMSPROP, RMSPROP_MOMENTUM
from optimand.optim.kernels import Kernel

from .base import LowBitOptimizer, LowBitOptions


class RMSprop8bit(LowBitOptimizer):
    """RMSprop with 8-bit states: about 1.02 bytes per parameter, twice as many with momentum.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        alpha: decay rate of the second moment, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: coupled (L2) weight decay, at least 0.
        momentum: in [0, 1); 0 for none.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Tieleman, Hinton, Lecture 6.5 (2012), as in ``torch.optim.RMSprop``; states as in arXiv 2110.02861, with the
        unsigned map.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = RMSprop8bit([p], lr=0.01)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4000, 0.4000])
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_number("alpha", group["alpha"], low=0.0, high=1.0, high_open=True)
        check_number("momentum", group["momentum"], low=0.0, high=1.0, high_open=True)

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        return RMSPROP_MOMENTUM if group["momentum"] else RMSPROP

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        alpha, momentum = group["alpha"], group["momentum"]
        common = group["weight_decay"], alpha, 1.0 - alpha, group["lr"], group["eps"]
        return (*common, momentum) if momentum else common

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Accept the states of ``torch.optim.RMSprop``; ValueError for centered ones."""
        if any(group.get("centered") for group in state_dict["param_groups"]):
            raise ValueError("centered must be False in the state dict: RMSprop8bit does not subtract the mean")
        return super().translate_state_dict(state_dict)
