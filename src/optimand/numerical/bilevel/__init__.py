"""Bilevel problems by penalties: first-order methods with constraints on both levels, and baselines.

    min over x in X of f(x, y)  subject to  y in argmin { g(x, y) : y in Y }

Names load when they are first used; only :class:`PenaltyBilevel` needs torch.
"""

from __future__ import annotations

from typing import Any

from optimand.core.lazy import lazy_attribute

_NAMES = {
    "diagnostics": ("PenaltyWarning", "diagnose", "penalty_growth"),
    "double_loop": ("DoubleLoop",),
    "implicit": ("implicit_hypergradient", "limit_hypergradient", "unrolled_hypergradient"),
    "minimize": ("bilevel_minimize", "check_gradients"),
    "oracle": ("Level", "LevelOracle", "PairedBatch", "PairedOracle", "index_sampler"),
    "penalty": (
        "estimate_smoothness", "hypergradient", "lower_step", "penalty_gradient", "penalty_value", "solve_lower",
    ),
    "schedules": ("Annealing", "Constant", "Power", "single_loop_schedules"),
    "single_loop": ("SingleLoop",),
    "torch_penalty": ("PenaltyBilevel",),
}  # fmt: skip
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [*_HOMES]  # noqa: PLE0604 (names of a table)


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
