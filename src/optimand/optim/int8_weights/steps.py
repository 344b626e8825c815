"""Updates of 8-bit weights around an optimizer's step: one weight at a time is float."""

from __future__ import annotations

import weakref
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.weak import WeakIdKeyDictionary

from ..single import SingleSteps


class QuantizedWeight(Protocol):
    """What keeps a weight in codes."""

    stochastic_round: bool

    def dequantize(self) -> Tensor:
        """The weight in float32."""

    def quantize_(self, weight: Tensor, *, stochastic: bool) -> None:
        """Take over a float weight."""


# The layer of each placeholder. torch's hooks around every optimizer's step look here: an optimizer that was not told
# of quantized weights would otherwise write to memory that a placeholder does not have.
_LAYERS: Any = WeakIdKeyDictionary()
_HOOKS: list[Any] = []


def register(weight: Tensor, layer: QuantizedWeight) -> None:
    """From now on, every optimizer's step updates the weight in ``layer`` where it finds ``weight`` with a gradient."""
    if not _HOOKS:
        _HOOKS.extend((register_optimizer_step_pre_hook(_before), register_optimizer_step_post_hook(_after)))
    _LAYERS[weight] = weakref.ref(layer)


def _before(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Update the quantized weights; the step that follows finds no gradients of theirs.

    Raises:
        ValueError: the optimizer does not update each parameter from its own gradient alone.
    """
    if getattr(optimizer, "updates_in_backward", False) or _under_way(optimizer):
        return None
    if not any(p in _LAYERS for group in optimizer.param_groups for p in group["params"]):
        return None
    SingleSteps.of(optimizer)  # refuses what needs all gradients at once, before a closure is evaluated
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if closure is None:
        _update(optimizer)
        return None

    def evaluate() -> Any:
        loss = closure()
        _update(optimizer)
        return loss

    return args[:1], {**kwargs, "closure": evaluate}


def _after(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if optimizer.__dict__.get("_updates_weights"):
        return
    hidden = optimizer.__dict__.pop("_hidden_grads", ())
    for param, grad in hidden:
        param.grad = grad
    if hidden and not SingleSteps.of(optimizer).inside:
        SingleSteps.of(optimizer).settle()


def _under_way(optimizer: Optimizer) -> bool:
    """Whether this step is part of another: a class's step may call its base class's, around which hooks run too."""
    own = optimizer.__dict__
    hidden = own.get("_hidden_grads", ())
    # After a step that failed the list is left over; new gradients tell.
    return bool(own.get("_updates_weights") or (hidden and all(param.grad is None for param, _ in hidden)))


@torch.no_grad()
def _update(optimizer: Optimizer) -> None:
    single = SingleSteps.of(optimizer)
    hidden: list[tuple[Tensor, Tensor]] = []
    if not single.inside:
        single.end_round()
    for number, group in enumerate(optimizer.param_groups):
        for position, param in enumerate(group["params"]):
            layer = _LAYERS[param]() if param in _LAYERS else None
            if layer is None or param.grad is None:
                continue
            grad, nothing = param.grad, param.data
            param.data = layer.dequantize()
            optimizer.__dict__["_updates_weights"] = True
            try:
                single.step(number, position, hooks=False)
                layer.quantize_(param.data, stochastic=layer.stochastic_round)
            finally:
                optimizer.__dict__["_updates_weights"] = False
                param.data = nothing
            param.grad = None
            hidden.append((param, grad))
    if hidden:
        optimizer.__dict__["_hidden_grads"] = hidden
        if not single.inside:
            single.rewind()
