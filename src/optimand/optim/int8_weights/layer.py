"""A linear layer whose weight is kept in 8 bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from optimand.core.validation import check_int

from ..projection.random import mix64
from .codec import dequantize_int8, quantize_int8
from .steps import register

NAMES = ("weight_codes", "weight_scale", "weight_zero", "rounding")


class _Linear(torch.autograd.Function):
    """A linear map with a quantized weight; the weight is dequantized again in the backward pass, not kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: QuantizedLinear) -> Tensor:
        ctx.group_size, ctx.has_bias = layer.group_size, bias is not None
        ctx.save_for_backward(x, layer.weight_codes, layer.weight_scale, layer.weight_zero)
        return functional.linear(x, layer.dequantize().to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, codes, scale, zero = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = grad @ dequantize_int8(codes, scale, zero, ctx.group_size).to(grad.dtype)
        if ctx.needs_input_grad[1]:
            of_weight = (flat.T @ x.reshape(-1, x.shape[-1])).float()
        if ctx.has_bias and ctx.needs_input_grad[2]:
            of_bias = flat.sum(0)
        return of_x, of_weight, of_bias, None


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is kept in 8 bits and trained by rounding it again after each update.

    ``weight`` is a parameter of the weight's shape that holds no numbers (all of its entries are one NaN in memory): it
    is what optimizers, groups and gradients are tied to, and is filled only while it is updated. The numbers are
    :meth:`dequantize`'s. State dicts hold codes, scales and zero points; one with a float ``weight`` can be loaded too.

    Args:
        in_features: size of an input.
        out_features: size of an output.
        bias: whether there is a bias (in ``dtype``).
        group_size: entries that share a scale.
        stochastic_round: round stochastically after updates instead of to the nearest.
        seed: of the rounding.
        device: of the layer.
        dtype: of the bias; the gradient and the update of the weight are float32 in any case.

    Raises:
        ValueError: ``group_size`` is below 1.

    Reference:
        Zhu et al., APOLLO, arXiv 2412.05270, section 5.3 (Q-APOLLO).

    Example:
        >>> layer = QuantizedLinear.from_linear(nn.Linear(64, 32))
        >>> layer(torch.ones(5, 64)).shape
        torch.Size([5, 32])
        >>> sum(x.nbytes for name, x in layer.state_dict().items() if name.startswith("weight"))
        2128
    """

    weight_codes: Tensor
    weight_scale: Tensor
    weight_zero: Tensor
    rounding: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        group_size: int = 128,
        stochastic_round: bool = True,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        linear = nn.Linear(in_features, out_features, bias, device=device, dtype=dtype)
        self._take(linear, group_size, stochastic_round, seed)

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, group_size: int = 128, stochastic_round: bool = True, seed: int = 0
    ) -> QuantizedLinear:
        """A layer with the weight of ``linear``, rounded to the nearest, and its bias parameter itself.

        Args:
            linear: any linear layer.
            group_size: entries that share a scale.
            stochastic_round: round stochastically after updates instead of to the nearest.
            seed: of the rounding.
        """
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._take(linear, group_size, stochastic_round, seed)
        return layer.train(linear.training)

    def _take(self, linear: nn.Linear, group_size: int, stochastic_round: bool, seed: int) -> None:
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.group_size, self.stochastic_round = check_int("group_size", group_size, low=1), stochastic_round
        self.weight = _placeholder(linear.weight, linear.weight.requires_grad)
        self.bias = linear.bias
        values = quantize_int8(linear.weight, group_size)
        rounding = torch.tensor([seed & (2**63 - 1), 0], device=linear.weight.device)
        for name, value in zip(NAMES, (*values, rounding), strict=True):
            self.register_buffer(name, value)
        register(self.weight, self)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (shape ``[..., in_features]``) times the transposed weight plus the bias."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return _Linear.apply(x, self.weight, self.bias, self)

    def dequantize(self) -> Tensor:
        """The weight in float32, ``out_features x in_features``."""
        return dequantize_int8(self.weight_codes, self.weight_scale, self.weight_zero, self.group_size)

    @torch.no_grad()
    def quantize_(self, weight: Tensor, *, stochastic: bool) -> None:
        """Take over a float weight.

        Args:
            weight: ``out_features x in_features``.
            stochastic: round stochastically instead of to the nearest.

        Raises:
            ValueError: ``weight`` has another shape.
        """
        if weight.shape != self.weight_codes.shape:
            raise ValueError(f"weight must have shape {tuple(self.weight_codes.shape)}, got {tuple(weight.shape)}")
        key = None
        if stochastic:
            seed, count = self.rounding.tolist()
            key = mix64(seed, count)
            self.rounding[1] += 1
        previous = (self.weight_scale, self.weight_zero)
        for name, value in zip(NAMES, quantize_int8(weight, self.group_size, key=key, previous=previous), strict=False):
            getattr(self, name).copy_(value)

    def extra_repr(self) -> str:
        """The sizes, as they stand in the printed model."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"group_size={self.group_size}, stochastic_round={self.stochastic_round}"
        )

    def _without_weight(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the base class that must not see the parameter; its place in the order stays."""
        weight, self._parameters["weight"] = self.weight, None
        try:
            return call(*args)
        finally:
            self._parameters["weight"] = weight

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedLinear:
        scale = self.weight_scale
        self._without_weight(super()._apply, fn, recurse)
        self.weight_scale = scale.to(self.weight_codes.device)  # never in 16 bits
        grad = self.weight.grad
        self.weight.grad = None
        self.weight.data = _placeholder(self.weight_codes, False).data
        self.weight.grad = None if grad is None else grad.to(self.weight_codes.device)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._without_weight(super()._save_to_state_dict, destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        weight = state_dict.get(prefix + "weight")
        if weight is not None:
            self.quantize_(weight, stochastic=False)
            state_dict = {name: value for name, value in state_dict.items() if name != prefix + "weight"}
            state_dict |= {prefix + name: getattr(self, name) for name in NAMES}
        self._without_weight(super()._load_from_state_dict, state_dict, prefix, *args)

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizedLinear:
        memo[id(self.weight)] = _placeholder(self.weight_codes, self.weight.requires_grad)
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__dict__, memo))
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        register(self.weight, self)


def _placeholder(like: Tensor, requires_grad: bool) -> nn.Parameter:
    """A float32 parameter of a shape and device that takes the memory of one number."""
    one = torch.full((), torch.nan, dtype=torch.float32, device=like.device)
    return nn.Parameter(one.expand(like.shape), requires_grad=requires_grad)
