"""Submodular maximization while elements come and go: engines, the structure around them, sliding windows.

``engine``, ``accounting`` and ``shell`` are what engines share: options, counted calls, runs for guesses of the
optimum. ``buckets`` (the paper's method), ``permutation`` and ``lattanzi`` are runs of one guess; ``greedy`` runs lazy
greedy again, ``incremental`` repairs its path. ``structure`` puts them behind one interface and ``window`` feeds it a
stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .structure import ENGINES as ENGINES
    from .structure import DynamicSubmodular as DynamicSubmodular
    from .window import SlidingWindow as SlidingWindow


__getattr__, __dir__, __all__ = lazy_exports(__name__)
