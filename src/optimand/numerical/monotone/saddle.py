"""A torch loss ``loss(x, y, index)`` as the finite-sum operator of its saddle points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimand.core.validation import check_int

if TYPE_CHECKING:
    from .operators import FiniteSumOperator

Tensors = Tensor | Sequence[Tensor]
Array = NDArray[np.float64]


def pack(x: Tensors, y: Tensors) -> Array:
    """The entries of ``x``, then of ``y``, as one vector of float64.

    Example:
        >>> pack(torch.ones(2), [torch.zeros(1, 2), torch.ones(1)]).tolist()
        [1.0, 1.0, 0.0, 0.0, 1.0]
    """
    parts = [t.detach().cpu().reshape(-1).to(torch.float64) for t in (*_listed("x", x), *_listed("y", y))]
    return np.asarray(torch.cat(parts).numpy())


def unpack(u: Array, x: Tensors, y: Tensors) -> tuple[Any, Any]:
    """The vector ``u`` in the shapes, dtypes and devices of ``x`` and ``y``; the inverse of :func:`pack`.

    Example:
        >>> unpack(np.arange(3.0), torch.zeros(2), torch.zeros(1))
        (tensor([0., 1.]), tensor([2.]))
    """
    xs, ys = _listed("x", x), _listed("y", y)
    size = sum(t.numel() for t in (*xs, *ys))
    flat = torch.from_numpy(np.array(u, dtype=np.float64))
    if flat.shape != (size,):
        raise ValueError(f"u must have shape ({size},), got {tuple(flat.shape)}")
    parts = flat.split([t.numel() for t in (*xs, *ys)])
    found = [p.reshape(t.shape).to(t) for p, t in zip(parts, (*xs, *ys), strict=True)]
    first, second = found[: len(xs)], found[len(xs) :]
    return (first[0] if isinstance(x, Tensor) else first), (second[0] if isinstance(y, Tensor) else second)


def from_saddle(
    loss: Callable[[Any, Any, Tensor], Tensor], x: Tensors, y: Tensors, n: int, **options: Any
) -> FiniteSumOperator:
    """The operator ``(∂loss/∂x, -∂loss/∂y)`` of ``min_x max_y (1/n) Σ_i loss_i(x, y)``, for :func:`solve_inclusion`.

    Args:
        loss: ``loss(x, y, index)``, the mean of the summands whose numbers stand in the tensor ``index``; convex in
            x and concave in y.
        x: tensor or tensors that minimize; they give shapes, dtypes and devices (float64 keeps all digits).
        y: tensor or tensors that maximize.
        n: number of summands.
        options: of :class:`FiniteSumOperator`, such as ``L``.

    Returns:
        An operator on vectors as :func:`pack` makes them; ``unpack(u, x, y)`` gives tensors again.

    Raises:
        TypeError: ``loss`` is no function or does not return a scalar tensor, or a tensor is not of real numbers.
        ValueError: ``n`` is below 1.

    Example:
        >>> a = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> zero = torch.zeros(1, dtype=torch.float64)
        >>> op = from_saddle(lambda x, y, index: (a[index].mean() * x * y).sum(), zero, zero, n=2)
        >>> op.full(np.array([1.0, 2.0])).tolist()
        [4.0, -2.0]
    """
    from .operators import FiniteSumOperator

    if not callable(loss):
        raise TypeError(f"loss must be a function of x, y and an index, got {loss!r:.80}")
    check_int("n", n, low=1)
    for t in (*_listed("x", x), *_listed("y", y)):
        if not t.is_floating_point():
            raise TypeError(f"x and y must be tensors of floating point numbers, got one of {t.dtype}")
    everything = torch.arange(n)

    def field(u: Array, index: Tensor) -> Array:
        # Whatever mode the caller is in: without a graph all gradients would be taken for zero.
        with torch.inference_mode(False), torch.enable_grad():
            xs, ys = unpack(u, x, y)
            ascending, descending = _listed("y", ys), _listed("x", xs)
            leaves = [t.requires_grad_() for t in (*descending, *ascending)]
            value = loss(xs, ys, index)
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise TypeError(f"loss must return a scalar tensor, got {value!r:.80}")
            # a loss that does not depend on some part, or on none, has a zero there
            grads = (
                torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else [None] * len(leaves)
            )
        filled = [torch.zeros_like(t) if g is None else g for g, t in zip(grads, leaves, strict=True)]
        split = len(descending)
        return pack(filled[:split], [-g for g in filled[split:]])

    def full(u: Array) -> Array:
        return field(u, everything)

    def batch(u: Array, index: Any) -> Array:
        return field(u, torch.as_tensor(np.asarray(index, dtype=np.int64)))

    size = sum(math.prod(t.shape) for t in (*_listed("x", x), *_listed("y", y)))
    return FiniteSumOperator(n, full, batch, dim=size, **options)


def _listed(name: str, value: Tensors) -> list[Tensor]:
    listed = [value] if isinstance(value, Tensor) else list(value) if isinstance(value, Sequence) else []
    if not listed or not all(isinstance(t, Tensor) for t in listed):
        raise TypeError(f"{name} must be a tensor or tensors, got {value!r:.80}")
    return listed
