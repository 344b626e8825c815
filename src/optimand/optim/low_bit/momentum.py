"""SGD, LARS, which gives every tensor its own step size, and Lion with 8-bit momentum."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_number
from optimand.optim.base import Params
from optimand.optim.checks import arguments
from optimand.optim.formulas import SGD
from optimand.optim.lion import Lion
from optimand.optim.projection.sharding import local_as, local_of

from .base import LowBitOptimizer, LowBitOptions
from .norms import squared_norm, trust_ratio
from .storage import sum_over_shards


class SGD8bit(LowBitOptimizer):
    """SGD with 8-bit momentum: about 1.02 bytes of state per parameter instead of 4.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        momentum: in (0, 1); without momentum there is no state, and ``torch.optim.SGD`` does it.
        dampening: the share of a new gradient that stays out of the momentum after the first step, in [0, 1].
        weight_decay: coupled (L2) weight decay, at least 0.
        nesterov: Nesterov's momentum; needs ``dampening`` 0.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, arXiv 2110.02861.

    Example:
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = SGD8bit([p], lr=0.1)
        >>> for _ in range(2):
        ...     p.grad = torch.ones(64, 64)
        ...     optimizer.step()
        >>> p.data[0, :2]  # 0.5 - 0.1 * 1 - 0.1 * 1.9
        tensor([0.2100, 0.2100])
    """

    kernel = SGD

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        momentum = check_number("momentum", group["momentum"], low=0.0, high=1.0, high_open=True)
        if momentum == 0.0:
            raise ValueError("momentum must be in (0, 1), got 0: without it there is no state, take torch.optim.SGD")
        dampening = check_number("dampening", group["dampening"], low=0.0, high=1.0)
        check_choice("nesterov", group["nesterov"], (True, False))
        if group["nesterov"] and dampening:
            raise ValueError(f"dampening must be 0 with nesterov=True, got {dampening}")

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        momentum, later = group["momentum"], 1.0 - group["dampening"]
        if isinstance(step, Tensor):
            weight = later + (1.0 - later) * (step == 1.0)
        else:
            weight = 1.0 if step == 1.0 else later
        direction = (1.0, momentum) if group["nesterov"] else (0.0, 1.0)
        return group["weight_decay"], 1.0, 1.0, group["lr"], momentum, weight, *direction


class LARS8bit(SGD8bit):
    """LARS with 8-bit momentum: SGD whose step is in proportion to the norm of each tensor.

    The gradient, weight decay included, is multiplied by ``trust_coefficient ||p|| / (||g|| + weight_decay ||p||)``
    before it enters the momentum, by 1 where ``p`` or ``g`` is all zero, and by 0 where either is not
    finite.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        momentum: in (0, 1).
        dampening: the share of a new gradient that stays out of the momentum after the first step, in [0, 1].
        weight_decay: coupled (L2) weight decay, at least 0.
        nesterov: Nesterov's momentum; needs ``dampening`` 0.
        trust_coefficient: the relative length of a step, above 0.
        options: see :class:`LowBitOptimizer`.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient or one that is not finite.

    Reference:
        You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, arXiv 1708.03888, algorithm 1, with
        the learning rate outside the momentum; states as in arXiv 2110.02861.

    Example:
        >>> p = torch.nn.Parameter(torch.full((64, 64), 0.5))
        >>> optimizer = LARS8bit([p], lr=1.0, trust_coefficient=0.01)
        >>> p.grad = torch.full((64, 64), 30.0)
        >>> optimizer.step()
        >>> p.data[0, :2]
        tensor([0.4950, 0.4950])
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        trust_coefficient: float = 1e-3,
        **options: Unpack[LowBitOptions],
    ) -> None:
        # The base class's constructor checks the groups, and so needs this one's key among the defaults.
        LowBitOptimizer.__init__(self, params, arguments(locals()), options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_number("trust_coefficient", group["trust_coefficient"], low=0.0, low_open=True)

    def adapts_to_tensors(self, group: dict[str, Any]) -> bool:
        return True

    def adapted(
        self, group: dict[str, Any], scalars: tuple[Any, ...], param: Tensor, grad: Tensor, states: list[Any]
    ) -> tuple[Any, ...]:
        squares = torch.stack([squared_norm(local_of(param)), squared_norm(local_as(grad, param))])
        of_param, of_grad = torch.sqrt(sum_over_shards(squares, param)).unbind()
        decay = group["weight_decay"]
        numerator, denominator = group["trust_coefficient"] * of_param, of_grad + decay * of_param
        trust = trust_ratio(numerator, denominator, (of_param == 0) | (of_grad == 0))
        l2, _, *others = scalars
        return l2, trust, *others


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
