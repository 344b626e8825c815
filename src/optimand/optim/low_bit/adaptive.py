"""Adam, AdamW, AdEMAMix, LAMB, RMSprop and Adagrad with 8-bit states, AdamW also with 4-bit ones."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int, check_number
from optimand.optim.base import Params
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.fused import lamb_norms
from optimand.optim.checks import arguments
from optimand.optim.formulas import ADAGRAD, ADAM, ADEMAMIX, AMSGRAD, LAMB, RMSPROP, RMSPROP_MOMENTUM, adam_scalars
from optimand.optim.kernels import Kernel
from optimand.optim.projection.sharding import local_as, local_of

from .base import LowBitOptimizer, LowBitOptions
from .norms import total, trust_ratio, value_pieces
from .storage import sum_over_shards


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
        **options: Unpack[LowBitOptions],
    ) -> None:
        super().__init__(params, arguments(locals()), options)

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        rest = 1.0 - beta2**step
        debias2 = 1.0 / (torch.sqrt(rest) if isinstance(rest, Tensor) else math.sqrt(rest))
        rates = beta1, 1.0 - beta1, beta2, 1.0 - beta2
        return group["weight_decay"], group["lr"], 1.0 / (1.0 - beta1**step), debias2, *rates, group["eps"]

    def adapts_to_tensors(self, group: dict[str, Any]) -> bool:
        return True

    def adapted(
        self, group: dict[str, Any], scalars: tuple[Any, ...], param: Tensor, grad: Tensor, states: list[Any]
    ) -> tuple[Any, ...]:
        decay, lr, *others = scalars
        here = [local_of(param), local_as(grad, param), *map(local_of, states)]
        compiled = group["fused"] is not False and not group["foreach"]
        squares = _compiled_squares(here, scalars) if compiled else None
        if squares is None:
            squares = _squares(here, decay, others)
        norm, length = torch.sqrt(sum_over_shards(squares, param)).unbind()
        trust = trust_ratio(norm, length, (norm == 0) | (length == 0))
        return decay, lr * trust, *others


def _squares(here: list[Any], decay: Any, others: list[Any]) -> Tensor:
    """The squared norms of the parameter and of its update, by torch operations."""
    of_param, of_update = [], []
    for p, g, *moments in value_pieces(here):
        # From 0 with a learning rate of -1 and no decay, the formula gives Adam's update itself.
        update, *_ = LAMB.on_tensors(torch.zeros_like(p), g, *moments, 0.0, -1.0, *others)
        of_param.append(torch.linalg.vector_norm(p).square())
        of_update.append(torch.linalg.vector_norm(update + decay * p).square())
    return torch.stack([total(of_param, here[0]), total(of_update, here[0])])


def _compiled_squares(here: list[Any], scalars: tuple[Any, ...]) -> Tensor | None:
    """The same by compiled code; None where it does not serve."""
    p, g, *states = here
    quantized = all(isinstance(state, QuantizedTensor) for state in states)
    # The compiled pass leaves out what is not finite, where the other one stops the whole tensor.
    if not quantized or not p.is_cpu or torch.compiler.is_compiling() or not bool(torch.isfinite(g.sum())):
        return None
    table = [tuple(float(x) for x in scalars)]
    found = lamb_norms([p], [g], [[state] for state in states], table)[0]
    return None if found is None else torch.tensor(found, dtype=torch.float32)


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
