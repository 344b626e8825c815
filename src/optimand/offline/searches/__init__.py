"""Search methods of offline optimization: from offline rows to designs, without an oracle.

Every search is a :class:`Search`, called as ``search(data, q=, seed=, ignite=)``. In each, the regularizer that
``ignite`` names acts on the fit of the surrogates and on nothing else.

Example:
    >>> from optimand.offline.searches import find_search
    >>> find_search("best-of-data")
    <search best-of-data>
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports
from optimand.core.validation import UnknownNameError, suggest

if TYPE_CHECKING:
    from .parts.search import Proposal as Proposal
    from .parts.search import Search as Search

# The name that users type: the module and its attribute.
SEARCHES = {
    "ga": ("gradient_ascent", "gradient_ascent"),
    "ens-mean": ("gradient_ascent", "ensemble_mean"),
    "ens-min": ("gradient_ascent", "ensemble_min"),
    "coms": ("coms", "coms"),
    "cbas": ("cbas", "cbas"),
    "bo-qei": ("bo_qei", "bo_qei"),
    "cma-es": ("cma_es", "cma_es"),
    "reinforce": ("reinforce", "reinforce"),
    "mins": ("mins", "mins"),
    "local-search": ("populations", "local_search"),
    "evolution": ("populations", "evolution"),
    "random": ("floors", "random_designs"),
    "best-of-data": ("floors", "best_of_data"),
}


def find_search(name: str) -> Search:
    """The search of a name.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    if not isinstance(name, str) or name not in SEARCHES:
        known = ", ".join(SEARCHES)
        raise UnknownNameError(f"method must be one of {known}, got {name!r}{suggest(str(name), SEARCHES)}")
    module, attribute = SEARCHES[name]
    found: Search = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


__getattr__, __dir__, __all__ = lazy_exports(__name__)
