"""Lion-K (Chen, Liu, Liang, Liu 2023, arXiv 2310.05898): the optimizer, its methods and its theory as functions."""

from __future__ import annotations

from .functional import (
    constraint_distance,
    fenchel_young_gap,
    kkt_score,
    lion_k_update,
    lyapunov_weight,
    regularizer,
)
from .optimizer import LionK
from .presets import lion_k_group, lion_k_huber, lion_k_l2, lion_k_nuclear

__all__ = [
    "LionK",
    "constraint_distance",
    "fenchel_young_gap",
    "kkt_score",
    "lion_k_group",
    "lion_k_huber",
    "lion_k_l2",
    "lion_k_nuclear",
    "lion_k_update",
    "lyapunov_weight",
    "regularizer",
]
