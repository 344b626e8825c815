"""Hyperparameters of the searches: each has a value in every preset, a range, and a name that errors use.

``"small"`` ends within seconds on one core; ``"paper"`` holds the widths and epochs of the published experiments.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from optimand.core.validation import check_choice, check_int, check_number, suggest

PRESETS = ("small", "paper")


class Setting(NamedTuple):
    """A hyperparameter: its value at the presets, and ``check(name, value)``, which returns what is allowed."""

    small: Any
    paper: Any
    check: Callable[[str, Any], Any]


def whole(small: int, paper: int, low: int = 1, high: int | None = None) -> Setting:
    """An integer from ``low`` to ``high``."""
    return Setting(small, paper, functools.partial(check_int, low=low, high=high))


def real(
    small: float | None, paper: float | None, low: float = 0.0, high: float = math.inf, low_open: bool = False
) -> Setting:
    """A number in a range; None, where a preset is None, lets the method choose."""

    def check(name: str, value: Any) -> float | None:
        if value is None and None in (small, paper):
            return None
        return check_number(name, value, low=low, high=high, low_open=low_open, high_open=True)

    return Setting(small, paper, check)


def option(small: Any, paper: Any, choices: tuple[Any, ...]) -> Setting:
    """One of a few values."""
    return Setting(small, paper, functools.partial(check_choice, choices=choices))


Table = Mapping[str, Setting]

# The surrogate of gradient ascent; ensembles and generative searches change the numbers that differ.
SURROGATE: Table = {
    "width": whole(256, 2048),
    "depth": whole(2, 2),
    "epochs": whole(12, 100),
    "batch": whole(128, 128),
    "lr": real(1e-3, 3e-4, low_open=True),
    "noise": real(0.0, 0.0),
    "members": whole(1, 1),
}

# Five members of one hidden layer, each on a bootstrap of the rows.
BOOTSTRAPS: Table = {
    **SURROGATE,
    "width": whole(128, 256),
    "depth": whole(1, 1),
    "epochs": whole(6, 100),
    "batch": whole(128, 100),
    "lr": real(1e-3, 1e-3, low_open=True),
    "members": whole(5, 5),
}


def resolve(table: Table, preset: str, hyper: Mapping[str, Any]) -> SimpleNamespace:
    """Values of a search's hyperparameters.

    Args:
        table: the hyperparameters that the search has.
        preset: ``"small"`` or ``"paper"``.
        hyper: values that replace the preset's.

    Raises:
        TypeError: an unknown name, or a value of the wrong type.
        ValueError: an unknown preset, or a value outside its range.

    Example:
        >>> resolve(SURROGATE, "small", {"epochs": 3}).epochs
        3
    """
    check_choice("preset", preset, PRESETS)
    unknown = [name for name in hyper if name not in table]
    if unknown:
        known = ", ".join(table)
        raise TypeError(f"unknown hyperparameter {unknown[0]!r}{suggest(unknown[0], table)}; known are {known}")
    values = {name: getattr(setting, preset) for name, setting in table.items()}
    values.update({name: table[name].check(name, value) for name, value in hyper.items()})
    return SimpleNamespace(**values)


Progress = Callable[[str, int, int], None]


def no_progress(stage: str, done: int, total: int) -> None:
    """The hook of a search that nobody watches."""
