"""Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv 2302.06675).

    c     = beta1 m + (1 - beta1) g
    theta = theta - lr (sign(c) + weight_decay theta)
    m     = beta2 m + (1 - beta2) g

One momentum buffer, no second moment; every coordinate moves by exactly ``lr`` (or stands still where c = 0), so
``lr`` is 3 to 10 times smaller than AdamW's and ``weight_decay`` larger by as much. The order of operations is that
of the authors' PyTorch code: decay first, then the step, then the momentum from the old one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_number

from .base import ElementwiseOptimizer, Params
from .checks import arguments, warn_of_decay
from .kernels import Kernel, like, maximum, sign


def lion(p, g, exp_avg, decay, lr, beta1, one_minus_beta1, beta2, one_minus_beta2):  # type: ignore[no-untyped-def]
    """One element of a step of Lion; ``decay`` is ``1 - lr * weight_decay``."""
    c = beta1 * exp_avg + one_minus_beta1 * g
    return p * decay - lr * sign(c), beta2 * exp_avg + one_minus_beta2 * g


def cautious_lion(  # type: ignore[no-untyped-def]
    p, g, exp_avg, decay, lr, beta1, one_minus_beta1, beta2, one_minus_beta2, boost
):
    """One element of a step of cautious Lion; ``boost`` is one over the share of coordinates that move."""
    direction = sign(beta1 * exp_avg + one_minus_beta1 * g)
    agrees = maximum(sign(direction * g), like(g, 0))
    return p * decay - lr * (direction * boost * agrees), beta2 * exp_avg + one_minus_beta2 * g


class Lion(ElementwiseOptimizer):
    """Lion: the sign of an interpolated momentum (arXiv 2302.06675).

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0; a number or a 0-d tensor. Start at AdamW's divided by 3 to 10.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        weight_decay: decoupled weight decay, at least 0. Start at AdamW's times 3 to 10.
        maximize: whether to maximize the objective.
        foreach: update many tensors at once by torch operations.
        fused: update by compiled CPU code; default where it can serve.
        differentiable: let autograd see through the step.
        cautious: move only coordinates whose update agrees in sign with the gradient, and scale their
            updates up so that the mean stays (arXiv 2411.16085).
        momentum_dtype: dtype of the momentum, such as ``torch.bfloat16``; the parameter's by default.
        capturable: keep the step free of host reads, for CUDA graphs.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Warns:
        UserWarning: ``lr * weight_decay >= 1``, where the decay alone turns the sign of every parameter.

    Reference:
        Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023, arXiv 2302.06675, program 1.

    Example:
        >>> p = torch.nn.Parameter(torch.tensor([0.5, -0.25, 1.0]))
        >>> optimizer = Lion([p], lr=0.01, weight_decay=0.1)
        >>> p.grad = torch.tensor([0.3, -0.2, 0.0])
        >>> optimizer.step()
        >>> p.data
        tensor([ 0.4895, -0.2397,  0.9990])
    """

    kernel = Kernel(lion, states=("exp_avg",))
    cautious_kernel = Kernel(cautious_lion, states=("exp_avg",))

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        differentiable: bool = False,
        cautious: bool = False,
        momentum_dtype: torch.dtype | None = None,
        capturable: bool = False,
        stochastic_rounding: bool = False,
    ) -> None:
        super().__init__(params, arguments(locals()))

    @classmethod
    def from_adamw(
        cls, params: Params, lr: float = 1e-3, weight_decay: float = 1e-2, ratio: float = 5.0, **options: Any
    ) -> Lion:
        """Lion with the hyperparameters that correspond to AdamW's: ``lr / ratio`` and ``weight_decay * ratio``.

        Args:
            params: parameters, or groups of parameters.
            lr: AdamW's learning rate.
            weight_decay: AdamW's weight decay.
            ratio: between 3 and 10 in the paper's experiments.
            options: further arguments of :class:`Lion`.

        Example:
            >>> p = torch.nn.Parameter(torch.zeros(2))
            >>> group = Lion.from_adamw([p], lr=1e-3, weight_decay=0.1, ratio=4.0).param_groups[0]
            >>> group["lr"], group["weight_decay"]
            (0.00025, 0.4)
        """
        check_number("ratio", ratio, low=0.0, low_open=True)
        return cls(params, lr=lr / ratio, weight_decay=weight_decay * ratio, **options)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        warn_of_decay(group)

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        return self.cautious_kernel if group["cautious"] else self.kernel

    def adapts_to_tensors(self, group: dict[str, Any]) -> bool:
        return bool(group["cautious"])

    def adapted(
        self, group: dict[str, Any], scalars: tuple[Any, ...], param: Tensor, grad: Tensor, states: list[Tensor]
    ) -> tuple[Any, ...]:
        beta1, one_minus_beta1 = scalars[2], scalars[3]
        dtype = torch.promote_types(torch.float32, param.dtype)
        c = beta1 * states[0].to(dtype) + one_minus_beta1 * grad.to(dtype)
        moving = torch.sign(torch.sign(c) * grad).clamp(min=0.0).to(dtype)
        # The floor of the authors' code: few agreeing coordinates must not take the step of all.
        return (*scalars, 1.0 / moving.mean().clamp(min=1e-3) if moving.numel() else 1.0)

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return 1.0 - lr * group["weight_decay"], lr, beta1, 1.0 - beta1, beta2, 1.0 - beta2
