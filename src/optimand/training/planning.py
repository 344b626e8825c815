"""The memory that methods need on a model, before anything is trained: what ``optimand memory`` asks of this family."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from optimand.optim.planner import MemoryPlan, plan_memory
from optimand.optim.state_rules import RULES

from ..core import catalog
from ..core.contracts import Method
from ..core.userfiles import object_in_file, short_spec, split_spec
from ..core.validation import OptimandError, UnknownNameError, check_choice, check_int, check_number, suggest
from .building import fixed, group_keys, grouped
from .llama import LLAMA, Llama
from .problem import TrainingProblem

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PREFIX = "llama-"
# What is planned where no methods are named, as far as it is registered.
STANDARD = (
    "adamw", "lion", "adamw-8bit", "lion-8bit", "adamw-4bit", "galore", "fira", "badam", "frugal", "apollo",
    "apollo-mini",
)  # fmt: skip


def memory(
    model: str,
    methods: Sequence[str] = (),
    *,
    dtype: str = "fp32",
    rank: int | None = None,
    density: float | None = None,
    layerwise: bool = False,
    int8_weights: bool = False,
) -> dict[str, Any]:
    """Predict the memory of weights, gradients and optimizer state for each method on a model.

    Args:
        model: ``llama-60m`` … ``llama-13b``, a training problem such as ``llama-lm:size=3m``, or ``file.py:NAME`` or
            ``package.module:NAME`` for a module, a function that makes one, or a problem.
        methods: as typed, such as ``apollo`` or ``apollo:rank=64``; those that save memory where there are none.
        dtype: ``fp32``, ``bf16`` or ``fp16``, of weights and gradients.
        rank: of the methods that have one.
        density: of the methods that have one.
        layerwise: updates in the backward pass, one gradient at a time.
        int8_weights: linear layers inside the network with 8-bit weights.

    Returns:
        ``model`` with ``name``, ``parameters``, ``dtype``; ``plans`` with ``method``, ``weights``, ``gradients``,
        ``state``, ``total`` (bytes), ``rule`` and ``components``.

    Raises:
        OptimandError: a model or method that there is not, or that does not fit.

    Example:
        >>> found = memory("llama-60m", ["adamw", "sgd:momentum=0"])
        >>> found["model"]["parameters"], [(plan["method"], plan["state"]) for plan in found["plans"]]
        (58073600, [('adamw', 464589100), ('sgd:momentum=0', 0)])
    """
    try:
        kind = DTYPES[check_choice("dtype", dtype, DTYPES)]
        given: dict[str, Any] = {}
        if rank is not None:
            given["rank"] = check_int("rank", rank, low=1)
        if density is not None:
            given["density"] = check_number("density", density, low=0, high=1)
    except (TypeError, ValueError) as error:
        raise OptimandError(str(error)) from error
    network = model_of(model, kind)
    standard = [name for name in STANDARD if name in catalog.methods("training")]
    entries = [(text, *catalog.get_method(text, family="training")) for text in methods or standard]
    for name in given:
        if methods and not any(name in method.defaults for _, method, _ in entries):
            raise OptimandError(f"none of the methods has a {name}: {', '.join(methods)}")
    plans = []
    for text, method, own in entries:
        fitting = {name: value for name, value in given.items() if name in method.defaults}
        plan = plan_method(method, network, {**fitting, **own}, layerwise=layerwise, int8_weights=int8_weights)
        plans.append({**_plain(plan), "method": short_spec(text)})
    facts = {
        "name": short_spec(model) if ".py" in model else model,
        "parameters": sum(p.numel() for p in network.parameters()),
        "dtype": dtype,
        "layerwise": layerwise,
        "int8_weights": int8_weights,
    }
    return {"model": facts, "plans": plans}


def plan_method(method: Method, model: nn.Module, overrides: Mapping[str, Any], **options: Any) -> MemoryPlan:
    """The memory plan of a method with some of its hyperparameters on a network.

    Args:
        method: the formula of its state is that of ``options["memory"]``, or of its name, or of its routing.
        model: the network, in its dtype.
        overrides: hyperparameters that differ from the method's defaults.
        options: ``layerwise`` and ``int8_weights``, as for :func:`optimand.optim.planner.plan_memory`.

    Raises:
        OptimandError: the method does not fit.
    """
    names = (method.options.get("memory"), method.name, method.options.get("routing"))
    # a user's method may bear the name of one of ours
    ours = method.origin.startswith(("optimand.", "torch."))
    rule = next((str(name) for name in names if ours and name in RULES), None)
    try:
        groups, rest = grouped(method, model, method.hyper(overrides))
        if rule is None:
            return plan_memory(model, method.name, groups=groups, hyper=rest, build=method.build, **options)
        _check(method, model, groups, rest)
        rest = {**{k: v for k, v in fixed(method).items() if k not in group_keys(method)}, **rest}
        return plan_memory(model, rule, groups=groups, hyper=rest, **options)
    except (TypeError, ValueError) as error:
        raise OptimandError(f"method {method.name!r}: {error}") from error


def _check(method: Method, model: nn.Module, groups: Sequence[Any], hyper: Mapping[str, Any]) -> None:
    """Raise what the constructor does for a bad hyperparameter; states are not there before the first step."""
    trainable = [p.requires_grad for p in model.parameters()]
    copies = [dict(group) if isinstance(group, Mapping) else group for group in groups]
    # torch's fused optimizers refuse the meta device
    method.build(copies, **{name: value for name, value in hyper.items() if name != "fused"})
    for p, before in zip(model.parameters(), trainable, strict=True):
        p.requires_grad_(before)  # BAdam freezes what is not its turn


def model_of(text: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The network that ``text`` names, on the meta device where it can be made there.

    Args:
        text: as for :func:`memory`.
        dtype: what its floating-point parameters are converted to.

    Raises:
        OptimandError: there is no such model.
    """
    made = _made(_source(text), text)
    if not isinstance(made, nn.Module):
        raise OptimandError(f"model {text!r} is a {type(made).__name__}, expected a torch.nn.Module")
    # Not to the meta device: that would part shared weights, and take marks such as ``optim_bits`` off parameters.
    return made.to(dtype)


