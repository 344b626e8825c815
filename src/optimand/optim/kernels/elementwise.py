"""The functions that formulas may call, for tensors; the compiler replaces each by its scalar twin.

The scalar twins stand in :data:`SCALAR_SOURCE` as text, because only the compiler, which imports Numba, needs them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


def like(x: Any, value: float) -> Any:
    """The constant ``value`` in the precision of ``x``."""
    return torch.full((), value, dtype=x.dtype, device=x.device) if isinstance(x, Tensor) else value


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN, as ``torch.sign``."""
    return torch.sign(x)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """``a`` where ``condition`` holds, else ``b``; both are evaluated everywhere."""
    return torch.where(condition, a, b)


def sqrt(x: Any) -> Any:
    """Square root, correctly rounded."""
    if not isinstance(x, Tensor):
        return math.sqrt(x)
    if type(x) is Tensor and x.is_cpu and not x.requires_grad and is_eager():
        # torch's own goes through a vector library that is off by one unit in the last place now and then.
        root = torch.empty_like(x)
        with np.errstate(invalid="ignore"):
            np.sqrt(x.numpy(), out=root.numpy())
        return root
    return torch.sqrt(x)


def is_eager() -> bool:
    """Whether operations run as they are called, with no compiler, mode or transform in between."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.maybe_current_level() is not None
    )


def exp(x: Tensor) -> Tensor:
    """Exponential function."""
    return torch.exp(x)


def ratio(a: Any, b: Any, floor: Any) -> Any:
    """``a / b`` for ``b >= floor >= 0``, and 0 where ``b`` is 0; with a positive ``floor`` a plain division."""
    if isinstance(floor, float) and floor > 0.0:
        return a / b
    s = sign(b)  # cheaper than a mask
    return a * s / (b + (like(b, 1) - s))


def log(x: Tensor) -> Tensor:
    """Natural logarithm."""
    return torch.log(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


def absolute(x: Tensor) -> Tensor:
    """Absolute value."""
    return torch.abs(x)


def maximum(a: Tensor, b: Any) -> Tensor:
    """The larger of the two, NaN if ``a`` is; ``b`` may be a number."""
    return torch.maximum(a, b) if isinstance(b, Tensor) else torch.clamp(a, min=b)


def minimum(a: Tensor, b: Any) -> Tensor:
    """The smaller of the two, NaN if ``a`` is; ``b`` may be a number."""
    return torch.minimum(a, b) if isinstance(b, Tensor) else torch.clamp(a, max=b)


def clamp(x: Tensor, low: Any, high: Any) -> Tensor:
    """``x`` held within ``[low, high]``."""
    return minimum(maximum(x, low), high)


SCALAR_SOURCE = """
def sign(x):
    return like(x, 1) if x > 0 else (like(x, -1) if x < 0 else like(x, 0))

def where(condition, a, b):
    return a if condition else b

def sqrt(x):
    return math.sqrt(x)

def ratio(a, b, floor):
    return a / b if b != 0 else a - a

def exp(x):
    return math.exp(x)

def log(x):
    return math.log(x)

def tanh(x):
    return math.tanh(x)

def absolute(x):
    return abs(x)

def maximum(a, b):
    return a if a >= b or a != a else b

def minimum(a, b):
    return a if a <= b or a != a else b

def clamp(x, low, high):
    return minimum(maximum(x, low), high)
"""
