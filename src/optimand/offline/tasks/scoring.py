"""Scores of a batch of designs, and which part of the data a method may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_number

from .encoding import Floats, as_floats


def percentile_scores(scores: Any, percentiles: Sequence[float] = (100, 80, 50)) -> dict[float, float]:
    """Percentiles of ``scores``, interpolated linearly between neighbours.

    Example:
        >>> percentile_scores([0.0, 1.0, 2.0])
        {100: 2.0, 80: 1.6, 50: 1.0}
    """
    values = as_floats("scores", np.asarray(scores))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"scores must be a list of at least one number, got shape {values.shape}")
    for p in percentiles:
        check_number("percentiles", p, low=0, high=100)
    return {p: float(np.percentile(values, p)) for p in percentiles}


# Least share of offline rows that must differ from the least value, for a surrogate to have something to learn from.
INFORMATIVE = 0.1


def worst_part(y: Floats, percentile: float = 50.0) -> NDArray[np.bool_]:
    """Which rows are offline: those with a value at most the ``percentile``-th of all, ties included.

    Where fewer than a tenth of these rows would differ from the least value, the percentile is raised, in steps of 5,
    until a tenth does: most random RNA of 14 bases does not fold, so that its lower half is all alike.

    Raises:
        ValueError: the values are all (but for a tenth) alike.

    Example:
        >>> worst_part(np.array([0.0, 1.0, 2.0, 3.0])).tolist()
        [True, True, False, False]
        >>> int(worst_part(np.repeat([0.0, 1.0, 2.0], [70, 20, 10])).sum())
        90
    """
    check_number("percentile", percentile, low=0, low_open=True, high=100)
    least = y.min()
    at = percentile
    while at <= 100:
        part: NDArray[np.bool_] = y <= np.percentile(y, at)
        if (y[part] > least).mean() >= INFORMATIVE:
            return part
        at += 5
    raise ValueError(f"y must hold different values, got {(y > least).mean():.1%} of them above the least, {least:g}")
