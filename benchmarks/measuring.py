"""What the benchmarks of optimizers share: parameters with gradients, and the memory of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn


def make_params(shapes: Iterable[tuple[int, ...]]) -> list[nn.Parameter]:
    """Normal parameters of these shapes, with gradients."""
    params = [nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape) * 0.01
    return params


def peak_growth(step: Callable[[], Any]) -> float | None:
    """Growth of the resident peak over a call in MiB; None where the system does not tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        reset.write_text("5")
        before = _status_kib(status, "VmHWM")
        step()
        return (_status_kib(status, "VmHWM") - before) / 1024
    except OSError:
        return None


def _status_kib(status: Path, key: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])
