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

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .dynamic import DynamicSubmodular, SlidingWindow
    from .maximizers.estimator import SubmodularSelection
    from .maximizers.lazy import lazy_greedy, naive_greedy
    from .maximizers.maximize import maximize_submodular
    from .maximizers.sieve import SieveStreaming
    from .objectives.base import Objective, State
    from .objectives.coverage import Coverage, WeightedCoverage
    from .objectives.facility import FacilityLocation
    from .objectives.functions import SetFunction
    from .objectives.pairwise import GraphCut, LogDet
    from .objectives.similarity import similarity

_HOMES = {
    "Coverage": "objectives.coverage",
    "DynamicSubmodular": "dynamic",
    "FacilityLocation": "objectives.facility",
    "GraphCut": "objectives.pairwise",
    "LogDet": "objectives.pairwise",
    "Objective": "objectives.base",
    "SetFunction": "objectives.functions",
    "SieveStreaming": "maximizers.sieve",
    "SlidingWindow": "dynamic",
    "State": "objectives.base",
    "SubmodularSelection": "maximizers.estimator",
    "WeightedCoverage": "objectives.coverage",
    "lazy_greedy": "maximizers.lazy",
    "maximize_submodular": "maximizers.maximize",
    "naive_greedy": "maximizers.lazy",
    "similarity": "objectives.similarity",
}

__all__ = [
    "Coverage",
    "DynamicSubmodular",
    "FacilityLocation",
    "GraphCut",
    "LogDet",
    "Objective",
    "SetFunction",
    "SieveStreaming",
    "SlidingWindow",
    "State",
    "SubmodularSelection",
    "WeightedCoverage",
    "lazy_greedy",
    "maximize_submodular",
    "naive_greedy",
    "similarity",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
