"""Checks of arguments: each error names the argument, the value that came and what was expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any


class OptimandError(Exception):
    """An error that the user can mend; the command prints its text without a traceback."""


class UnknownNameError(OptimandError, KeyError):
    """A name that the catalog does not hold."""

    def __str__(self) -> str:
        return str(self.args[0])


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return ``value`` as a float if it is a number in the range.

    Raises:
        TypeError: ``value`` is not a real number (bool counts as none).
        ValueError: it is NaN, or outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        if not hasattr(value, "__float__") or isinstance(value, bool | str):
            raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
        value = float(value)
    below = value <= low if low_open else value < low
    above = value >= high if high_open else value > high
    if math.isnan(value) or below or above:
        left = "(" if low_open or low == -math.inf else "["
        right = ")" if high_open or high == math.inf else "]"
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {value!r}")
    return float(value)


def check_int(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` if it is an integer in ``[low, high]``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    number = int(value.__index__())
    if (low is not None and number < low) or (high is not None and number > high):
        bounds = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {bounds}, got {number}")
    return number


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Return ``value`` if it is one of ``choices``; ValueError with the nearest choice otherwise."""
    options = list(choices)
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}{suggest(str(value), map(str, options))}")
    return value


def suggest(word: str, known: Iterable[str]) -> str:
    """A clause such as ``; did you mean 'lion'?``, or nothing where no known name is near."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    if not near:
        return ""
    return "; did you mean " + " or ".join(repr(name) for name in near) + "?"
