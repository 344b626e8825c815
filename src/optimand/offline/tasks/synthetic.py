"""Closed-form landscapes over real vectors: they need nothing, and their optimum is known.

The offline data are the poorer half of uniform random points, so that a surrogate must extrapolate in value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimand.core.validation import check_choice, check_int

from .base import OfflineData, Task, worst_part
from .encoding import Floats


def styblinski_tang(x: Floats) -> Floats:
    """``-sum(x^4 - 16 x^2 + 5 x) / 2``: 2^d local maxima, the best 39.1661657 d at -2.9035340 in all coordinates."""
    return np.asarray(-0.5 * (x**4 - 16 * x**2 + 5 * x).sum(axis=1))


def rastrigin(x: Floats) -> Floats:
    """``-sum(10 + x^2 - 10 cos 2 pi x)``: a bowl with ripples, 0 at the origin."""
    return np.asarray(-(10 + x**2 - 10 * np.cos(2 * np.pi * x)).sum(axis=1))


def rosenbrock(x: Floats) -> Floats:
    """``-sum(100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2)``: a curved ridge, 0 at 1 in all coordinates."""
    return np.asarray(-(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1))


FUNCTIONS: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "styblinski-tang": (styblinski_tang, 5.0),
    "rastrigin": (rastrigin, 5.12),
    "rosenbrock": (rosenbrock, 2.0),
}


def synthetic(function: str = "styblinski-tang", dim: int = 8, rows: int = 2000, seed: int = 0) -> Task:
    """A closed-form function with the poorer half of uniform random points as data.

    Args:
        function: ``styblinski-tang``, ``rastrigin`` or ``rosenbrock``.
        dim: coordinates, at least 2.
        rows: points drawn, at least 4; half of them are offline.
        seed: of the points.

    Example:
        >>> task = synthetic(dim=2)
        >>> len(task.data), task.score(np.full((1, 2), -2.903534))[100] > 1
        (1000, True)
    """
    check_choice("function", function, FUNCTIONS)
    f, half_width = FUNCTIONS[function]
    check_int("dim", dim, low=2)
    check_int("rows", rows, low=4)
    x = np.random.default_rng(check_int("seed", seed, low=0)).uniform(-half_width, half_width, (rows, dim))
    y = f(x)
    part = worst_part(y)
    name = f"synthetic:function={function},dim={dim}"
    data = OfflineData(x[part], y[part], False, bounds=(-half_width, half_width), name=name)
    summary = f"{function} in {dim} dimensions, the poorer half of {rows} random points"
    return Task(data, f, y_min=float(y.min()), y_max=float(y.max()), summary=summary)
