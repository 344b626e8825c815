"""The family ``training``: its methods are ``torch.optim.Optimizer`` classes, or functions that return one."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from optimand.optim.memory import state_bytes

from ..core import adoption
from ..core.catalog import Family, Method, add_family
from ..core.space import Float
from ..core.validation import OptimandError
from .building import build_optimizer
from .planning import memory

PATHS = ("foreach", "fused")
_EXPECTED = "expected a torch.optim.Optimizer class, or a function of the parameters that returns an optimizer"


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's optimizer class or factory into a method.

    Args:
        name: what the method is to be called.
        obj: a subclass of ``torch.optim.Optimizer``, or ``factory(params, **hyper)``. Hyperparameters and
            defaults are read from its signature; ``lr`` is tuned from a thirtieth to thirty times its
            default, ``weight_decay`` likewise (from 1e-5 to 1e-1 where its default is 0).

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or cannot be built.

    Example:
        >>> method = adopt("rmsprop", torch.optim.RMSprop)
        >>> method.defaults["lr"], str(method.space["lr"])
        (0.01, '0.000333333 … 0.3 (log)')
    """
    if isinstance(obj, torch.optim.Optimizer):
        raise OptimandError(
            f"method {name!r} is a {type(obj).__name__} object that already holds parameters; {_EXPECTED}"
        )
    if isinstance(obj, type) and not issubclass(obj, torch.optim.Optimizer):
        raise OptimandError(f"method {name!r} is the class {obj.__qualname__}; {_EXPECTED}")

    def trial(method: Method) -> None:
        built = obj([nn.Parameter(torch.zeros(2, 2))], **method.defaults)
        if not isinstance(built, torch.optim.Optimizer):
            raise OptimandError(f"method {name!r} returns a {type(built).__name__}; {_EXPECTED}")

    method = adoption.adopt(
        name, obj, family="training", takes="parameters to optimize", expected=_EXPECTED, on="two parameters",
        trial=trial, tuned=("lr", "weight_decay"),
    )  # fmt: skip
    if "weight_decay" in method.defaults and "weight_decay" not in method.space:
        return replace(method, space={**method.space, "weight_decay": Float(1e-5, 1e-1, log=True)})
    return method


def describe(method: Method) -> dict[str, str]:
    """Facts about a method, measured by taking two steps on a 256x256 matrix with a bias.

    Returns:
        ``state bytes per parameter``, and for each of the paths ``foreach`` and ``fused`` whether it works
        here.

    Raises:
        Exception: whatever the method raises when it is built or takes a step, such as ValueError for a
            hyperparameter out of range.
    """
    model, optimizer = _two_steps(method, {})
    parameters = sum(p.numel() for p in model.parameters())
    facts = {"state bytes per parameter": f"{state_bytes(optimizer) / parameters:.2f}"}
    for path in PATHS:
        facts[f"{path} path"] = _works(method, path)
    return facts


def _works(method: Method, path: str) -> str:
    parameters = inspect.signature(method.build).parameters.values()
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    if path not in method.defaults and not takes_any:
        return "none"
    try:
        # the paths exclude each other
        _two_steps(method, {p: p == path for p in PATHS if p in method.defaults or takes_any})
    except Exception as error:  # the optimizer says in its own way why it has no such path here
        return f"not here: {error}"
    return "yes"


def _two_steps(method: Method, overrides: Mapping[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # named as a matrix inside a network, because methods may take matrices apart by their names
        model = nn.Sequential(OrderedDict(mlp=nn.Linear(256, 256)))
        optimizer: Any = build_optimizer(method, model, {**method.defaults, **overrides})
        if hasattr(optimizer, "eval") and hasattr(optimizer, "train"):
            optimizer.train()  # schedule-free optimizers step only in this mode of theirs
        x = torch.randn(8, 256)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        for _ in range(2):
            if method.options.get("closure"):
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
    return model, optimizer


add_family(
    Family(
        name="training",
        takes="a `torch.optim.Optimizer` class, or a function of the parameters that returns an optimizer",
        guide="optimizers.md",
        summary="train neural networks: torch optimizers on mini-batches of real data",
        adopt=adopt,
        describe=describe,
        methods=("adamw", "sgd", "lion", "lion-k-nuclear", "exadam"),
        memory=memory,
    )
)
