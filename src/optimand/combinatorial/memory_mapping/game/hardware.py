"""The two memories of a machine: what fits into the fast one, and how many bytes a second pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from .sizes import read_bytes


@dataclass(frozen=True)
class Hardware:
    """A machine with a large slow memory and a small fast one.

    Args:
        capacity: bytes of the fast memory, at least 0.
        slow_bw: bytes a second between the processor and slow memory, above 0.
        fast_bw: the same for fast memory.
        copy_bw: bytes a second of asynchronous copies from slow into fast memory, above 0.
        flops: floating-point operations a second, for programs whose compute times are derived; None where unknown.

    Raises:
        TypeError, ValueError: a negative capacity, a bandwidth that is not positive and finite.
        OptimandError: fast memory is slower than slow memory.

    Example:
        >>> Hardware.preset("tpuv4i", capacity=2**20).capacity
        1048576
    """

    capacity: int
    slow_bw: float
    fast_bw: float
    copy_bw: float
    flops: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "capacity", check_int("capacity", self.capacity, low=0))
        for name in ("slow_bw", "fast_bw", "copy_bw", "flops"):
            value = getattr(self, name)
            if value is None and name == "flops":
                continue
            value = check_number(name, value, low=0, low_open=True)
            if math.isinf(value):
                raise ValueError(f"{name} must be finite, got inf")
            object.__setattr__(self, name, value)
        if self.fast_bw < self.slow_bw:
            raise OptimandError(
                f"fast_bw must be at least slow_bw, got fast_bw={self.fast_bw:g} below slow_bw={self.slow_bw:g}"
            )

    @classmethod
    def preset(cls, name: str, capacity: int | str | None = None) -> Hardware:
        """A machine by name.

        Args:
            name: a key of :data:`PRESETS`.
            capacity: bytes to use instead of the machine's own, or a text such as ``1MiB``.

        Raises:
            ValueError: no machine of that name.
            OptimandError: a text that is no number of bytes.
        """
        found = PRESETS[check_choice("name", name, PRESETS)]
        return found if capacity is None else found.with_capacity(capacity)

    def with_capacity(self, capacity: int | str) -> Hardware:
        """The same machine with another fast memory."""
        return replace(self, capacity=read_bytes(capacity) if isinstance(capacity, str) else capacity)


# Orders of magnitude from public descriptions of the machines, not measurements.
PRESETS: dict[str, Hardware] = {
    # 128 MiB of on-chip CMEM beside 614 GB/s of HBM; the eightfold fast bandwidth is an assumption.
    "tpuv4i": Hardware(128 * 2**20, 614e9, 8 * 614e9, 614e9, 138e12),
    # The memory of a GPU of 80 GB as the fast one, the host's over 16 lanes of PCIe 4 as the slow one.
    "gpu-offload": Hardware(80 * 10**9, 31.5e9, 2039e9, 31.5e9, 156e12),
    # The units of the tiny program: a byte a second.
    "tiny": Hardware(6, 1.0, 10.0, 1.0),
}
