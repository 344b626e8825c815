"""Optimizers for training networks: ``torch.optim`` optimizers, a file each, loaded when first asked for.

Example:
    >>> import torch
    >>> from optimand.optim import Lion
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import kappa
    from .base import ElementwiseOptimizer
    from .exadam import EXAdam
    from .lion import Lion
    from .lion_k import LionK
    from .lion_k.flow import lion_k_flow
    from .lion_k.minimize import minimize_lionk
    from .memory import state_bytes

__all__ = ["EXAdam", "ElementwiseOptimizer", "Lion", "LionK", "kappa", "lion_k_flow", "minimize_lionk", "state_bytes"]


def __getattr__(name: str) -> Any:
    homes = {
        "EXAdam": "exadam",
        "ElementwiseOptimizer": "base",
        "Lion": "lion",
        "LionK": "lion_k",
        "lion_k_flow": "lion_k.flow",
        "minimize_lionk": "lion_k.minimize",
        "state_bytes": "memory",
    }
    if name == "kappa":
        return importlib.import_module(f"{__name__}.kappa")
    if name in homes:
        return getattr(importlib.import_module(f"{__name__}.{homes[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
