"""State buffers of a matrix: tensors in a floating-point dtype, or block-wise quantized to 8 bits.

A step reads a buffer with :func:`read`, changes what it got in place, and gives it back with :func:`write`; for a
tensor in the working precision both cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .sharding import Shard2d, local_of

EIGHT_BIT = ("8bit", torch.uint8)


def check_state_dtype(dtype: Any) -> None:
    """ValueError unless ``dtype`` is a floating-point torch dtype, or ``"8bit"`` (``torch.uint8`` says the same)."""
    if dtype not in EIGHT_BIT and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"state_dtype must be a floating-point torch.dtype or '8bit', got {dtype!r}")


def work_dtype(tensor: Tensor) -> torch.dtype:
    """The precision in which the states of a parameter of this dtype are computed: float32, or its own if float64."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def pack(shape: Iterable[int], like: Tensor, dtype: torch.dtype | str, *, unsigned: bool = False) -> Any:
    """A buffer of zeros.

    Args:
        shape: of the buffer.
        like: a tensor on the buffer's device; where it is float64, a float32 buffer is float64 too.
        dtype: floating-point, or ``"8bit"``.
        unsigned: whether an 8-bit buffer holds no negative numbers.
    """
    if not isinstance(dtype, torch.dtype) or dtype == torch.uint8:
        from ..blockwise.tensor import QuantizedTensor

        template = torch.empty(tuple(shape), device=like.device)
        return QuantizedTensor.zeros_like(template, map="dynamic_unsigned_sqrt" if unsigned else "dynamic")
    if dtype == torch.float32:
        dtype = work_dtype(like)
    return torch.zeros(tuple(shape), dtype=dtype, device=like.device)


def read(buffer: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """The buffer's numbers in ``dtype``: its own memory where it has that dtype, this process's part of a DTensor.

    Example:
        >>> buffer = torch.zeros(2)
        >>> read(buffer) is buffer
        True
    """
    tensor = local_of(buffer) if isinstance(buffer, Tensor) else buffer.dequantize()
    return tensor.to(dtype)


def write(buffer: Any, value: Tensor) -> None:
    """Store ``value``, which :func:`read` gave and a step has changed in place."""
    if not isinstance(buffer, Tensor):
        buffer.copy_(value)
        return
    local = local_of(buffer)
    if local.data_ptr() != value.data_ptr():
        local.copy_(value)


def unpack(value: Any, shard: Shard2d, kept: int | None) -> Any:
    """A state as tensors and plain values, for a state dict.

    Args:
        value: of the state.
        shard: of the parameter.
        kept: the dimension that a quantized state shares with the parameter, where that is sharded.
    """
    if not hasattr(value, "dequantize") or isinstance(value, Tensor):
        return value
    return value.state_dict() if shard.whole else shard.wrap(value.dequantize(), kept)


def to_device(value: Any, device: torch.device) -> Any:
    """A state from a state dict, on ``device``, in the dtypes it was saved in."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping) and "codes" in value:
        from ..blockwise.tensor import QuantizedTensor

        return QuantizedTensor.from_state_dict(dict(value)).to(device)
    return value
