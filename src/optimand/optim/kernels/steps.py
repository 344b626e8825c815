"""Step counts: adding one to many 0-d tensors and reading them, without a torch call for each."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from .elementwise import like
from .gather import Batch
from .kernel import Kernel


def add_one(p, g, value):  # type: ignore[no-untyped-def]
    """The count plus one, twice: for the tensor and for the reader; ``g`` and ``value`` are not read."""
    return p + like(p, 1), p + like(p, 1)


class StepCounter:
    """Advances step counts.

    Example:
        >>> counter = StepCounter()
        >>> counter.advance([torch.tensor(0.0), torch.tensor(4.0)])
        [1.0, 5.0]
    """

    def __init__(self) -> None:
        self._kernel = Kernel(add_one, states=("value",))

    def advance(self, steps: Sequence[Tensor], *, compiled: bool = True) -> list[float]:
        """Add one to every step count, in place, and return the new ones.

        Args:
            steps: 0-d tensors.
            compiled: whether compiled code may do it.
        """
        plain = (
            compiled
            and set(map(type, steps)) == {Tensor}
            and all(map(attrgetter("is_cpu"), steps))
            and set(map(attrgetter("dtype"), steps)) == {torch.float32}
        )
        if plain:
            values = np.empty(len(steps), np.float32)
            pointers = list(map(Tensor.data_ptr, steps))
            places = list(range(values.ctypes.data, values.ctypes.data + values.nbytes, values.itemsize))
            batch = Batch(list(range(len(steps))), [1] * len(steps), [pointers, pointers, places], [])
            if self._kernel.run_batch(("float32",) * 3, batch):
                return values.tolist()  # type: ignore[no-any-return]
        torch._foreach_add_(list(steps), 1.0)
        return torch.stack(list(steps)).tolist()  # type: ignore[no-any-return]
