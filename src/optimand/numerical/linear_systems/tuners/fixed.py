"""The same value in every solve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Array, OmegaTuner


class FixedOmega(OmegaTuner):
    """Always the same omega: the baseline, and a place to start from.

    Args:
        omega: the value.

    Example:
        >>> tuner = FixedOmega(1.5)
        >>> tuner.ask(context=0.3)
        1.5
        >>> tuner.tell(12)
    """

    def __init__(self, omega: float) -> None:
        super().__init__([omega], rng=0)

    def _choose(self, context: float) -> int:
        return 0

    def _learn(self, arm: int, cost: float) -> None:
        pass

    def _greedy(self, context: float) -> int:
        return 0

    def _distribution(self, context: float) -> Array:
        return np.ones(1)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}
