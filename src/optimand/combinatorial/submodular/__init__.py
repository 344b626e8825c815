"""Choosing a few elements that together are worth most, from a set that stays or one that changes all the time.

Objectives are monotone submodular set functions reached by marginal gains, and every question to one is counted.

Example:
    >>> from optimand.combinatorial.submodular import Coverage, maximize_submodular
    >>> f = Coverage({"a": [1, 2, 3], "b": [3, 4], "c": [4, 5]})
    >>> found = maximize_submodular(f, ["a", "b", "c"], 2)
    >>> found.x, found.fun, found.nfev
    (['a', 'c'], 5.0, 5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .dynamic import DynamicSubmodular as DynamicSubmodular
    from .dynamic import SlidingWindow as SlidingWindow
    from .maximizers.estimator import SubmodularSelection as SubmodularSelection
    from .maximizers.lazy import lazy_greedy as lazy_greedy
    from .maximizers.lazy import naive_greedy as naive_greedy
    from .maximizers.maximize import maximize_submodular as maximize_submodular
    from .maximizers.sieve import SieveStreaming as SieveStreaming
    from .objectives.base import Objective as Objective
    from .objectives.base import State as State
    from .objectives.coverage import Coverage as Coverage
    from .objectives.facility import FacilityLocation as FacilityLocation
    from .objectives.functions import SetFunction as SetFunction
    from .objectives.pairwise import GraphCut as GraphCut
    from .objectives.pairwise import LogDet as LogDet
    from .objectives.similarity import similarity as similarity


__getattr__, __dir__, __all__ = lazy_exports(__name__)
