"""Levels from functions of tensors, differentiated by torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .oracle import Level

Array = Any


def to_numpy(value: Any) -> Any:
    """A tensor as a NumPy array in float64; anything else as it is."""
    return value.detach().cpu().to(torch.float64).numpy() if isinstance(value, torch.Tensor) else value


def torch_level(fun: Any, name: str) -> Level:
    """A :class:`Level` of a function of float64 tensors ``fun(x, y)`` (and samples) that returns a scalar tensor.

    Args:
        fun: the function; what it does not depend on has a zero gradient.
        name: the argument's name, for errors.

    Raises:
        TypeError: ``fun`` is no function, or when called does not return a scalar tensor.

    Example:
        >>> level = torch_level(lambda x, y: (x * y).sum(), "f")
        >>> level.grad_x(np.ones(2), np.array([3.0, 4.0])).tolist()
        [3.0, 4.0]
    """
    if isinstance(fun, Level):
        return fun
    if not callable(fun):
        raise TypeError(f"{name} must be a function of tensors, got {fun!r:.60} ({type(fun).__name__})")

    def value(x: Array, y: Array, samples: tuple[Any, ...], track: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        points = [torch.tensor(np.asarray(a), dtype=torch.float64) for a in (x, y)]
        if track is not None:
            points[track].requires_grad_()
        found = fun(*points, *samples)
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            kind = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise TypeError(f"{name} must return a scalar tensor, got {kind}")
        return found, points[track or 0]

    def gradient(track: int) -> Callable[..., Array]:
        def asked(x: Array, y: Array, *samples: Any) -> Array:
            with torch.enable_grad():
                found, point = value(x, y, samples, track)
                if not found.requires_grad:
                    return np.zeros(point.shape)
                (slope,) = torch.autograd.grad(found.reshape(()), point, allow_unused=True)
            return np.zeros(point.shape) if slope is None else slope.numpy()

        return asked

    def plain(x: Array, y: Array, *samples: Any) -> float:
        with torch.no_grad():
            return float(value(x, y, samples, None)[0])

    return Level(plain, gradient(0), gradient(1))
