"""Misspecified linear bandits: find a good action of many when rewards are linear in features up to a bounded error.

Example:
    >>> import numpy as np
    >>> from optimand.online.linear_bandits import MisspecifiedLinearBandit, sparse_net_search
    >>> Phi = np.random.default_rng(0).standard_normal((500, 8))
    >>> Phi /= np.linalg.norm(Phi, axis=1, keepdims=True)
    >>> bandit = MisspecifiedLinearBandit(Phi, [0.6, 0, 0, -0.8, 0, 0, 0, 0], eps=0.1)
    >>> found = sparse_net_search(bandit.query, Phi, s=2, eps=0.1)
    >>> bandit.oracle().suboptimality(found.x) <= found.bound, found.nfev == bandit.queries < 60
    (True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .commit import SparseNetCommit as SparseNetCommit
    from .design import g_optimal_design as g_optimal_design
    from .design import gdesign_search as gdesign_search
    from .diagnostic import trust_linear_model as trust_linear_model
    from .environment import MisspecifiedLinearEnvironment as MisspecifiedLinearEnvironment
    from .generators import gaussian_actions as gaussian_actions
    from .generators import random_theta as random_theta
    from .instances import MisspecifiedLinearBandit as MisspecifiedLinearBandit
    from .instances import aimed_bandit as aimed_bandit
    from .linucb import LinTS as LinTS
    from .linucb import LinUCB as LinUCB
    from .lower_bounds import jl_instance as jl_instance
    from .lower_bounds import packing_instance as packing_instance
    from .phased import PhasedElimination as PhasedElimination
    from .regression import sparse_regression_search as sparse_regression_search
    from .search import SparseSearch as SparseSearch
    from .search import sparse_net_search as sparse_net_search

__getattr__, __dir__, __all__ = lazy_exports(__name__)
