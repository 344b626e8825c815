"""What every optimizer must do, whatever its update rule: what the checks have in common.

Each check is a function of a :class:`Subject` and fails by assertion; they stand in ``conformance_interface.py`` and
``conformance_numerics.py``. ``test_conformance.py`` runs all of them over all training methods of the catalog; an
optimizer registered there is judged without another line.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CHECKS: dict[str, Callable[[Subject], None]] = {}
# Updates of these are computed to different digits on different paths; the tolerance is relative to the step.
PATHS = ({"fused": True, "foreach": False}, {"fused": False, "foreach": True}, {"fused": False, "foreach": False})


class Subject:
    """A method under test.

    Args:
        method: entry of the catalog.
    """

    def __init__(self, method: Any) -> None:
        self.method = method
        self.name = method.name
        parameters = inspect.signature(method.build).parameters.values()
        self.open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.known = {p.name for p in parameters}
        # torch's own optimizers are controls, by their plain code: their fused CPU kernels take no notice of memory
        # layouts and version counters. Where they are laxer than ours, the check says so.
        self.ours = not method.origin.startswith("torch.")
        self.defaults = method.defaults if self.ours else {**method.defaults, "fused": False}
        if self.defaults.get("lr", 0) is None:  # a step size of its own: what all share is checked with a given one
            self.defaults = {**self.defaults, "lr": 0.01}

    def __call__(self, params: Any, **hyper: Any) -> torch.optim.Optimizer:
        return self.method.build(params, **{**self.defaults, **hyper})

    def supports(self, *names: str) -> bool:
        return all(self.open or name in self.known for name in names)

    @property
    def lrs(self) -> list[float]:
        """Learning rates across the middle of the range that the method may be tuned over."""
        space = self.method.space.get("lr")
        if space is None:
            return [0.003, 0.01, 0.03]
        low, high = math.log(space.low), math.log(space.high)
        return [math.exp(low + (high - low) * share) for share in (0.3, 0.5, 0.7)]


def check(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
    CHECKS[function.__name__] = function
    return function


def make_params(dtype: torch.dtype = torch.float32, seed: int = 0) -> list[nn.Parameter]:
    """A matrix, a bias, a 4-d tensor and a vector that a kernel cuts unevenly."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(6, 5), (6,), (2, 3, 2, 2), (17,)]
    return [nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]


def set_grads(params: list[nn.Parameter], step: int, seed: int = 100) -> None:
    generator = torch.Generator().manual_seed(seed + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def run(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], begin: int, end: int) -> None:
    for step in range(begin, end):
        set_grads(params, step)
        optimizer.step()


def params_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def values(params: list[nn.Parameter]) -> list[torch.Tensor]:
    return [p.detach().clone() for p in params]


def assert_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)


def assert_moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> None:
    for x, y in zip(before, after, strict=True):
        assert not torch.equal(x, y)
        assert torch.isfinite(y).all()


def compare_states(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Equality of two state dicts, tensors by bits and dtype."""
    assert a["state"].keys() == b["state"].keys()
    for key, state in a["state"].items():
        compare_values(state, b["state"][key])
    assert repr(a["param_groups"]) == repr(b["param_groups"])


def compare_values(a: Any, b: Any) -> None:
    """Equality of two values of a state, dicts by their entries and tensors by bits and dtype."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name, value in a.items():
            compare_values(value, b[name])
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    else:
        assert a == b
