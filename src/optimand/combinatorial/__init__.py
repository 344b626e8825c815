"""Choosing from finitely many: subsets of a changing set (submodular), data of a program in fast memory.

Each room loads when it is first used::

    from optimand.combinatorial import submodular, memory_mapping
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import memory_mapping as memory_mapping
    from . import submodular as submodular

__getattr__, __dir__, __all__ = lazy_exports(__name__)
