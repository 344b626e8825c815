"""Online learning: bandits, streams of arms, misspecified linear models and online convex optimization, one engine.

Each room loads when it is first used::

    from optimand.online import BernoulliBandit, UCB1, simulate
"""

from __future__ import annotations

from typing import Any

from optimand.core.lazy import lazy_attribute

_ROOMS = ("bandits", "convex", "engine", "linear_bandits", "streaming")
_NAMES = {
    "engine": (
        "DelayedFeedback", "DoublingTrick", "Draws", "Environment", "Feedback", "GymEnvironment", "Learner",
        "PerRepetition", "RegretCurves", "Restart", "Spec", "as_gym", "simulate", "sweep",
    ),
    "bandits": (
        "AdversarialBandit", "BernoulliBandit", "EpsilonGreedy", "Exp3", "ExploreThenCommit", "GaussianBandit", "KLUCB",
        "MOSS", "SuccessiveElimination", "ThompsonSampling", "TableBandit", "UCB1", "UniformRandom",
    ),
    "streaming": (
        "AnytimeEpsBest", "ArmDiscardedError", "BudgetExceededError", "KingEpsBest", "NaiveEpsBest", "StreamingBandit",
        "TowerEpsBest", "UniformExplore", "clear_cut", "hard_instance", "mix_in", "run_streaming",
    ),
    "linear_bandits": (
        "LinTS", "LinUCB", "MisspecifiedLinearBandit", "MisspecifiedLinearEnvironment", "PhasedElimination",
        "SearchThenCommit", "SparseNetCommit", "g_optimal_design", "gdesign_search", "jl_instance", "packing_instance",
        "sparse_net_search", "sparse_regression_search", "trust_linear_model",
    ),
    "convex": (
        "OGD", "ONS", "AdaGradNorm", "Ball", "Box", "DynamicOMD", "OptimisticFTRL", "OptimisticOMD", "OptimisticSGD",
        "SEAEnvironment", "Simplex", "StronglyConvexOGD", "Unconstrained",
    ),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names}

__all__ = [*_ROOMS, *_ROOM_OF]  # noqa: PLE0604 (names of a table)


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _ROOM_OF, modules=_ROOMS)


def __dir__() -> list[str]:
    return sorted(__all__)
