"""bfloat16 and float16 as bit patterns: reading, rounding to nearest even, and stochastic rounding.

The scalar functions work on NumPy scalars and are compiled into kernels as they stand; the two ``*_tensor``
functions do the same to torch tensors, bit for bit, where no kernel serves.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Golden-ratio increment and the finalizer constants of the "lowbias32" integer hash.
GOLDEN = 0x9E3779B9
MIX1 = 0x7FEB352D
MIX2 = 0x846CA68B


def bfloat16_to_float32(bits):  # type: ignore[no-untyped-def]
    """The float32 that the bfloat16 pattern ``bits`` (uint16) stands for."""
    return np.uint32(np.uint32(bits) << 16).view(np.float32)


def float32_to_bfloat16(x):  # type: ignore[no-untyped-def]
    """Bits (uint16) of the bfloat16 nearest to ``x``, ties to even."""
    b = np.float32(x).view(np.uint32)
    rounded = np.uint32(np.uint32(b + 0x7FFF + ((b >> 16) & 1)) >> 16)
    return np.uint16(rounded if x == x else np.uint32(0x7FC0))


def float32_to_bfloat16_stochastic(x, noise):  # type: ignore[no-untyped-def]
    """Bits of one of the two bfloat16 around ``x``, in expectation ``x``; ``noise`` is a uniform uint32."""
    b = np.float32(x).view(np.uint32)
    rounded = np.uint32(np.uint32(b + (noise & 0xFFFF)) >> 16)
    return np.uint16(rounded if x == x else np.uint32(0x7FC0))


def float16_to_float32(bits):  # type: ignore[no-untyped-def]
    """The float32 that the float16 pattern ``bits`` (uint16) stands for."""
    magnitude = np.uint32((np.uint32(bits) & 0x7FFF) << 13)
    exponent = np.uint32(magnitude & 0x0F800000)
    normal = np.uint32(magnitude + 0x38000000).view(np.float32)
    special = np.uint32(magnitude + 0x70000000).view(np.float32)
    # A subnormal's mantissa under the exponent of 2**-14, less 2**-14 itself.
    subnormal = np.uint32(magnitude + 0x38800000).view(np.float32) - np.uint32(0x38800000).view(np.float32)
    value = special if exponent == 0x0F800000 else (subnormal if exponent == 0 else normal)
    sign = np.uint32((np.uint32(bits) & 0x8000) << 16)
    return np.uint32(np.float32(value).view(np.uint32) | sign).view(np.float32)


def float32_to_float16(x):  # type: ignore[no-untyped-def]
    """Bits (uint16) of the float16 nearest to ``x``, ties to even."""
    b = np.float32(x).view(np.uint32)
    sign = np.uint32((b >> 16) & 0x8000)
    magnitude = np.uint32(b & 0x7FFFFFFF)
    # Adding 0.5 leaves the result's subnormal mantissa, rounded by the adder, in the low bits.
    shifted = np.float32(magnitude.view(np.float32) + np.uint32(0x3F000000).view(np.float32))
    subnormal = np.uint32(shifted.view(np.uint32) - 0x3F000000)
    normal = np.uint32(np.uint32(magnitude + 0xC8000FFF + ((magnitude >> 13) & 1)) >> 13)
    special = np.uint32(0x7E00 if magnitude > 0x7F800000 else 0x7C00)
    value = special if magnitude >= 0x47800000 else (subnormal if magnitude < 0x38800000 else normal)
    return np.uint16(value | sign)


def float32_to_float16_stochastic(x, noise):  # type: ignore[no-untyped-def]
    """Bits of one of the two float16 around ``x``, in expectation ``x``; ``noise`` is a uniform uint32."""
    b = np.float32(x).view(np.uint32)
    sign = np.uint32((b >> 16) & 0x8000)
    magnitude = np.uint32(b & 0x7FFFFFFF)
    # Below 2**-14 the spacing is 2**-24 throughout: round the count of spacings.
    count = np.float32(magnitude.view(np.float32) * np.float32(16777216.0))
    uniform = np.float32(np.float32(noise >> 8) * np.float32(5.9604644775390625e-08))
    subnormal = np.uint32(min(count, np.float32(1024.0)) + uniform)
    normal = np.uint32(np.uint32(magnitude + 0xC8000000 + (noise & 0x1FFF)) >> 13)
    special = np.uint32(0x7E00 if magnitude > 0x7F800000 else 0x7C00)
    value = special if magnitude >= 0x47800000 else (subnormal if magnitude < 0x38800000 else normal)
    return np.uint16(value | sign)


def noise(key, index):  # type: ignore[no-untyped-def]
    """A uniform uint32 from ``key`` and an element's index: the same whichever thread asks, and in any order."""
    x = np.uint32((np.uint64(np.uint32(index)) * np.uint64(GOLDEN) + np.uint64(key)) & np.uint64(0xFFFFFFFF))
    x = np.uint32((np.uint64(x ^ (x >> 16)) * np.uint64(MIX1)) & np.uint64(0xFFFFFFFF))
    x = np.uint32((np.uint64(x ^ (x >> 15)) * np.uint64(MIX2)) & np.uint64(0xFFFFFFFF))
    return np.uint32(x ^ (x >> 16))


def noise_tensor(key: int, shape: torch.Size, device: torch.device) -> Tensor:
    """:func:`noise` for the elements of a tensor in the order of its flat index, as int64 of ``shape``."""
    mask = 0xFFFFFFFF
    x = torch.arange(shape.numel(), device=device, dtype=torch.int64)
    x = ((x & mask) * GOLDEN + key) & mask
    x = ((x ^ (x >> 16)) * MIX1) & mask
    x = ((x ^ (x >> 15)) * MIX2) & mask
    return (x ^ (x >> 16)).view(shape)


def round_stochastic_tensor(x: Tensor, dtype: torch.dtype, noise: Tensor) -> Tensor:
    """Round float32 ``x`` stochastically to ``dtype`` (bfloat16 or float16) with uniform 32-bit ``noise``."""
    if dtype == torch.bfloat16:
        bits = (x.view(torch.int32).to(torch.int64) & 0xFFFFFFFF) + (noise & 0xFFFF)
        kept = _as_float32(bits & 0xFFFF0000)
        return torch.where(x == x, kept, x).to(dtype)
    magnitude = x.abs()
    bits = magnitude.view(torch.int32).to(torch.int64)
    normal = _as_float32((bits + (noise & 0x1FFF)) & ~0x1FFF)
    uniform = (noise >> 8).to(torch.float32) * 2.0**-24
    subnormal = torch.floor((magnitude * 2.0**24).clamp(max=1024.0) + uniform) * 2.0**-24
    rounded = torch.where(magnitude < 2.0**-14, subnormal, normal)
    rounded = torch.where(magnitude < 65536.0, rounded, magnitude)
    return torch.copysign(rounded, x).to(dtype)


def _as_float32(bits: Tensor) -> Tensor:
    """Non-negative int64 patterns of 32 bits, as float32."""
    return torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32).view(torch.float32)
