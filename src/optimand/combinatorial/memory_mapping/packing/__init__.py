"""Addresses for intervals of time: fast heuristics, a search, and CP-SAT as reference.

Example:
    >>> from optimand.combinatorial.memory_mapping.packing import pack
    >>> found = pack([(0, 3, 4), (3, 9, 4), (0, 9, 4), (9, 21, 4), (0, 21, 4)], capacity=12)
    >>> found.fun, found.success
    (12, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .intervals import Intervals as Intervals
    from .intervals import check_packing as check_packing
    from .intervals import read_minimalloc as read_minimalloc
    from .intervals import write_minimalloc as write_minimalloc
    from .solve import METHODS as METHODS
    from .solve import pack as pack


__getattr__, __dir__, __all__ = lazy_exports(__name__)
