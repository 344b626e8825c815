"""Hyperparameters of the searches: each has a value in every preset, a range, and a name that errors use.

``"small"`` ends within seconds on one core; ``"paper"`` holds the widths and epochs of the published experiments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from optimand.core.validation import check_choice, check_int, check_number, suggest

PRESETS = ("small", "paper")


@dataclass(frozen=True)
class Whole:
    """An integer hyperparameter: its value at the presets, the least and the greatest that is allowed."""

    small: int
    paper: int
    low: int = 1
    high: int | None = None

    def check(self, name: str, value: Any) -> int:
        """``value`` as an int; TypeError or ValueError otherwise."""
        return check_int(name, value, low=self.low, high=self.high)


@dataclass(frozen=True)
class Real:
    """A real hyperparameter: its value at the presets, and the range that is allowed; None lets the method choose."""

    small: float | None
    paper: float | None
    low: float = 0.0
    high: float = float("inf")
    low_open: bool = False

    def check(self, name: str, value: Any) -> float | None:
        """``value`` as a float; TypeError or ValueError otherwise."""
        if value is None and None in (self.small, self.paper):
            return None
        return check_number(name, value, low=self.low, high=self.high, low_open=self.low_open, high_open=True)


@dataclass(frozen=True)
class Option:
    """A hyperparameter that is one of a few values."""

    small: Any
    paper: Any
    choices: tuple[Any, ...]

    def check(self, name: str, value: Any) -> Any:
        """``value``; ValueError if it is none of the choices."""
        return check_choice(name, value, self.choices)


Table = Mapping[str, Whole | Real | Option]

# The surrogate of gradient ascent; ensembles and generative searches change the numbers that differ.
SURROGATE: Table = {
    "width": Whole(256, 2048),
    "depth": Whole(2, 2),
    "epochs": Whole(12, 100),
    "batch": Whole(128, 128),
    "lr": Real(1e-3, 3e-4, low_open=True),
    "noise": Real(0.0, 0.0),
    "members": Whole(1, 1),
}

# Five members of one hidden layer, each on a bootstrap of the rows.
BOOTSTRAPS: Table = {
    **SURROGATE,
    "width": Whole(128, 256),
    "depth": Whole(1, 1),
    "epochs": Whole(6, 100),
    "batch": Whole(128, 100),
    "lr": Real(1e-3, 1e-3, low_open=True),
    "members": Whole(5, 5),
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
