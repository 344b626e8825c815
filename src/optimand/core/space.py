"""Ranges over which a hyperparameter may be tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Float:
    """A real number in ``[low, high]``, sampled on a log scale if ``log``."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low={self.low!r}, high={self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be positive on a log scale, got {self.low!r}")

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Int:
    """An integer in ``[low, high]``, sampled on a log scale if ``log``."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low={self.low!r}, high={self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be positive on a log scale, got {self.low!r}")

    def __str__(self) -> str:
        return f"{self.low} … {self.high}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """One of ``options`` (numbers, strings, booleans or None)."""

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        if not options:
            raise ValueError("options must hold at least one value, got none")
        object.__setattr__(self, "options", options)

    def __str__(self) -> str:
        return " | ".join(str(option) for option in self.options)


Dimension = Float | Int | Choice
Space = Mapping[str, Dimension]
