"""Training with 8-bit weights: int8 between steps, float only while one layer is updated (Q-APOLLO, arXiv 2412.05270).

A weight is kept as codes of 8 bits with a scale and a zero point for each group of consecutive entries. The forward
pass dequantizes, the backward pass makes a float32 gradient, and an optimizer's step dequantizes one layer, updates it
in float32 and rounds it again: stochastically, so that updates below the spacing of the codes count in the mean. Any
``torch.optim`` optimizer that updates each parameter from its own gradient alone (not L-BFGS or BAdam, which refuse)
can train such a model, in ordinary steps or under :func:`optimand.optim.layerwise`, because the updates hang on the
hooks that torch runs around every optimizer's step. This is for one process: DistributedDataParallel and FSDP refuse
the placeholders that stand for the weights.

Unlike in the authors' code, a group's range always contains 0 (theirs cannot represent a group whose entries all have
one sign and lie far from 0), and its ends are codes themselves, so nothing is clipped and stochastic rounding has no
bias.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ..projection.random import mix64
from ..roles import MATRIX_NAMES, parameter_roles
from .codec import dequantize_int8, quantize_int8
from .layer import QuantizedLinear

__all__ = ["QuantizedLinear", "dequantize_int8", "quantize_int8", "quantize_model_int8"]


def quantize_model_int8(
    model: nn.Module,
    group_size: int = 128,
    stochastic_round: bool = True,
    *,
    include: Iterable[str] = MATRIX_NAMES,
    exclude: Iterable[str] = (),
    seed: int = 0,
) -> nn.Module:
    """Replace the linear layers inside a network by :class:`QuantizedLinear`; build the optimizer afterwards.

    Args:
        model: the network, changed in place.
        group_size: entries that share a scale.
        stochastic_round: round stochastically after updates instead of to the nearest.
        include: parts of the names of modules that are quantized, as for
            :func:`optimand.optim.routing.param_groups_for`: embeddings and the output head stay as they are.
        exclude: parts of names that are never quantized; they win over ``include``.
        seed: of the rounding; each layer gets one of its own.

    Returns:
        The model.

    Raises:
        ValueError: no layer is quantized, or layers share a weight.

    Example:
        >>> model = quantize_model_int8(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> [type(layer).__name__ for layer in model]
        ['QuantizedLinear', 'ReLU', 'Linear']
    """
    roles = parameter_roles(model, include=include, exclude=exclude)
    chosen = {id(place.parameter) for place in roles if place.role == "matrices" and not place.transposed}
    # Subclasses may use their weight without calling the layer, which would not find it.
    found = [m for m in model.modules() if m is not model and type(m) is nn.Linear and id(m.weight) in chosen]
    if not found:
        raise ValueError("model must have a linear layer to quantize besides its output head, got none")
    if len({id(layer.weight) for layer in found}) < len(found):
        raise ValueError("layers must not share a weight: each would be rounded by itself")
    twins = {
        id(layer): QuantizedLinear.from_linear(layer, group_size, stochastic_round, mix64(seed, number))
        for number, layer in enumerate(found)
    }
    for parent in list(model.modules()):
        # Not named_children(), which leaves out a second name of the same layer.
        for name, child in list(parent._modules.items()):
            if id(child) in twins:
                setattr(parent, name, twins[id(child)])
    return model