def _source(text: str) -> Any:
    """What was named: a module, something that makes one, or a problem."""
    head, _, tail = text.partition(":")
    if head.startswith(PREFIX) and head.removeprefix(PREFIX) in LLAMA:
        if tail:
            raise OptimandError(f"model {head!r} takes no parameters, got {tail!r}")
        config = LLAMA[head.removeprefix(PREFIX)]
        return lambda: Llama(config)
    if ".py:" in text or text.endswith(".py"):
        file, attr, params = split_spec(text)
        found = object_in_file(file, str(attr))
        return (lambda: found(**params)) if params else found
    problems = catalog.problems("training")
    if head and tail and "=" not in tail and head not in problems:
        try:
            return getattr(importlib.import_module(head), tail)
        except Exception as error:  # a user's module may raise anything
            raise OptimandError(f"model {text!r} could not be imported: {type(error).__name__}: {error}") from error
    if head not in problems:
        known = [*(PREFIX + size for size in LLAMA), *problems]
        raise UnknownNameError(
            f"unknown model {text!r}{suggest(head, known)}; known: {', '.join(known)}, file.py:NAME and "
            "package.module:NAME"
        )
    return catalog.get_problem(text)


def _made(source: Any, text: str) -> Any:
    if isinstance(source, TrainingProblem):
        source = source.model
    if isinstance(source, nn.Module) or not callable(source):
        return source
    try:
        with torch.device("meta"):
            return _unwrapped(source)
    except Exception:  # what a model computes from numbers while it is made fails where there are none
        try:
            return _unwrapped(source)
        except Exception as error:  # whatever a user's function raises
            raise OptimandError(f"model {text!r} could not be made: {type(error).__name__}: {error}") from error


def _unwrapped(make: Callable[[], Any]) -> Any:
    made = make()
    return made.model() if isinstance(made, TrainingProblem) else made


def _plain(plan: MemoryPlan) -> dict[str, Any]:
    totals = {name: getattr(plan, name) for name in ("weights", "gradients", "state", "total", "rule")}
    return {**totals, "components": [asdict(c) for c in plan.components]}
