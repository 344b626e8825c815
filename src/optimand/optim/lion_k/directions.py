"""Lion-K steps whose direction depends on a whole tensor: by norms in compiled code, or by torch operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..base import Part
from ..kappa import L2, GroupL2, Kappa, get_kappa
from ..kernels.gather import arithmetic_dtype
from ..stochastic import HALF, keys_of, rounding_of
from .kernels import KERNELS, scalars
from .norms import launch_rows, tensor_norms


class FunctionKappa(Kappa):
    """A kappa of which only the map dK is known, given as a callable.

    Args:
        function: maps a tensor to a tensor of its shape.
    """

    name = "callable"

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    @property
    def label(self) -> str:
        """What a checkpoint knows of the function."""
        function = self.function
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"

    def _kwargs(self) -> dict[str, Any]:
        return {"function": self.label}

    def _grad(self, m: Tensor) -> Tensor:
        found = self.function(m)
        if found.shape != m.shape:
            raise ValueError(
                f"kappa {self.label!r} must keep the shape {tuple(m.shape)}, it returned {tuple(found.shape)}"
            )
        return found

    def _unknown(self, *args: Any) -> Any:
        raise NotImplementedError(
            f"kappa {self.label!r} is a bare callable: only its direction is known; give a Kappa for diagnostics"
        )

    _value = _conj = _conj_grad = _dist = _project = _unknown  # type: ignore[assignment]


def as_kappa(given: Any, kwargs: Mapping[str, Any] | None, here: Kappa | None = None) -> Kappa:
    """A Kappa from a name, a config, a Kappa or a callable; ``here`` is what a stored callable may stand for."""
    if isinstance(given, Mapping) and given.get("name") in ("callable", "unregistered"):
        if here is not None and config_of(here) == dict(given):
            return here
        raise ValueError(
            f"the checkpoint was made with the {given['name']} kappa {given.get('function')!r}, which is not stored in "
            "it: construct the optimizer with that kappa before loading (or register it with register_kappa)"
        )
    if callable(given) and not isinstance(given, Kappa | type):
        if kwargs:
            raise TypeError(f"kappa_kwargs must be empty for a callable kappa, got {sorted(kwargs)}")
        return FunctionKappa(given)
    return get_kappa(given, **(kwargs or {}))


def config_of(kappa: Kappa) -> dict[str, Any]:
    """The kappa in plain values; one that the registry cannot rebuild is named only."""
    config = kappa.config()
    if isinstance(kappa, FunctionKappa):
        return config
    try:
        known = get_kappa(config) == kappa and type(get_kappa(config)) is type(kappa)
    except (TypeError, ValueError):
        known = False
    return config if known else {"name": "unregistered", "function": f"{type(kappa).__module__}.{kappa!r}"}


def update_by_norms(group: dict[str, Any], kappa: L2 | GroupL2, part: Part, factors: list[float]) -> list[int]:
    """Compiled steps for l2 of tensors and of rows; returns the indices left undone."""
    params, grads, _, (exp_avgs,) = part
    group = {**group, "lr": float(group["lr"])}
    maximize, keys = group["maximize"], keys_of(group, params)
    everything = list(range(len(params)))
    if isinstance(kappa, GroupL2):
        if kappa.labels is not None or not all(
            p.is_contiguous() and (p.dim() < 2 or kappa.dim % p.dim() == 0) for p in params
        ):
            return everything
        table = [scalars(group, factor, 1.0) for factor in factors]
        return launch_rows(params, grads, exp_avgs, table, maximize=maximize, keys=keys)
    norms, rest = tensor_norms(exp_avgs, grads, group["betas"][0], maximize)
    if rest:
        return everything
    table = [scalars(group, factor, norm or 1.0) for factor, norm in zip(factors, norms, strict=True)]
    return KERNELS["quotient"].launch(params, grads, [exp_avgs], table, everything, maximize=maximize, keys=keys)


def update_by_tensors(
    group: dict[str, Any], kappa: Kappa, part: Part, factors: list[float], indices: Sequence[int]
) -> None:
    """Steps of any kappa by torch operations, on any device and under any tracer."""
    params, grads, _, (exp_avgs,) = part
    step, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, _ = scalars(group, 1.0, 1.0)
    averaged: list[Tensor] = []
    for i in indices:
        target = arithmetic_dtype([params[i], grads[i], exp_avgs[i]])
        grad, exp_avg = grads[i].to(target), exp_avgs[i].to(target)
        if torch.is_grad_enabled():  # the originals change below, and autograd may still need their values
            grad, exp_avg = grad.clone(), exp_avg.clone()
        grad = -grad if group["maximize"] else grad
        averaged.append(-(beta1 * exp_avg + one_minus_beta1 * grad))
        exp_avgs[i].copy_(beta2 * exp_avg + one_minus_beta2 * grad)
    keys = None if torch.compiler.is_compiling() else keys_of(group, params)
    for i, c in zip(indices, averaged, strict=True):
        param, direction = params[i], kappa.grad(c)
        old = param.to(direction.dtype)
        old = old.clone() if torch.is_grad_enabled() else old
        moved = old * decay + (step * factors[i]) * direction
        if group["stochastic_rounding"] and param.dtype in HALF:
            moved = rounding_of(param, None if keys is None else keys[i])(moved)
        param.copy_(moved)
