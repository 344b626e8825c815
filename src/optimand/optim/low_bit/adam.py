"""Adam and AdamW with 8-bit moments, and AdamW with 4-bit moments."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from optimand.core.validation import check_choice
from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.formulas import ADAM, AMSGRAD, adam_scalars
from optimand.optim.kernels import Kernel

from .base import LowBitOptimizer, LowBitOptions


class AdamW8bit(LowBitOptimizer):
    """AdamW with 8-bit moments: about 2.03 bytes of state per parameter instead of 8.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        amsgrad: divide by the running maximum of the second moment; a third state.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, arXiv 2110.02861; the square-root
        storage of the second moment and the signed scale are additions.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = AdamW8bit([p], lr=0.01, weight_decay=0.1)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4895, 0.4895])
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        amsgrad: bool = False,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_choice("amsgrad", group["amsgrad"], (True, False))

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        return AMSGRAD if group["amsgrad"] else ADAM

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        return adam_scalars(
            group["lr"], group["betas"], group["eps"], group["weight_decay"], step, decoupled=self.decoupled
        )

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Accept the states of ``torch.optim.Adam`` and ``AdamW``; ValueError for the other kind of weight decay."""
        groups = []
        for group in state_dict["param_groups"]:
            kind = group.get("decoupled_weight_decay", self.decoupled)
            if kind != self.decoupled and group.get("weight_decay"):
                mine, theirs = ("decoupled", "coupled") if self.decoupled else ("coupled", "decoupled")
                raise ValueError(f"weight decay of {type(self).__name__} is {mine}, that of the state dict {theirs}")
            groups.append({name: value for name, value in group.items() if name != "decoupled_weight_decay"})
        return super().translate_state_dict({**state_dict, "param_groups": groups})


class Adam8bit(AdamW8bit):
    """Adam with 8-bit moments; ``weight_decay`` adds to the gradient, as in ``torch.optim.Adam``.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: coupled (L2) weight decay, at least 0.
        amsgrad: divide by the running maximum of the second moment; a third state.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, arXiv 2110.02861.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = Adam8bit([p], lr=0.01)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4900, 0.4900])
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        amsgrad: bool = False,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad=amsgrad, **options)


class AdamW4bit(AdamW8bit):
    """AdamW with 4-bit moments: about 1.06 bytes of state per parameter instead of 8.

    The first moment has 16 signed levels over three decades, the second 16 equal steps without 0, so a coordinate
    never divides by less than a quarter of its block's largest root.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled weight decay, at least 0.
        amsgrad: divide by the running maximum of the second moment; a third state.
        options: see :class:`LowBitOptimizer`; ``block_size`` is 128 by default, ``second_moment`` is ``"plain"``.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Li, Chen, Zhu, Memory Efficient Optimizers with 4-bit States, arXiv 2309.01507; the maps are those of torchao.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = AdamW4bit([p], lr=0.01, weight_decay=0.1)
        >>> p.grad = torch.full((64, 64), 0.3)
        >>> optimizer.step()
        >>> optimizer.state[p]["exp_avg"].nbytes / p.numel()
        0.53125
    """

    bits = 4
