"""How many bytes a training step takes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

_LOG_LEVEL = "KINETO_LOG_LEVEL"


def peak_allocation(run: Callable[[], Any]) -> int:
    """The most bytes that PyTorch held on the CPU at one time during ``run()``, beyond what it held before.

    Every allocation is seen, also the scratch memory inside an operation. The number does not depend on what
    the process did before, unlike its resident memory; memory that NumPy or a kernel takes by itself is not in it.

    Example:
        >>> import torch
        >>> def double():
        ...     x = torch.zeros(1000)
        ...     return (x + 1) * 2
        >>> 12_000 <= peak_allocation(double) < 12_100  # three tensors at once, and scalars
        True
    """
    level = os.environ.get(_LOG_LEVEL)
    os.environ[_LOG_LEVEL] = level or "99"  # the profiler announces itself on stderr otherwise
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
    finally:
        if level is None:
            del os.environ[_LOG_LEVEL]
    results = profiler.profiler.kineto_results  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    return max(itertools.accumulate((size for _, size in changes), initial=0))
