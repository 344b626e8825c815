"""Memory of a training run before it runs: weights, gradients and optimizer state, from shapes alone.

Nothing is allocated, so a network on torch's meta device is enough. Numbers are bytes, exact for our optimizers and
torch's, step counts included. Activations are no part of them: they depend on batch, context and recomputation, and
are the same for all methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from optimand.core.validation import suggest

from .memory import tensor_bytes, tensors_in
from .roles import ROLES, parameter_roles
from .routing import param_groups_for
from .state_rules import RULES

GROUP_SIZE = 128  # entries of an 8-bit weight that share a scale (float32) and a zero point (uint8)
LAYER_BYTES = 20  # of an 8-bit layer: two integers for rounding, and one number that stands for the weight
MOST_ENTRIES = 1 << 28  # of real tensors that a trial step may take
FROZEN, BUFFERS = "frozen", "buffers"


@dataclass(frozen=True)
class Component:
    """A part of a network.

    Attributes:
        name: a role such as ``matrices``, or ``frozen`` (parameters that are not trained) or ``buffers``.
        tensors: number of tensors.
        parameters: number of entries.
        weights, gradients, state: bytes.
    """

    name: str
    tensors: int
    parameters: int
    weights: int
    gradients: int
    state: int


@dataclass(frozen=True)
class MemoryPlan:
    """What a method needs on a network.

    Attributes:
        method: its name.
        components: the parts of the network.
        gradients: bytes of gradients that are there at a time: all, or with layer-wise updates the largest.
        rule: ``formula``, or ``trial step`` where the method has none here and took a step on tensors of these shapes.
    """

    method: str
    components: tuple[Component, ...]
    gradients: int
    rule: str

    @property
    def parameters(self) -> int:
        """Number of parameters, frozen ones included."""
        return sum(c.parameters for c in self.components if c.name != BUFFERS)

    @property
    def weights(self) -> int:
        """Bytes of weights and buffers."""
        return sum(c.weights for c in self.components)

    @property
    def state(self) -> int:
        """Bytes of optimizer state."""
        return sum(c.state for c in self.components)

    @property
    def total(self) -> int:
        """Bytes of weights, gradients and state."""
        return self.weights + self.gradients + self.state


def plan_memory(
    model: nn.Module,
    method: str,
    *,
    groups: Sequence[Any] | None = None,
    hyper: Mapping[str, Any] | None = None,
    build: Callable[..., Optimizer] | None = None,
    layerwise: bool = False,
    int8_weights: bool = False,
    **options: Any,
) -> MemoryPlan:
    """Predict the memory that training a network with a method takes.

    Args:
        model: the network, in the dtype that it is to be trained in; the meta device is enough.
        method: a name of :data:`optimand.optim.state_rules.RULES` such as ``apollo`` or ``adamw-8bit``; any name where
            there is ``build``.
        groups: parameters or groups of parameters; by default those of
            :func:`~optimand.optim.routing.param_groups_for` with ``options``.
        hyper: hyperparameters for all groups, such as ``state_dtype``.
        build: makes an optimizer that is to take a trial step instead of a formula, ``build(groups, **hyper)``.
        layerwise: updates in the backward pass, one gradient at a time.
        int8_weights: linear layers inside the network with 8-bit weights, as
            :func:`optimand.optim.int8_weights.quantize_model_int8` makes them; their gradients are float32.
        options: options of the matrices' group, such as ``rank``.

    Raises:
        ValueError: an unknown method, or one that takes no trial step.

    Reference:
        The states' sizes: Zhu et al., APOLLO, arXiv 2412.05270, table 1; Zmushko et al., FRUGAL, arXiv 2411.07837;
        Dettmers et al., arXiv 2110.02861.

    Example:
        >>> model = nn.Sequential(nn.Embedding(100, 64), nn.Linear(64, 64), nn.Linear(64, 100))
        >>> for method in ("adamw", "apollo-mini"):
        ...     plan = plan_memory(model, method)
        ...     print(method, plan.weights, plan.gradients, plan.state)
        adamw 68240 68240 136500
        apollo-mini 68240 68240 104244
    """
    if groups is None:
        groups = param_groups_for(model, method, **options)
    elif options:
        raise TypeError(f"groups are given, so there is no place for {', '.join(options)}")
    hyper = dict(hyper or {})
    weights = _int8_weights(model) if int8_weights else set()
    if build is not None:
        states = _by_trial(method, build, groups, hyper)
    elif method in RULES:
        states = _by_formula(method, groups, hyper, weights)
    else:
        raise ValueError(f"method must be one of {', '.join(RULES)}, got {method!r}{suggest(method, RULES)}")
    return _plan(model, method, states, weights, layerwise, "trial step" if build else "formula")


def _members(group: Any) -> list[Tensor]:
    params = group["params"] if isinstance(group, Mapping) else [group]
    params = [params] if isinstance(params, Tensor) else params
    return [p[1] if isinstance(p, tuple) else p for p in params]


def _as_groups(groups: Sequence[Any]) -> list[dict[str, Any]]:
    """Parameters, pairs or groups as groups whose ``params`` are tensors."""
    if all(isinstance(group, Mapping) for group in groups):
        return [{**group, "params": _members(group)} for group in groups]
    return [{"params": [p for group in groups for p in _members({"params": [group]})]}]


def _by_formula(method: str, groups: Sequence[Any], hyper: Mapping[str, Any], int8_weights: set[int]) -> dict[int, int]:
    listed = _as_groups(groups)

    def as_updated(p: Tensor) -> Tensor:
        # the optimizer sees 8-bit weights in float32
        return torch.empty(p.shape, dtype=torch.float32, device="meta") if id(p) in int8_weights else p

    seen = [{**hyper, **group, "params": list(map(as_updated, group["params"]))} for group in listed]
    return {
        id(p): count
        for group, counts in zip(listed, RULES[method](seen), strict=True)
        for p, count in zip(group["params"], counts, strict=True)
    }


def _by_trial(
    method: str, build: Callable[..., Optimizer], groups: Sequence[Any], hyper: Mapping[str, Any]
) -> dict[int, int]:
    """State after a step on the meta device, where nothing is computed, or else on one tensor of each shape."""
    errors = []
    for device in ("meta", "cpu"):
        try:
            return _trial(build, groups, hyper, device)
        except Exception as error:  # whatever a user's optimizer raises
            errors.append(f"{type(error).__name__}: {error}")
    raise ValueError(f"the state of {method!r} cannot be predicted, for it takes no trial step: {errors[-1]}")


def _trial(
    build: Callable[..., Optimizer], groups: Sequence[Any], hyper: Mapping[str, Any], device: str
) -> dict[int, int]:
    twins: dict[Any, nn.Parameter] = {}
    key_of: dict[int, Any] = {}

    def twin(number: int, p: Tensor) -> nn.Parameter:
        key = id(p) if device == "meta" else (number, p.shape, p.dtype)
        key_of[id(p)] = key
        if key not in twins:
            made = twins[key] = nn.Parameter(torch.zeros(p.shape, dtype=p.dtype, device=device))
            made.grad = torch.ones_like(made)
        return twins[key]

    moved = [
        {**group, "params": list(dict.fromkeys(twin(number, p) for p in group["params"]))}
        for number, group in enumerate(_as_groups(groups))
    ]
    if device != "meta" and (entries := sum(p.numel() for p in twins.values())) > MOST_ENTRIES:
        raise ValueError(f"it takes none on the meta device, and one of each shape has {entries} entries")
    grouped = all(isinstance(group, Mapping) for group in groups)
    optimizer = build(moved if grouped else moved[0]["params"], **hyper)
    optimizer.step()
    bytes_of = {key: tensor_bytes(tensors_in(dict(optimizer.state.get(p, {})))) for key, p in twins.items()}
    return {number: bytes_of[key] for number, key in key_of.items()}


def _int8_weights(model: nn.Module) -> set[int]:
    chosen = {id(p.parameter) for p in parameter_roles(model) if p.role == "matrices"}
    return {id(m.weight) for m in model.modules() if type(m) is nn.Linear and id(m.weight) in chosen}


def _plan(
    model: nn.Module, method: str, states: Mapping[int, int], int8_weights: set[int], layerwise: bool, rule: str
) -> MemoryPlan:
    parts: dict[str, list[tuple[int, int, int, int]]] = {}
    for place in parameter_roles(model):
        p, count = place.parameter, place.parameter.numel()
        weights = gradients = count * p.element_size()
        if id(p) in int8_weights:
            weights, gradients = count + 5 * -(-count // GROUP_SIZE) + LAYER_BYTES, 4 * count
        parts.setdefault(place.role, []).append((count, weights, gradients, states.get(id(p), 0)))
    frozen = [(p.numel(), p.numel() * p.element_size(), 0, 0) for p in model.parameters() if not p.requires_grad]
    buffers = [(b.numel(), b.numel() * b.element_size(), 0, 0) for b in model.buffers()]
    parts |= {name: found for name, found in ((FROZEN, frozen), (BUFFERS, buffers)) if found}
    together = max if layerwise else sum
    components = []
    for name in (*ROLES, FROZEN, BUFFERS):
        if name in parts:
            counts, weights_of, gradients_of, states_of = zip(*parts[name], strict=True)
            components.append(
                Component(
                    name, len(counts), sum(counts), sum(weights_of), together(gradients_of), sum(states_of)
                )
            )  # fmt: skip
    return MemoryPlan(method, tuple(components), together(c.gradients for c in components), rule)
