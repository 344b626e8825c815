"""The random numbers of stochastic rounding.

A key in the parameter group, saved with it, advances with every step; a hash of key, parameter and element gives the
noise. So resuming repeats it, replicas in data-parallel training agree, and torch's generator is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .kernels.rounding import noise_tensor, round_stochastic_tensor

HALF = (torch.bfloat16, torch.float16)
MASK = 0xFFFFFFFF


def keys_of(group: dict[str, Any], params: Sequence[Tensor]) -> list[int] | None:
    """A 32-bit key for each of some parameters of a group, new in every step; None without stochastic rounding.

    The place in the group tells parameters apart, so that each has the same noise whichever others have a gradient.
    """
    if not group["stochastic_rounding"]:
        return None
    at = {id(p): i for i, p in enumerate(group["params"])}
    places = (at.get(id(p), i) for i, p in enumerate(params))
    return [((group["rounding_key"] >> 32) + i * 0x85EBCA6B) & MASK for i in places]


def advance_key(group: dict[str, Any]) -> None:
    """Move the group's key on by a step."""
    if group["stochastic_rounding"]:
        group["rounding_key"] = (group["rounding_key"] * 6364136223846793005 + 1442695040888963407) % 2**64


def rounding_of(param: Tensor, key: int | None) -> Callable[[Tensor], Tensor]:
    """Stochastic rounding to ``param``'s dtype; with torch's own random numbers where there is no key."""
    if key is None:
        noise = torch.randint(0, 2**32, param.shape, dtype=torch.int64, device=param.device)
    else:
        noise = noise_tensor(key, param.shape, param.device)
    return lambda value: round_stochastic_tensor(value, param.dtype, noise)
