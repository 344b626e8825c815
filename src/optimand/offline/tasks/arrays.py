"""A user's own task: arrays, and a function that judges designs (or none, where nobody can)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from .base import Designs, OfflineData, Task
from .encoding import text_to_ints


def task_from_arrays(
    x: Any,
    y: Any,
    oracle: Callable[[Designs], Any] | None = None,
    *,
    num_classes: int | None = None,
    alphabet: str | None = None,
    bounds: tuple[Any, Any] | None = None,
    y_min: float | None = None,
    y_max: float | None = None,
    name: str = "own",
) -> Task:
    """A task from offline data.

    Args:
        x: integer designs ``(n, L)`` in ``[0, num_classes)``, real designs ``(n, d)``, or ``n`` texts of one length
            over ``alphabet``.
        y: values, the larger the better, shape ``(n,)``.
        oracle: gives the values of designs (integers or reals, in rows); None where there is none: methods propose,
            and nothing can be scored.
        num_classes: of discrete designs; None for continuous ones, or where ``alphabet`` says it.
        alphabet: letters of text designs, in the order of their integers.
        bounds: lower and upper bound of each coordinate of continuous designs; by default those of the data.
        y_min, y_max: values with score 0 and 1; by default the least and the largest of ``y``.
        name: for errors and tables.

    Example:
        >>> task = task_from_arrays(["AC", "CA", "CC"], [0.0, 1.0, 2.0], lambda d: d.sum(axis=1), alphabet="AC")
        >>> task.x.tolist(), task.score([[1, 1], [0, 1]])[100]
        ([[0, 1], [1, 0], [1, 1]], 1.0)
    """
    if alphabet is not None:
        if num_classes not in (None, len(alphabet)):
            raise ValueError(f"num_classes must be len(alphabet), {len(alphabet)}, got {num_classes}")
        if len(set(alphabet)) != len(alphabet) or len(alphabet) < 2:
            raise ValueError(f"alphabet must be at least 2 different letters, got {alphabet!r}")
        num_classes = len(alphabet)
        if np.asarray(x).dtype.kind in "US":
            x = text_to_ints(x, alphabet)
    data = OfflineData(x, y, num_classes is not None, num_classes, bounds, name)

    def nobody(designs: Designs) -> Any:
        raise OptimandError(f"task {name!r} has no oracle: give one to task_from_arrays to score designs")

    return Task(data, nobody if oracle is None else oracle, y_min=y_min, y_max=y_max)
