"""Submodular maximization while elements come and go: engines, the structure around them, sliding windows.

``engine``, ``accounting`` and ``shell`` are what engines share: options, counted calls, runs for guesses of the
optimum. ``buckets`` (the paper's method), ``permutation`` and ``lattanzi`` are runs of one guess; ``greedy`` runs lazy
greedy again, ``incremental`` repairs its path. ``structure`` puts them behind one interface and ``window`` feeds it a
stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .structure import ENGINES, DynamicSubmodular
    from .window import SlidingWindow

_HOMES = {"ENGINES": "structure", "DynamicSubmodular": "structure", "SlidingWindow": "window"}

__all__ = ["ENGINES", "DynamicSubmodular", "SlidingWindow"]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
