"""A ``torch.optim.Optimizer`` that a process can start to use at once.

torch marks some methods of its base class as not to be traced by ``torch.compile``, and those markers import the
compiler when first called, which takes longer than the rest of a process's first step together. Outside of a trace
the markers do nothing else, so here the methods under them are called directly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, _use_grad_for_differentiable


def unmarked(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method under torch's marker, or the marked one where it is needed: inside a trace."""
    if torch.compiler.is_compiling():
        return method
    plain: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return plain


class QuickStartOptimizer(Optimizer):
    """The base class with direct calls in place of marked methods."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as every ``torch.optim`` optimizer."""
        unmarked(Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, as every ``torch.optim`` optimizer."""
        unmarked(Optimizer.zero_grad)(self, set_to_none)


def grad_only_if_differentiable(step: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate ``step`` to run without gradients unless the optimizer is differentiable."""
    traced = _use_grad_for_differentiable(step)

    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return traced(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return wrapper
