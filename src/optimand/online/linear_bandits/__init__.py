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

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .commit import SearchThenCommit, SparseNetCommit
    from .design import Design, g_optimal_design, gdesign_search
    from .diagnostic import TrustReport, trust_linear_model
    from .environment import MisspecifiedLinearEnvironment
    from .generators import aimed_bandit, aimed_errors, gaussian_actions, rademacher_actions, random_theta, real_bandit
    from .instances import MisspecifiedLinearBandit, Oracle
    from .linucb import LinTS, LinUCB
    from .lower_bounds import jl_features, jl_instance, needle_bandit, packing_features, packing_instance
    from .nets import ball_net, sphere_net
    from .patients import PatientsBandit
    from .phased import PhasedElimination
    from .regression import lasso, omp, sparse_regression_search
    from .search import SparseSearch, sparse_net_search
    from .subsets import best_subset, chebyshev_fit

_HOMES = {
    "Design": "design",
    "LinTS": "linucb",
    "LinUCB": "linucb",
    "MisspecifiedLinearBandit": "instances",
    "MisspecifiedLinearEnvironment": "environment",
    "Oracle": "instances",
    "PatientsBandit": "patients",
    "PhasedElimination": "phased",
    "SearchThenCommit": "commit",
    "SparseNetCommit": "commit",
    "SparseSearch": "search",
    "TrustReport": "diagnostic",
    "aimed_bandit": "generators",
    "aimed_errors": "generators",
    "ball_net": "nets",
    "best_subset": "subsets",
    "chebyshev_fit": "subsets",
    "g_optimal_design": "design",
    "gaussian_actions": "generators",
    "gdesign_search": "design",
    "jl_features": "lower_bounds",
    "jl_instance": "lower_bounds",
    "lasso": "regression",
    "needle_bandit": "lower_bounds",
    "omp": "regression",
    "packing_features": "lower_bounds",
    "packing_instance": "lower_bounds",
    "rademacher_actions": "generators",
    "random_theta": "generators",
    "real_bandit": "generators",
    "sparse_net_search": "search",
    "sparse_regression_search": "regression",
    "sphere_net": "nets",
    "trust_linear_model": "diagnostic",
}

__all__ = [
    "Design",
    "LinTS",
    "LinUCB",
    "MisspecifiedLinearBandit",
    "MisspecifiedLinearEnvironment",
    "Oracle",
    "PatientsBandit",
    "PhasedElimination",
    "SearchThenCommit",
    "SparseNetCommit",
    "SparseSearch",
    "TrustReport",
    "aimed_bandit",
    "aimed_errors",
    "ball_net",
    "best_subset",
    "chebyshev_fit",
    "g_optimal_design",
    "gaussian_actions",
    "gdesign_search",
    "jl_features",
    "jl_instance",
    "lasso",
    "needle_bandit",
    "omp",
    "packing_features",
    "packing_instance",
    "rademacher_actions",
    "random_theta",
    "real_bandit",
    "sparse_net_search",
    "sparse_regression_search",
    "sphere_net",
    "trust_linear_model",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
