"""How much memory an optimizer's state takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim.optimizer import Optimizer

from .blockwise.tensor import QuantizedTensor


def tensors_in(value: Any) -> Iterable[Tensor]:
    """Tensors in nested dicts, lists, tuples and sets, and those that hold the codes of quantized ones.

    Example:
        >>> import torch
        >>> q = QuantizedTensor.zeros_like(torch.ones(300))
        >>> [t.numel() for t in tensors_in({"state": [q, torch.ones(3)]})]
        [300, 2, 3]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, QuantizedTensor):
        yield from value.tensors()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from tensors_in(item)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the memory behind ``tensors``; memory that several of them share counts once."""
    seen: dict[int, int] = {}

    def add(tensor: Tensor) -> None:
        if hasattr(tensor, "__tensor_flatten__"):  # a subclass that wraps plain tensors, e.g. quantized state
            for name in tensor.__tensor_flatten__()[0]:
                add(getattr(tensor, name))
        elif hasattr(tensor, "to_local"):  # a DTensor: what this process holds of it
            add(tensor.to_local())
        else:
            storage = tensor.untyped_storage()
            seen[storage._cdata] = storage.nbytes()

    for tensor in tensors:
        add(tensor)
    return sum(seen.values())


def state_bytes(optimizer: Optimizer) -> int:
    """Memory that an optimizer's state takes, in bytes; memory that several states share counts once.

    Args:
        optimizer: any ``torch.optim`` optimizer; states are counted once they exist, after its first step.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.zeros(1000))
        >>> p.grad = torch.ones(1000)
        >>> optimizer = torch.optim.SGD([p], momentum=0.9)
        >>> optimizer.step()
        >>> state_bytes(optimizer)
        4000
    """
    return tensor_bytes(tensors_in(dict(optimizer.state)))
