"""Addresses for intervals of time: fast heuristics, a search, and CP-SAT as reference.

Example:
    >>> from optimand.combinatorial.memory_mapping.packing import pack
    >>> found = pack([(0, 3, 4), (3, 9, 4), (0, 9, 4), (9, 21, 4), (0, 21, 4)], capacity=12)
    >>> found.fun, found.success
    (12, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .intervals import Intervals, check_packing, read_minimalloc, write_minimalloc
    from .solve import METHODS, pack

_HOMES = {
    "METHODS": "solve",
    "Intervals": "intervals",
    "check_packing": "intervals",
    "pack": "solve",
    "read_minimalloc": "intervals",
    "write_minimalloc": "intervals",
}

__all__ = ["METHODS", "Intervals", "check_packing", "pack", "read_minimalloc", "write_minimalloc"]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
