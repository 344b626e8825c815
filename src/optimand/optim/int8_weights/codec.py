"""Float tensors as 8-bit codes with a scale and a zero point for each group of consecutive entries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from optimand.core.validation import check_int

from ..kernels.rounding import noise_tensor
from ..projection.random import mix64
from ..stochastic import MASK

# Below this range a group counts as constant, as in the authors' code.
SMALLEST_RANGE = 1e-5
# A scale is kept while it is at most this much coarser than it need be; products of float32 may exceed its ends a bit.
COARSEST = 1.05
SLACK = 1.0 + 1e-6
# Codes rounded at a time, so that their random numbers take little memory.
PIECE = 1 << 18


def quantize_int8(
    weight: Tensor, group_size: int = 128, *, key: int | None = None, previous: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scales and zero points of a tensor: ``weight`` is about ``(codes - zero) * scale``, group by group.

    Args:
        weight: any floating-point tensor; its groups are ``group_size`` entries in row-major order, the last shorter.
        group_size: at least 1.
        key: round stochastically with noise from this integer; None rounds to the nearest.
        previous: scales and zero points that the tensor had, to be kept where they serve: what has not changed comes
            back as it was, instead of being moved to another grid each time.

    Returns:
        Codes (uint8, of the shape of ``weight``), scales (float32) and zero points (uint8), one for each group.

    Reference:
        Zhu et al., APOLLO, arXiv 2412.05270, section 5.3, after Q-GaLore, arXiv 2407.08296.

    Example:
        >>> codes, scale, zero = quantize_int8(torch.tensor([-1.0, 0.0, 0.5, 1.5]))
        >>> codes.tolist(), zero.tolist()
        ([0, 102, 153, 255], [102])
        >>> dequantize_int8(codes, scale, zero)
        tensor([-1.0000,  0.0000,  0.5000,  1.5000])
    """
    check_int("group_size", group_size, low=1)
    flat = weight.detach().reshape(-1).float()
    padding = -flat.numel() % group_size
    # Zeros do not change a range that contains 0.
    groups = functional.pad(flat, (0, padding)).view(-1, group_size)
    low, high = groups.amin(1).clamp(max=0.0), groups.amax(1).clamp(min=0.0)
    span = (high - low).clamp(min=SMALLEST_RANGE)
    exact_zero = -low / span * 255.0
    zero = torch.round(exact_zero)
    # Away from the nearer end: the other one has the codes to make room with little loss.
    outward = torch.where(exact_zero < 127.5, torch.ceil(exact_zero), torch.floor(exact_zero))
    zero = torch.where((exact_zero - zero).abs() < 1e-4, zero, outward)
    scale = torch.maximum(-low / zero.clamp(min=1.0), high / (255.0 - zero).clamp(min=1.0))
    scale = scale.clamp(min=SMALLEST_RANGE / 255.0)
    if previous is not None:
        old, old_zero = previous[0], previous[1].float()
        reach = old * SLACK
        serves = (-low <= old_zero * reach) & (high <= (255.0 - old_zero) * reach) & (old <= COARSEST * scale)
        scale, zero = torch.where(serves, old, scale), torch.where(serves, old_zero, zero)
    codes = torch.empty(groups.shape, dtype=torch.uint8, device=weight.device)
    rows = max(1, PIECE // group_size)
    for number, begin in enumerate(range(0, len(groups), rows)):
        part = slice(begin, begin + rows)
        exact = groups[part] / scale[part, None] + zero[part, None]
        if key is None:
            rounded = torch.round(exact)
        else:
            noise = noise_tensor(mix64(key, number) & MASK, exact.shape, exact.device)
            rounded = torch.floor(exact + (noise >> 8).float() * 2.0**-24)
        codes[part] = rounded.clamp(0.0, 255.0).to(torch.uint8)
    return codes.view(-1)[: flat.numel()].view(weight.shape), scale, zero.to(torch.uint8)


def dequantize_int8(codes: Tensor, scale: Tensor, zero: Tensor, group_size: int = 128) -> Tensor:
    """The float32 tensor that codes, scales and zero points of :func:`quantize_int8` stand for.

    Args:
        codes: uint8, of any shape.
        scale: float32, one for each group.
        zero: uint8, one for each group.
        group_size: as in :func:`quantize_int8`.
    """
    flat = codes.reshape(-1)
    whole = flat.numel() // group_size * group_size
    weight = torch.empty(flat.numel(), dtype=torch.float32, device=codes.device)
    groups = weight[:whole].view(-1, group_size).copy_(flat[:whole].view(-1, group_size))
    count = len(groups)
    groups.sub_(zero[:count, None]).mul_(scale[:count, None])
    if whole < flat.numel():
        weight[whole:] = (flat[whole:].float() - zero[-1]) * scale[-1]
    return weight.view(codes.shape)
