"""Levels from functions of tensors, differentiated by torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .oracle import Level

Array = Any


def to_numpy(value: Any) -> Any:
    """A tensor as a NumPy array in float64; anything else as it is."""
    return value.detach().cpu().to(torch.float64).numpy() if isinstance(value, torch.Tensor) else value


def check_depends(name: str, fun: Any, x: Array, y: Array, samples: tuple[Any, ...], on: str) -> None:
    """ValueError where a function of tensors depends, by torch operations, on none of the variables in ``on``.

    Args:
        name: the argument's name, for the error.
        fun: the function; a :class:`Level` has gradients of its own and is not asked.
        x, y: where.
        samples: its further arguments.
        on: ``xy`` or ``y``.
    """
    if isinstance(fun, Level) or not callable(fun):
        return
    x_, y_ = (torch.tensor(np.asarray(a), dtype=torch.float64).requires_grad_() for a in (x, y))
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of float(tensor), of which the level's error says more
        found = fun(x_, y_, *samples)
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        return  # the level says what is wrong
    wrt = {"x": x_, "y": y_}
    slopes: Any = [None]
    if found.requires_grad:
        slopes = torch.autograd.grad(found.reshape(()), [wrt[key] for key in on], allow_unused=True)
    if all(slope is None for slope in slopes):
        raise ValueError(
            f"{name} must depend on {' or '.join(on)} by torch operations, got a detached value or a constant"
        )


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
