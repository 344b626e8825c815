"""A method's optimizer on a network: over its parameters as they come, or in groups by what they are for.

A method says in its options what it wants::

    @method("apollo", family="training", options={"routing": "apollo"})

``routing`` is a name that :func:`optimand.optim.routing.param_groups_for` knows (the groups of that method), or
``"named"`` (pairs of name and parameter). Hyperparameters that are options of the matrices' group, such as ``rank``,
go there instead of to the constructor. Without ``routing`` the constructor takes the bare list of parameters.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from optimand.optim.routing import param_groups_for, route_of

from ..core.contracts import Method

NAMED = "named"


def build_optimizer(method: Method, model: nn.Module, hyper: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The method's optimizer for a network's parameters.

    Args:
        method: its ``options["routing"]`` says how the parameters are grouped.
        model: the network.
        hyper: every hyperparameter with its value.

    Raises:
        ValueError: ``routing`` is no known name, or a value is out of range.

    Example:
        >>> def sgd(params, lr=0.1):
        ...     return torch.optim.SGD(params, lr)
        >>> routed = Method("mine", "training", sgd, {"lr": 0.1, "rank": 2}, {}, options={"routing": "galore"})
        >>> optimizer = build_optimizer(routed, nn.ModuleDict({"mlp": nn.Linear(4, 4)}), routed.defaults)
        >>> [(group["name"], group.get("rank")) for group in optimizer.param_groups]
        [('matrices', 2), ('biases', None)]
    """
    groups, rest = grouped(method, model, hyper)
    optimizer: torch.optim.Optimizer = method.build(groups, **rest)
    return optimizer


def grouped(method: Method, model: nn.Module, hyper: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The first argument of ``method.build`` for a network, and the hyperparameters that remain for the others."""
    routing = method.options.get("routing")
    if routing is None:
        return list(model.parameters()), dict(hyper)
    if routing == NAMED:
        return list(model.named_parameters()), dict(hyper)
    keys = group_keys(method)
    options = {name: value for name, value in {**fixed(method), **hyper}.items() if name in keys}
    with warnings.catch_warnings():
        # once a network is chosen, nobody can do anything about its having few matrices
        warnings.filterwarnings("ignore", message="the model has (no matrix|more weights in other)")
        groups = param_groups_for(model, routing, **options)
    for group in groups:
        # In a comparison all methods decay the same parameters; those without routing decay all of them.
        group.pop("weight_decay", None)
    return groups, {name: value for name, value in hyper.items() if name not in keys}


def group_keys(method: Method) -> tuple[str, ...]:
    """Names of the hyperparameters that belong into the matrices' group."""
    routing = method.options.get("routing")
    return () if routing in (None, NAMED) else route_of(routing).keys


def fixed(method: Method) -> dict[str, Any]:
    """Hyperparameters that the method sets for good."""
    return dict(method.build.keywords) if isinstance(method.build, functools.partial) else {}
